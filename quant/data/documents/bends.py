"""Smooth bends of a picture: the distortion of a lens, the curl of a sheet.

A bend is a function from points of the new picture to where they come from in the old one, both (N, 2) float64 in
continuous coordinates (pixel centers at halves).
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

_MESH = 24  # cells across and down; between its knots a bend is taken as bilinear
_TURNS = 1.7
_INSIDE = 1e-3  # px; Pillow answers black for points on the far border


def lens(size: Size, strength: float) -> Bend:
    """Return Brown's radial distortion of a lens, r * (1 + strength * r^2), r = 1 at a corner of the picture.

    Positive is barrel, negative pincushion; no point comes from beyond the picture. Well outside it, where the cubic
    would turn back, the factor stays what it is at r^2 = 1.7, so that every point has one place.
    Source: D. C. Brown, Decentering distortion of lenses (1966).
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
    """Return the bend of a sheet that curls between its corners, which stay where they are.

    ``push`` (2,): how far the middle moves, px; ``waves``: 1 for a bow, 2 for an S. ``taper`` -1..1: how much more
    one end of the roll bends than the other. ``upright``: the roll's axis runs down the sheet, not across it.
    """
    to_sheet = poses.homography(quad, poses.rectangle((1, 1)))

    def bend(points: Points) -> Points:
        flat = np.column_stack([points, np.ones(len(points))]) @ to_sheet.T
        # Far from the sheet the homography may pass its horizon; nothing of the sheet is there.
        depth = np.where(np.abs(flat[:, 2:]) < 1e-6, 1e-6, flat[:, 2:])
        along, across = np.clip(flat[:, :2] / depth, -0.2, 1.2).T[:: 1 if upright else -1]
        height = np.sin(waves * np.pi * along) * (1 + taper * (2 * across - 1))
        return np.asarray(points - height[:, None] * push)

    return bend


def apply(image: Image.Image, bend: Bend, origin: tuple[int, int] = (0, 0)) -> Image.Image:
    """Return the bent picture; origin = (left, top) is where it lies in the bend's coordinates."""
    w, h = image.size
    xs = np.unique(np.linspace(0, w, min(_MESH, w) + 1).astype(int))
    ys = np.unique(np.linspace(0, h, min(_MESH, h) + 1).astype(int))
    knots = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2).astype(np.float64)
    sources = np.clip(bend(knots + origin) - origin, 0, np.array([w, h]) - _INSIDE).reshape(len(ys), len(xs), 2)
    # Pillow's order of a quad: top-left, bottom-left, bottom-right, top-right.
    quads = np.concatenate([sources[:-1, :-1], sources[1:, :-1], sources[1:, 1:], sources[:-1, 1:]], axis=2)
    mesh = [
        ((int(xs[i]), int(ys[j]), int(xs[i + 1]), int(ys[j + 1])), tuple(quads[j, i].tolist()))
        for j in range(len(ys) - 1)
        for i in range(len(xs) - 1)
    ]
    return image.transform(image.size, Image.Transform.MESH, mesh, Image.Resampling.BILINEAR)


def moved(points: Points, bend: Bend) -> Points:
    """Return where points of the old picture are in the new one: the bend's inverse, by fixed-point steps.

    They converge where no slope of the bend is 2 or more; those of a lens of -0.12 to 0.15 lie in 0.4 to 1.5.
    """
    new = points.copy()
    for _ in range(50):
        new += points - bend(new)
    return np.asarray(new)
