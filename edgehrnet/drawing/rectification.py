"""A sheet seen at an angle -> the sheet as seen from above: its proportions, and its picture."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgehrnet.drawing.overlay import FAR

FOCAL = 0.8  # a phone's main lens: focal length / long side of the picture (28 mm of a 36 mm frame)
FOCALS = (0.5, 4.0)  # from a wide lens to a short telephoto; what lies outside was measured from noise


def sheet_size(corners: NDArray[np.floating[Any]], picture: tuple[int, int]) -> tuple[float, float]:
    """Return the (width, height) in px at which a rectangle with these corners loses no detail.

    ``corners`` ``(4, 2)``, clockwise from the top-left, in px of a picture of (width, height). Four corners of a
    rectangle in space tell the focal length and its proportions, for a camera whose axis meets the middle of the
    picture (Zhang & He, Whiteboard scanning and image enhancement, 2007); where two sides run parallel in the
    picture they do not, and a phone's usual focal length is taken. The longer of opposite sides sets the scale.

    >>> [round(side, 3) for side in sheet_size(np.array([[10, 10], [30, 10], [30, 50], [10, 50]]), (100, 80))]
    [20.0, 40.0]
    """
    points = np.asarray(corners, np.float64).clip(-FAR, FAR)
    sides = np.linalg.norm(np.roll(points, -1, axis=0) - points, axis=1)
    width, height = max(sides[0], sides[2]), max(sides[1], sides[3])
    ratio = _ratio(points - (np.array(picture) - 1) / 2, max(picture))
    if not math.isfinite(ratio) or not 0.02 < ratio * height / max(width, 1e-9) < 50:
        return float(width), float(height)
    return (float(width), float(width / ratio)) if width > ratio * height else (float(ratio * height), float(height))


def _ratio(points: NDArray[np.float64], long_side: int) -> float:
    """Width / height of the rectangle; NaN if the points are not in general position."""
    m1, m2, m4, m3 = np.c_[points / long_side, np.ones(4)]
    below = np.cross(m2, m4) @ m3, np.cross(m3, m4) @ m2
    if min(abs(below[0]), abs(below[1])) < 1e-9:
        return math.nan
    across = np.cross(m1, m4) @ m3 / below[0] * m2 - m1
    down = np.cross(m1, m4) @ m2 / below[1] * m3 - m1
    squared = FOCAL**2
    if abs(across[2] * down[2]) > 1e-4:
        measured = -(across[:2] @ down[:2]) / (across[2] * down[2])
        squared = measured if FOCALS[0] ** 2 < measured < FOCALS[1] ** 2 else squared
    scale = np.array([1 / squared, 1 / squared, 1.0])
    length = down**2 @ scale
    return math.sqrt((across**2 @ scale) / length) if length > 1e-12 else math.nan


def flatten_quadrilateral(
    picture: Image.Image, corners: NDArray[np.floating[Any]], size: tuple[int, int]
) -> Image.Image:
    """Map a quadrilateral ``(4, 2)``, clockwise picture pixels, onto a picture of ``size`` = (width, height)."""
    width, height = size
    corners = np.clip(corners, -FAR, FAR)
    # Pillow samples at continuous coordinates, where the center of pixel 0 is 0.5.
    square = [(0.5, 0.5), (width - 0.5, 0.5), (width - 0.5, height - 0.5), (0.5, height - 0.5)]
    coefficients = homography(np.array(square), np.asarray(corners) + 0.5)
    # Shrinking needs a picture without finer detail than the result has.
    shrink = int(max(1.0, np.ptp(corners[:, 0]) / width, np.ptp(corners[:, 1]) / height) + 0.25)
    if shrink > 1:
        picture = picture.reduce(shrink)
        coefficients[:6] /= shrink
    return picture.transform(size, Image.Transform.PERSPECTIVE, coefficients.tolist(), Image.Resampling.BICUBIC)


def homography(source: NDArray[np.floating[Any]], target: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the 8 numbers a..h with x' = (ax + by + c) / (gx + hy + 1), y' = (dx + ey + f) / (gx + hy + 1).

    ``source`` and ``target`` are ``(4, 2)``, no three points on a line; a degenerate case gives the nearest
    least-squares answer.

    >>> unit = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    >>> (homography(unit, unit * 2 + 3).round(6) + 0.0).tolist()  # no minus zeros
    [2.0, 0.0, 3.0, 0.0, 2.0, 3.0, 0.0, 0.0]
    """
    rows = []
    for (x, y), (u, v) in zip(source, target, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
    solution: NDArray[np.float64] = np.linalg.lstsq(np.array(rows), np.asarray(target).ravel(), rcond=None)[0]
    return solution
