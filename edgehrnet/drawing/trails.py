"""Draw the ways that keypoints took."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from edgehrnet.drawing.coordinates import drawable
from edgehrnet.drawing.overlay import HARD_EDGED_PIXELS, PALETTE, SUPERSAMPLE

LINES_PER_PICTURE = 180  # the longer side of a picture is this many line widths


def draw_trails(
    picture: Image.Image, trails: Sequence[NDArray[np.floating[Any]]], colors: Sequence[int]
) -> Image.Image:
    """Draw lines that fade towards their beginning.

    Args:
        picture: The picture. It is not changed.
        trails: Points ``(T, 2)`` in picture pixels, oldest first. A line breaks at NaN.
        colors: Number of each trail's color.

    Returns:
        An RGB picture of the same size.
    """
    canvas = picture.convert("RGB")
    scale = SUPERSAMPLE if canvas.width * canvas.height <= HARD_EDGED_PIXELS else 1
    layer = Image.new("RGBA", (canvas.width * scale, canvas.height * scale))
    pen = ImageDraw.Draw(layer)
    width = max(1, round(scale * max(canvas.size) / LINES_PER_PICTURE))
    for points, number in zip(trails, colors, strict=True):
        ends = (drawable(points) + 0.5) * scale
        for step, (a, b) in enumerate(pairwise(ends), 1):
            if np.isfinite([a, b]).all():
                fill = (*PALETTE[number % len(PALETTE)], round(60 + 195 * step / (len(ends) - 1)))
                pen.line([tuple(a), tuple(b)], fill=fill, width=width)
    layer = layer.convert("RGBa").resize(canvas.size, Image.Resampling.BOX).convert("RGBA")
    canvas.paste(layer, (0, 0), layer)
    return canvas
