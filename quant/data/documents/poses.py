"""Project a sheet into the picture with a pinhole camera, and compute with quadrilaterals.

Quads are ``(4, 2)`` float64 arrays of x, y in continuous picture coordinates, clockwise with y down. The top-left pixel
covers 0..1 x 0..1, so its center is (0.5, 0.5).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Quad = NDArray[np.float64]
Size = tuple[int, int]


def homography(source: Quad, target: Quad) -> NDArray[np.float64]:
    """Return the ``(3, 3)`` matrix, with last entry 1, that maps four source points to four target points."""
    rows = np.zeros((8, 8))
    rows[0::2, 0:2], rows[0::2, 2] = source, 1.0
    rows[1::2, 3:5], rows[1::2, 5] = source, 1.0
    rows[0::2, 6:8] = -source * target[:, :1]
    rows[1::2, 6:8] = -source * target[:, 1:]
    return np.append(np.linalg.solve(rows, target.reshape(8)), 1.0).reshape(3, 3)


def rectangle(size: tuple[float, float]) -> Quad:
    """Return the corners of (0, 0)..(width, height), clockwise from the top-left."""
    w, h = size
    return np.array([(0.0, 0.0), (w, 0.0), (w, h), (0.0, h)])


def rectangle_at(center: NDArray[np.float64], size: tuple[float, float], angle: float) -> Quad:
    """Return the corners of a rectangle of (width, height), rotated by an angle in rad around its center ``(2,)``."""
    turn = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
    return np.asarray((rectangle(size) - np.array(size) / 2) @ turn.T + center)


def area(quad: Quad) -> float:
    """Return the signed area in px^2, positive for a clockwise quad."""
    after = np.roll(quad, -1, axis=0)
    return float((quad[:, 0] * after[:, 1] - after[:, 0] * quad[:, 1]).sum() / 2)


def is_convex(quad: Quad, *, min_sine: float = 0.3) -> bool:
    """Return whether a quad is convex and clockwise, and the sine of each corner is above ``min_sine``."""
    edges = np.roll(quad, -1, axis=0) - quad
    before = np.roll(edges, 1, axis=0)
    cross = before[:, 0] * edges[:, 1] - before[:, 1] * edges[:, 0]
    lengths = np.hypot(*edges.T)
    return bool(np.all(cross > min_sine * lengths * np.roll(lengths, 1)))


def contains(quad: Quad, size: Size) -> NDArray[np.bool_]:
    """Return a mask ``(4,)`` of the corners inside a picture of (width, height) px."""
    return np.asarray(((quad >= 0) & (quad < np.array(size))).all(axis=1))


def draw_quad(
    rng: np.random.Generator,
    size: Size,
    sheet: tuple[float, float],
    *,
    scale: float,
    roll: float,
    tilt: float,
    outside: bool,
    touching: bool = False,
) -> Quad:
    """Return the corners of a sheet in the picture of a random camera.

    Args:
        rng: Random stream.
        size: (width, height) of the picture in px.
        sheet: (width, height) of the sheet in any unit.
        scale: Share of the picture's width or height that the bounding box of the sheet takes up, whichever is larger.
        roll: Rotation in the picture plane in rad.
        tilt: Angle between the view axis and the normal of the sheet in rad.
        outside: Whether at least one corner lies outside the picture. Otherwise all lie inside.
        touching: Whether a corner lies at the border of the picture. Ignored if ``outside``.
    """
    for attempt in range(40):
        lean = tilt * max(0.0, 1 - attempt / 30)
        limit = scale if outside else min(scale, 0.98)
        quad = _project(rng, size, sheet, limit, roll, lean)
        quad = _place(rng, quad, size, outside, touching)
        ok = is_convex(quad) and (contains(quad, size).all() != outside)
        if ok and (not outside or contains(quad.mean(axis=0, keepdims=True), size)[0]):
            return quad
    # Never reached with the tilts in use. A flat sheet in the middle is always a valid quad.
    w, h = size
    flat = rectangle(sheet) / max(sheet) * min(size) * (0.9 if not outside else 1.2)
    return np.asarray(flat - flat.mean(axis=0) + (w / 2, h / 2))


def _project(
    rng: np.random.Generator, size: Size, sheet: tuple[float, float], scale: float, roll: float, tilt: float
) -> Quad:
    focal = rng.uniform(0.75, 1.4) * max(size)
    flat = rectangle(sheet) / max(sheet)
    flat = np.column_stack([flat - flat.mean(axis=0), np.zeros(4)])
    axis = rng.uniform(0, 2 * np.pi)
    points = flat @ _turn_z(roll).T @ _tilt_about(axis, tilt).T
    depth = focal / (scale * max(size))
    quad = np.empty((4, 2))
    for _ in range(4):  # fixed-point iteration for the depth that gives the wanted extent
        # At least 0.6 for a sheet of length 1: lenses do not focus closer, and all depths stay positive.
        depth = max(depth, 0.6)
        quad = focal * points[:, :2] / (points[:, 2:] + depth)
        depth *= float((np.ptp(quad, axis=0) / np.array(size)).max()) / scale
    return quad


def _turn_z(angle: float) -> NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([(c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0)])


def _tilt_about(axis: float, angle: float) -> NDArray[np.float64]:
    """Return the rotation by ``angle`` around a line in the picture plane at ``axis`` rad."""
    turn = _turn_z(axis)
    c, s = np.cos(angle), np.sin(angle)
    pitch = np.array([(1.0, 0.0, 0.0), (0.0, c, -s), (0.0, s, c)])
    return np.asarray(turn @ pitch @ turn.T)


def _place(rng: np.random.Generator, quad: Quad, size: Size, outside: bool, touching: bool) -> Quad:
    """Move a quad to a random position.

    Moving it in the picture instead of in space is exact for a cropped photo, whose principal point is not the center
    of the picture, and otherwise close to a small rotation of the camera.
    """
    low, high = quad.min(axis=0), quad.max(axis=0)
    room = np.array(size) - (high - low)
    if not outside:
        pull = rng.beta(1.5, 1.5, 2)
        if touching:
            # A thousandth of the free space: less than a px from the border, and inside it even after rounding.
            pull[int(rng.integers(2))] = rng.choice([0.001, 0.999])
        return np.asarray(quad - low + np.maximum(room, 0) * pull)
    # Up to a third of the bounding box lies beyond one or two borders.
    start = rng.uniform(0, np.maximum(room, 1.0), 2) + np.minimum(room, 0) / 2
    over = rng.uniform(0.02, 0.33, 2) * (high - low)
    ends = np.where(rng.random(2) < 0.5, -over, room + over)
    sides = (np.array([1, 0]), np.array([0, 1]), np.array([1, 1]))[int(rng.integers(3))]
    return np.asarray(quad - low + np.where(sides, ends, start))
