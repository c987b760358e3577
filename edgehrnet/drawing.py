"""Overlays and flattened pages, with Pillow alone. Nothing here changes the picture it is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from edgehrnet.decoding import CERTAIN
from edgehrnet.letterbox import CellGrid
from edgehrnet.preparation import Transform

# Distinct for most colour-blind readers (Okabe and Ito's set, without black).
PALETTE = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
OUTLINE = (20, 20, 20)
FAR = 1e6  # px; a point beyond is drawn as if it were here, lest it overflow Pillow's integers
# Pillow draws hard edges; drawing twice as large and shrinking softens them. Of a picture this large nobody sees them.
SUPERSAMPLE, HARD_EDGED = 2, 4_000_000


def draw_keypoints(
    picture: Image.Image,
    xy: NDArray[np.floating[Any]],
    conf: NDArray[np.floating[Any]],
    names: Sequence[str],
    skeleton: Sequence[tuple[int, int]],
    *,
    threshold: float = CERTAIN,
) -> Image.Image:
    """Draw N instances: skeleton, a disc for each keypoint, its name and confidence.

    ``xy (N, K, 2)`` picture pixels, ``conf (N, K)``. What is under ``threshold`` is not drawn.
    """
    canvas = picture.convert("RGB")
    xy = np.clip(xy, -FAR, FAR)
    unit = max(1.0, max(canvas.size) / 320)  # one "dot" on a picture of any size
    scale = SUPERSAMPLE if canvas.width * canvas.height <= HARD_EDGED else 1
    layer = Image.new("RGBA", (canvas.width * scale, canvas.height * scale))
    pen = ImageDraw.Draw(layer)
    for points, sure in zip((np.asarray(xy) + 0.5) * scale, conf >= threshold, strict=True):
        for a, b in skeleton:
            if sure[a] and sure[b]:
                ends = [tuple(points[a]), tuple(points[b])]
                pen.line(ends, fill=OUTLINE, width=round(2.4 * unit * scale))
                pen.line(ends, fill=(255, 255, 255), width=round(1.2 * unit * scale))
        for k, (x, y) in enumerate(points):
            if sure[k]:
                _disc(pen, x, y, 4.0 * unit * scale, OUTLINE)
                _disc(pen, x, y, 3.0 * unit * scale, PALETTE[k % len(PALETTE)])
    # Premultiplied shrinking, or the transparent black around each stroke would darken its edge.
    layer = layer.convert("RGBa").resize(canvas.size, Image.Resampling.BOX).convert("RGBA")
    canvas.paste(layer, (0, 0), layer)
    _draw_labels(canvas, xy, conf, names, threshold, unit)
    return canvas


def blend_heatmap(
    picture: Image.Image, heatmap: NDArray[np.floating[Any]], transform: Transform, grid: CellGrid
) -> Image.Image:
    """Lay a heatmap ``(h, w)`` of the whole network input over the picture it came from."""
    warm = np.zeros((*heatmap.shape, 4), np.uint8)
    strength = np.clip(heatmap, 0, 1)
    warm[..., 0], warm[..., 1] = 255, np.rint(220 * strength)
    warm[..., 3] = np.rint(200 * strength)
    # Where three points of the picture lie among the cells tells where all do: the maps in between are affine.
    origin, right, down = grid.to_cells(transform.forward([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    matrix = np.stack([right - origin, down - origin, origin], axis=1)
    # Pillow counts from the corner of the first pixel, we from its middle.
    matrix[:, 2] += 0.5 - matrix[:, :2] @ (0.5, 0.5)
    layer = Image.fromarray(warm)
    cut = layer.transform(picture.size, Image.Transform.AFFINE, matrix.ravel().tolist(), Image.Resampling.BILINEAR)
    canvas = picture.convert("RGB")
    canvas.paste(cut, (0, 0), cut)
    return canvas


def _disc(pen: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill: tuple[int, int, int]) -> None:
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _draw_labels(
    canvas: Image.Image,
    xy: NDArray[np.floating[Any]],
    conf: NDArray[np.floating[Any]],
    names: Sequence[str],
    threshold: float,
    unit: float,
) -> None:
    pen = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(size=max(10, round(7 * unit)))
    gap = 6 * unit
    for points, sureness in zip(xy, conf, strict=True):
        middle = points[sureness >= threshold, 1].mean() if (sureness >= threshold).any() else 0.0
        for name, (x, y), c in zip(names, points, sureness, strict=True):
            if c < threshold:
                continue
            text = f"{name} {c:.2f}"
            _, _, right, bottom = pen.textbbox((0, 0), text, font=font)
            # Above the upper points and below the lower ones, clear of the lines between them.
            row = y - gap - bottom if y < middle else y + gap
            at = (_within(x - right / 2, canvas.width - right), _within(row, canvas.height - bottom - gap / 2))
            pen.text(at, text, font=font, fill="white", stroke_width=max(1, round(unit)), stroke_fill=OUTLINE)


def _within(value: float, limit: float) -> float:
    return max(0.0, min(float(value), limit))
