"""Draw keypoints, skeletons and heatmaps on a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from edgehrnet.decoding import CONFIDENCE_THRESHOLD
from edgehrnet.drawing.coordinates import drawable
from edgehrnet.drawing.labels import RADIUS, Label, draw_labels
from edgehrnet.picture.cells import CellGrid
from edgehrnet.preparation import Transform

Color: TypeAlias = tuple[int, int, int]

# Distinguishable for most color-blind readers (the colors of Okabe and Ito, without black).
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
SIDES = ("", "left", "right")  # first words of keypoint names; the empty one stands for neither side
ALONE = (WHITE, PALETTE[1], PALETTE[0])  # colors of these three if there is one instance
MOST_NAMES = 8  # keypoints; a picture with more gets no names
DOTS_PER_INSTANCE = 150  # without names, an instance is this many dots wide or high
SMALLEST_DOT = 0.6  # px
DOTS_PER_PICTURE = 320  # with names, the longer side of a picture is this many dots
# Pillow draws hard edges. Drawing at twice the size and shrinking softens them; large pictures do not need it.
SUPERSAMPLE, HARD_EDGED_PIXELS = 2, 4_000_000


def draw_keypoints(
    picture: Image.Image,
    xy: NDArray[np.floating[Any]],
    conf: NDArray[np.floating[Any]],
    names: Sequence[str],
    skeleton: Sequence[tuple[int, int]],
    *,
    threshold: float = CONFIDENCE_THRESHOLD,
    also: NDArray[np.bool_] | None = None,
    colors: Sequence[int] | NDArray[np.int_] | None = None,
) -> Image.Image:
    """Draw the skeleton and a disc for each keypoint, with names and confidences while there are few.

    Keypoints below ``threshold`` are left out. With several instances each has its own color, lighter for names that
    begin with "left" and darker for "right". Without names, the size of the marks follows the size of the instance.

    Args:
        picture: The picture. It is not changed.
        xy: Keypoints of N instances, ``(N, K, 2)`` in picture pixels.
        conf: Their confidences ``(N, K)``.
        names: K names.
        skeleton: Index pairs of keypoints to connect.
        threshold: Smallest confidence of a keypoint that is drawn.
        also: ``(N, K)``, True for keypoints that are drawn below the threshold, too. None for none.
        colors: Number of each instance's color, such as its id. None counts them.

    Returns:
        An RGB picture of the same size.
    """
    canvas = picture.convert("RGB")
    xy, visible = drawable(xy), conf >= threshold
    if also is not None:
        visible = visible | also
    dot = max(1.0, max(canvas.size) / DOTS_PER_PICTURE)
    named = int(visible.sum()) <= MOST_NAMES
    dots = [dot if named else min(dot, _instance_dot(points[seen])) for points, seen in zip(xy, visible, strict=True)]
    scale = SUPERSAMPLE if canvas.width * canvas.height <= HARD_EDGED_PIXELS else 1
    layer = Image.new("RGBA", (canvas.width * scale, canvas.height * scale))
    pen = ImageDraw.Draw(layer)
    for n in np.argsort(dots, kind="stable")[::-1]:  # small instances over large ones
        style = _Style.for_instance(int(n if colors is None else colors[n]), len(xy), names, dots[n] * scale)
        _draw_instance(pen, (xy[n] + 0.5) * scale, visible[n], skeleton, style)
    # Shrink with premultiplied alpha: the transparent black around a stroke would darken its edge.
    layer = layer.convert("RGBa").resize(canvas.size, Image.Resampling.BOX).convert("RGBA")
    canvas.paste(layer, (0, 0), layer)
    if named:
        draw_labels(canvas, _labels(xy, conf, names, visible), dot)
    return canvas


@dataclass(frozen=True)
class _Style:
    """Colors and sizes of one instance."""

    sides: tuple[int, ...]
    """Index in SIDES of each keypoint."""
    lines: tuple[Color, ...]
    """Color of the lines of each side, or one color for all."""
    discs: tuple[Color, ...]
    """Color of each keypoint."""
    dot: float
    """Size of a dot in pixels of the layer."""
    widths: tuple[float, float]
    """Width of a line and of its inner part, in dots."""

    @classmethod
    def for_instance(cls, index: int, count: int, names: Sequence[str], dot: float) -> _Style:
        """Return the style of instance ``index`` out of ``count``."""
        sides = tuple(next((s for s, word in enumerate(SIDES) if word and name.startswith(word)), 0) for name in names)
        if count == 1 and not any(sides):
            discs = tuple(PALETTE[k % len(PALETTE)] for k in range(len(names)))
            return cls(sides, (WHITE,), discs, dot, (2.4, 1.2))
        color = PALETTE[index % len(PALETTE)]
        lines = ALONE if count == 1 else (color, _mixed(color, WHITE, 0.55), _mixed(color, OUTLINE, 0.3))
        return cls(sides, lines, tuple(lines[side] for side in sides), dot, (3.4, 2.0))

    def color(self, a: int, b: int) -> Color:
        """Return the color of the line between two keypoints: that of their side, or neutral between left and right."""
        first, second = self.sides[a], self.sides[b]
        return self.lines[max(first, second) if first == second or not first or not second else 0]


def _draw_instance(
    pen: ImageDraw.ImageDraw,
    points: NDArray[np.floating[Any]],
    visible: NDArray[np.bool_],
    skeleton: Sequence[tuple[int, int]],
    style: _Style,
) -> None:
    """Draw lines, then discs, for ``points (K, 2)`` in pixels of the layer."""
    outer, inner = (round(width * style.dot) for width in style.widths)
    for a, b in skeleton:
        if visible[a] and visible[b]:
            ends = [tuple(points[a]), tuple(points[b])]
            pen.line(ends, fill=OUTLINE, width=outer)
            pen.line(ends, fill=style.color(a, b), width=inner)
    for k, (x, y) in enumerate(points):
        if visible[k]:
            _disc(pen, x, y, RADIUS * style.dot, OUTLINE)
            _disc(pen, x, y, (RADIUS - 1) * style.dot, style.discs[k])


def _instance_dot(points: NDArray[np.floating[Any]]) -> float:
    """Return the size of a dot in picture pixels for an instance with these points ``(M, 2)``."""
    extent = float(np.ptp(points, axis=0).max()) if len(points) else 0.0
    return max(SMALLEST_DOT, extent / DOTS_PER_INSTANCE)


def _mixed(color: Color, other: Color, share: float) -> Color:
    """Blend two colors, ``share`` of the other one."""
    red, green, blue = (round(a + share * (b - a)) for a, b in zip(color, other, strict=True))
    return red, green, blue


def blend_heatmap(
    picture: Image.Image, heatmap: NDArray[np.floating[Any]], transform: Transform, grid: CellGrid
) -> Image.Image:
    """Draw a heatmap over the picture that it was computed from.

    Args:
        picture: The picture. It is not changed.
        heatmap: Activations ``(h, w)`` for the whole network input.
        transform: Map between the picture and the network input.
        grid: Positions of the heatmap cells in the network input.

    Returns:
        An RGB picture of the same size.
    """
    warm = np.zeros((*heatmap.shape, 4), np.uint8)
    strength = np.clip(heatmap, 0, 1)
    warm[..., 0], warm[..., 1] = 255, np.rint(220 * strength)
    warm[..., 3] = np.rint(200 * strength)
    # Three points define the affine map from picture pixels to cells.
    origin, right, down = grid.to_cells(transform.forward([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
    matrix = np.stack([right - origin, down - origin, origin], axis=1)
    # Pillow's origin is the corner of the first pixel, ours is its center.
    matrix[:, 2] += 0.5 - matrix[:, :2] @ (0.5, 0.5)
    layer = Image.fromarray(warm)
    cut = layer.transform(picture.size, Image.Transform.AFFINE, matrix.ravel().tolist(), Image.Resampling.BILINEAR)
    canvas = picture.convert("RGB")
    canvas.paste(cut, (0, 0), cut)
    return canvas


def _disc(pen: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill: Color) -> None:
    pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _labels(
    xy: NDArray[np.floating[Any]],
    conf: NDArray[np.floating[Any]],
    names: Sequence[str],
    visible: NDArray[np.bool_],
) -> list[Label]:
    """Return a label for each visible keypoint, above the upper ones and below the lower ones of an instance."""
    labels = []
    for points, confidences, seen in zip(xy, conf, visible, strict=True):
        middle = points[seen, 1].mean() if seen.any() else 0.0
        for k in np.flatnonzero(seen).tolist():
            texts = (f"{names[k]} {confidences[k]:.2f}", names[k])
            labels.append(Label(float(points[k, 0]), float(points[k, 1]), texts, above=bool(points[k, 1] < middle)))
    return labels
