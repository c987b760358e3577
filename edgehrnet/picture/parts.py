"""Letterbox a part of a picture as if it were a picture, so that a network for whole pictures runs on a box."""

from __future__ import annotations

from dataclasses import replace
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from edgehrnet.picture.crops import MARGIN, Box
from edgehrnet.picture.letterbox import Letterbox, letterbox
from edgehrnet.picture.picture import Picture


def part_of(box: Box, width: int, height: int, *, margin: float = MARGIN) -> tuple[slice, slice]:
    """Return the rows and columns of the part of a picture that a box stands for.

    The box grows around its center, and to whole pixels. What lies outside the picture is left out. One pixel is left
    at least, also of a box that lies outside.

    Args:
        box: The box, xywh in pixels of the picture.
        width: Width of the picture in pixels.
        height: Height of the picture in pixels.
        margin: Factor by which the box grows.

    >>> part_of((100, 40, 80, 40), 640, 480)
    (slice(35, 85, None), slice(90, 190, None))
    >>> part_of((630, -90, 80, 40), 640, 480)
    (slice(0, 1, None), slice(620, 640, None))
    """
    x, y, w, h = box
    return _span(y, h * margin, height, h), _span(x, w * margin, width, w)


def _span(start: float, grown: float, side: int, length: float) -> slice:
    middle = start + length / 2
    first = min(max(0, floor(middle - grown / 2)), side - 1)
    return slice(first, max(first + 1, min(side, ceil(middle + grown / 2))))


def letterbox_part(
    image: NDArray[np.uint8] | Picture, box: Box, input_size: tuple[int, int], *, multiple: int
) -> tuple[NDArray[np.uint8], Letterbox]:
    """Scale the part of a picture that a box stands for into the network input, see `letterbox`.

    Args:
        image: The picture, ``(H, W, 3)`` u8 RGB. One that was read at a reduced scale is read in full.
        box: The box, xywh in pixels of the picture, see `part_of`.
        input_size: (height, width) of the input, both multiples of ``multiple``.
        multiple: Number that divides both sides.

    Returns:
        The input ``(height, width, 4)`` u8, and the Letterbox that maps coordinates of the whole picture.
    """
    pixels = Picture.of(image).full
    rows, columns = part_of(box, pixels.shape[1], pixels.shape[0])
    found, place = letterbox(pixels[rows, columns], input_size, multiple=multiple)
    return found, replace(place, x=columns.start, y=rows.start)
