"""Bend pictures smoothly: lens distortion and curled sheets.

A bend is a function that maps points of the new picture to their source points in the old one. Both are ``(N, 2)``
float64 in continuous coordinates, with pixel centers at halves.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quant.data.documents import poses
from quant.data.documents.poses import Quad, Size

Points = NDArray[np.float64]
Bend = Callable[[Points], Points]

_MESH = 24  # cells in each direction; inside a cell, a bend is interpolated bilinearly
_TURNS = 1.7  # largest r^2
_INSIDE = 1e-3  # px; Pillow returns black for points on the right and bottom border


def lens(size: Size, strength: float) -> Bend:
    """Return the radial distortion of a lens, r * (1 + strength * r^2), where r = 1 at a corner of the picture.

    All source points of the picture lie inside the old picture. For r^2 > 1.7, well outside the picture, the factor is
    constant, because the cubic would not be invertible there.
    Source: D. C. Brown, Decentering distortion of lenses (1966).

    Args:
        size: (width, height) of the picture in px.
        strength: Positive for barrel, negative for pincushion distortion.
    """
    center = np.array(size) / 2
    reach = float(np.hypot(*center))
    widest = 1 + max(strength, 0.0)

    def bend(points: Points) -> Points:
        away = (points - center) / reach
        squared = (away**2).sum(axis=1, keepdims=True).clip(max=_TURNS)
        return np.asarray(center + away * (1 + strength * squared) / widest * reach)

    return bend


def curl(quad: Quad, push: Points, *, waves: int, taper: float, upright: bool) -> Bend:
    """Return the bend of a sheet that curls between its corners, which do not move.

    Args:
        quad: Corners of the sheet.
        push: ``(2,)`` displacement of the middle in px.
        waves: 1 for a bow, 2 for an S shape.
        taper: Difference of the bend between the two ends of the roll, -1..1.
        upright: Whether the axis of the roll is vertical on the sheet instead of horizontal.
    """
    to_sheet = poses.homography(quad, poses.rectangle((1, 1)))

    def bend(points: Points) -> Points:
        flat = np.column_stack([points, np.ones(len(points))]) @ to_sheet.T
        # Far from the sheet, points may lie on the horizon of the homography. Clamp their depth.
        depth = np.where(np.abs(flat[:, 2:]) < 1e-6, 1e-6, flat[:, 2:])
        along, across = np.clip(flat[:, :2] / depth, -0.2, 1.2).T[:: 1 if upright else -1]
        height = np.sin(waves * np.pi * along) * (1 + taper * (2 * across - 1))
        return np.asarray(points - height[:, None] * push)

    return bend


def apply(image: Image.Image, bend: Bend, origin: tuple[int, int] = (0, 0)) -> Image.Image:
    """Return the bent picture. ``origin`` (left, top) is its position in the coordinates of the bend."""
    w, h = image.size
    xs = np.unique(np.linspace(0, w, min(_MESH, w) + 1).astype(int))
    ys = np.unique(np.linspace(0, h, min(_MESH, h) + 1).astype(int))
    knots = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2).astype(np.float64)
    sources = np.clip(bend(knots + origin) - origin, 0, np.array([w, h]) - _INSIDE).reshape(len(ys), len(xs), 2)
    # Pillow's order of corners: top-left, bottom-left, bottom-right, top-right.
    quads = np.concatenate([sources[:-1, :-1], sources[1:, :-1], sources[1:, 1:], sources[:-1, 1:]], axis=2)
    mesh = [
        ((int(xs[i]), int(ys[j]), int(xs[i + 1]), int(ys[j + 1])), tuple(quads[j, i].tolist()))
        for j in range(len(ys) - 1)
        for i in range(len(xs) - 1)
    ]
    return image.transform(image.size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)


def moved(points: Points, bend: Bend) -> Points:
    """Return the positions of points of the old picture in the new one, by fixed-point iteration.

    The iteration converges if all slopes of the bend are below 2. For a lens of strength -0.12 to 0.15 they are between
    0.4 and 1.5.
    """
    new = points.copy()
    for _ in range(50):
        new += points - bend(new)
    return np.asarray(new)
