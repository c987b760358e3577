"""Flatten a rectangular sheet that was photographed at an angle."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgehrnet.drawing.coordinates import drawable
from edgehrnet.errors import InputError
from edgehrnet.picture.limits import MAX_PIXELS, MAX_SIDE

# Focal lengths are divided by the longer side of the picture.
PHONE_FOCAL = 0.8  # a phone's main lens: 28 mm for a frame of 36 mm
FOCAL_RANGE = (0.5, 4.0)  # a wide lens to a short telephoto; values outside are measurement noise


def sheet_size(corners: NDArray[np.floating[Any]], picture: tuple[int, int]) -> tuple[float, float]:
    """Return the (width, height) in pixels at which a rectangular sheet keeps all of its detail.

    Four corners of a rectangle in space define its proportions and the focal length, for a camera whose optical axis
    meets the center of the picture (Zhang & He, Whiteboard scanning and image enhancement, 2007). Where two sides are
    parallel in the picture the focal length is undefined, and a phone's is used. The longer of two opposite sides sets
    the scale.

    Args:
        corners: Corners ``(4, 2)`` in picture pixels, clockwise from the top-left.
        picture: (width, height) of the picture in pixels.

    >>> [round(side, 3) for side in sheet_size(np.array([[10, 10], [30, 10], [30, 50], [10, 50]]), (100, 80))]
    [20.0, 40.0]
    """
    points = drawable(corners)
    sides = np.linalg.norm(np.roll(points, -1, axis=0) - points, axis=1)
    width, height = max(sides[0], sides[2]), max(sides[1], sides[3])
    ratio = _ratio(points - (np.array(picture) - 1) / 2, max(picture))
    if not math.isfinite(ratio) or not 0.02 < ratio * height / max(width, 1e-9) < 50:
        return float(width), float(height)
    return (float(width), float(width / ratio)) if width > ratio * height else (float(ratio * height), float(height))


def _ratio(points: NDArray[np.float64], long_side: int) -> float:
    """Return width / height of the rectangle, NaN if three corners lie on a line.

    Args:
        points: Corners ``(4, 2)`` in pixels from the center of the picture.
        long_side: Longer side of the picture in pixels.
    """
    m1, m2, m4, m3 = np.c_[points / long_side, np.ones(4)]
    below = np.cross(m2, m4) @ m3, np.cross(m3, m4) @ m2
    if min(abs(below[0]), abs(below[1])) < 1e-9:
        return math.nan
    across = np.cross(m1, m4) @ m3 / below[0] * m2 - m1
    down = np.cross(m1, m4) @ m2 / below[1] * m3 - m1
    squared = PHONE_FOCAL**2
    if abs(across[2] * down[2]) > 1e-4:
        measured = -(across[:2] @ down[:2]) / (across[2] * down[2])
        squared = measured if FOCAL_RANGE[0] ** 2 < measured < FOCAL_RANGE[1] ** 2 else squared
    scale = np.array([1 / squared, 1 / squared, 1.0])
    length = down**2 @ scale
    return math.sqrt((across**2 @ scale) / length) if length > 1e-12 else math.nan


def flatten_quadrilateral(
    picture: Image.Image, corners: NDArray[np.floating[Any]], size: tuple[int, int]
) -> Image.Image:
    """Map a quadrilateral of a picture onto a whole picture.

    Args:
        picture: The picture. It is not changed.
        corners: Corners ``(4, 2)`` in picture pixels, clockwise from the one that becomes the top-left.
        size: (width, height) of the result in pixels.
    """
    width, height = size
    corners = drawable(corners)
    # Pillow samples at continuous coordinates: the center of pixel 0 is 0.5.
    square = [(0.5, 0.5), (width - 0.5, 0.5), (width - 0.5, height - 0.5), (0.5, height - 0.5)]
    coefficients = perspective_coefficients(np.array(square), corners + 0.5)
    # Before shrinking, remove detail that the result cannot represent.
    shrink = int(max(1.0, np.ptp(corners[:, 0]) / width, np.ptp(corners[:, 1]) / height) + 0.25)
    if shrink > 1:
        picture = picture.reduce(shrink)
        coefficients[:6] /= shrink
    return picture.transform(size, Image.Transform.PERSPECTIVE, coefficients.tolist(), Image.Resampling.BICUBIC)


def perspective_coefficients(
    source: NDArray[np.floating[Any]], target: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """Return the 8 coefficients of Pillow's PERSPECTIVE transform from ``source`` to ``target``.

    The coefficients a..h satisfy x' = (ax + by + c) / (gx + hy + 1) and y' = (dx + ey + f) / (gx + hy + 1). Degenerate
    points give the least-squares solution.

    Args:
        source: Four points (x, y), ``(4, 2)``, no three on a line.
        target: Four points (x', y'), ``(4, 2)``.

    >>> unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    >>> (perspective_coefficients(unit, unit * 2 + 3).round(6) + 0.0).tolist()  # + 0.0 removes minus zeros
    [2.0, 0.0, 3.0, 0.0, 2.0, 3.0, 0.0, 0.0]
    """
    rows = []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
    solution: NDArray[np.float64] = np.linalg.lstsq(np.array(rows), np.asarray(target).ravel(), rcond=None)[0]
    return solution


def checked_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return a (height, width) in pixels. Raise InputError unless a picture of this size can be drawn."""
    pair = isinstance(size, tuple | list) and len(size) == 2
    if not pair or not all(isinstance(side, int | np.integer) and 1 <= side <= MAX_SIDE for side in size):
        raise InputError(f"size={size!r}; use (height, width), two whole numbers from 1 to {MAX_SIDE}, or None")
    if size[0] * size[1] > MAX_PIXELS:
        raise InputError(f"size={size!r}; at most {MAX_PIXELS // 10**6} million pixels are accepted")
    return int(size[0]), int(size[1])
