"""Overlays and flattened pages, with Pillow alone. Nothing here changes the picture it is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from edgehrnet.decoding import CERTAIN
from edgehrnet.picture.cells import CellGrid
from edgehrnet.preparation import Transform

Color: TypeAlias = tuple[int, int, int]

# Distinct for most color-blind readers (Okabe and Ito's set, without black).
PALETTE = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (0, 114, 178),
    (213, 94, 0),
    (204, 121, 167),
)
OUTLINE, WHITE = (20, 20, 20), (255, 255, 255)
SIDES = ("", "left", "right")  # how names of keypoints begin; neither is in the middle
ALONE = (WHITE, PALETTE[1], PALETTE[0])  # colors of the sides, of the only instance
NAMED = 8  # keypoints that leave room for their names
EXTENT, SMALLEST = 150, 0.6  # dots that fit along an instance, beside which there are no names; px of a dot at least
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
    """Draw N instances: skeleton, a disc for each keypoint, and while these are few, its name and confidence.

    ``xy (N, K, 2)`` picture pixels, ``conf (N, K)``. What is under ``threshold`` is not drawn. Where there are several
    instances, each has a color; of names that begin with left and right, the left one's is lighter. Without names
    beside them, marks are as large as suits their instance.
    """
    canvas = picture.convert("RGB")
    xy, sure = np.clip(xy, -FAR, FAR), conf >= threshold
    unit = max(1.0, max(canvas.size) / 320)  # one "dot" on a picture of any size
    named = int(sure.sum()) <= NAMED
    units = [unit if named else min(unit, _own_unit(points[seen])) for points, seen in zip(xy, sure, strict=True)]
    scale = SUPERSAMPLE if canvas.width * canvas.height <= HARD_EDGED else 1
    layer = Image.new("RGBA", (canvas.width * scale, canvas.height * scale))
    pen = ImageDraw.Draw(layer)
    for n in np.argsort(units, kind="stable")[::-1]:  # small ones over large ones
        style = _Style.of(names, int(n), len(xy), units[n] * scale)
        _draw_instance(pen, (np.asarray(xy[n]) + 0.5) * scale, sure[n], skeleton, style)
    # Premultiplied shrinking, or the transparent black around each stroke would darken its edge.
    layer = layer.convert("RGBa").resize(canvas.size, Image.Resampling.BOX).convert("RGBA")
    canvas.paste(layer, (0, 0), layer)
    if named:
        _draw_labels(canvas, xy, conf, names, threshold, unit)
    return canvas


@dataclass(frozen=True)
class _Style:
    """How an instance is drawn: ``sides`` (K,) of SIDES, their colors, those of keypoints, and a dot's size."""

    sides: tuple[int, ...]
    lines: tuple[Color, ...]
    discs: tuple[Color, ...]
    unit: float
    widths: tuple[float, float]  # of a line and of its inner part, in units

    @classmethod
    def of(cls, names: Sequence[str], index: int, count: int, unit: float) -> _Style:
        """Of instance ``index`` of ``count``."""
        sides = tuple(next((s for s, word in enumerate(SIDES) if word and name.startswith(word)), 0) for name in names)
        if count == 1 and not any(sides):
            discs = tuple(PALETTE[k % len(PALETTE)] for k in range(len(names)))
            return cls(sides, (WHITE,), discs, unit, (2.4, 1.2))
        own = PALETTE[index % len(PALETTE)]
        lines = ALONE if count == 1 else (own, _mixed(own, WHITE, 0.55), _mixed(own, OUTLINE, 0.3))
        return cls(sides, lines, tuple(lines[side] for side in sides), unit, (3.4, 2.0))

    def color(self, a: int, b: int) -> Color:
        """Return the color of a line: that of its side, or that of the middle where it joins both or none."""
        first, second = self.sides[a], self.sides[b]
        return self.lines[max(first, second) if first == second or not first or not second else 0]


def _draw_instance(
    pen: ImageDraw.ImageDraw,
    points: NDArray[np.floating[Any]],
    sure: NDArray[np.bool_],
    skeleton: Sequence[tuple[int, int]],
    style: _Style,
) -> None:
    """Draw lines, then discs; ``points (K, 2)`` in the layer's pixels."""
    outer, inner = (round(width * style.unit) for width in style.widths)
    for a, b in skeleton:
        if sure[a] and sure[b]:
            ends = [tuple(points[a]), tuple(points[b])]
            pen.line(ends, fill=OUTLINE, width=outer)
            pen.line(ends, fill=style.color(a, b), width=inner)
    for k, (x, y) in enumerate(points):
        if sure[k]:
            _disc(pen, x, y, 4.0 * style.unit, OUTLINE)
            _disc(pen, x, y, 3.0 * style.unit, style.discs[k])


def _own_unit(points: NDArray[np.floating[Any]]) -> float:
    """Return a dot's size in picture pixels for an instance of these ``(M, 2)`` points."""
    return max(SMALLEST, float(np.ptp(points, axis=0).max()) / EXTENT) if len(points) else SMALLEST


def _mixed(color: Color, other: Color, share: float) -> Color:
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(color, other, strict=True))
    return red, green, blue


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
