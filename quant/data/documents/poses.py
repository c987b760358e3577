"""Where a sheet lies in the picture: a pinhole camera in front of a plane.

Quads are (4, 2) float64 arrays of x, y in continuous picture coordinates (the top-left pixel covers
0..1 x 0..1, so its center is 0.5, 0.5), clockwise as seen in the picture, y down.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Quad = NDArray[np.float64]
Size = tuple[int, int]


def homography(source: Quad, target: Quad) -> NDArray[np.float64]:
    """Return the (3, 3) matrix, last entry 1, that takes four source points to four target points."""
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
    """Return the corners of a rectangle of (width, height) turned by an angle in rad about its center (2,)."""
    turn = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
    return np.asarray((rectangle(size) - np.array(size) / 2) @ turn.T + center)


def area(quad: Quad) -> float:
    """Return the signed area in px^2; positive for a quad that runs clockwise in the picture."""
    after = np.roll(quad, -1, axis=0)
    return float((quad[:, 0] * after[:, 1] - after[:, 0] * quad[:, 1]).sum() / 2)


def is_convex(quad: Quad, *, min_sine: float = 0.3) -> bool:
    """Tell whether the quad is convex, clockwise, and has no corner sharper or flatter than allowed."""
    edges = np.roll(quad, -1, axis=0) - quad
    before = np.roll(edges, 1, axis=0)
    cross = before[:, 0] * edges[:, 1] - before[:, 1] * edges[:, 0]
    lengths = np.hypot(*edges.T)
    return bool(np.all(cross > min_sine * lengths * np.roll(lengths, 1)))


def contains(quad: Quad, size: Size) -> NDArray[np.bool_]:
    """Tell for each corner whether it lies inside a picture of (width, height) px; shape (4,)."""
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
    """Draw the picture of a sheet (width, height; any unit) under a random camera.

    scale: larger share of the picture's width or height that the sheet's bounding box takes up.
    roll: turn in the picture plane, rad. tilt: angle between view axis and the sheet's normal, rad.
    outside: at least one corner leaves the picture; otherwise none does. touching: unless one leaves it, a corner
    lies at the picture's border.
    """
    for attempt in range(40):
        lean = tilt * max(0.0, 1 - attempt / 30)
        limit = scale if outside else min(scale, 0.98)
        quad = _project(rng, size, sheet, limit, roll, lean)
        quad = _place(rng, quad, size, outside, touching)
        ok = is_convex(quad) and (contains(quad, size).all() != outside)
        if ok and (not outside or contains(quad.mean(axis=0, keepdims=True), size)[0]):
            return quad
    # Never reached by the tilts in use; a flat sheet in the middle keeps the promise of a valid quad.
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
    for _ in range(4):  # The depth that gives the wanted extent, by fixed-point steps.
        # No nearer than 0.6 in front of a sheet of length 1: no lens focuses there, and depths stay > 0.
        depth = max(depth, 0.6)
        quad = focal * points[:, :2] / (points[:, 2:] + depth)
        depth *= float((np.ptp(quad, axis=0) / np.array(size)).max()) / scale
    return quad


def _turn_z(angle: float) -> NDArray[np.float64]:
    c, s = np.cos(angle), np.sin(angle)
    return np.array([(c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0)])


def _tilt_about(axis: float, angle: float) -> NDArray[np.float64]:
    """Rotation by `angle` about a line in the picture plane at `axis` rad."""
    turn = _turn_z(axis)
    c, s = np.cos(angle), np.sin(angle)
    pitch = np.array([(1.0, 0.0, 0.0), (0.0, c, -s), (0.0, s, c)])
    return np.asarray(turn @ pitch @ turn.T)


def _place(rng: np.random.Generator, quad: Quad, size: Size, outside: bool, touching: bool) -> Quad:
    """Shift a quad to a random place.

    A shift in the picture instead of in space is exact for a camera whose principal point is not the
    picture's center (a cropped photo) and close to a small turn of the camera otherwise.
    """
    low, high = quad.min(axis=0), quad.max(axis=0)
    room = np.array(size) - (high - low)
    if not outside:
        pull = rng.beta(1.5, 1.5, 2)
        if touching:
            # A thousandth of the room: under a px from the border, and inside it even after rounding.
            pull[int(rng.integers(2))] = rng.choice([0.001, 0.999])
        return np.asarray(quad - low + np.maximum(room, 0) * pull)
    # Overhang: part of the bounding box, up to a third of it, beyond one or two sides.
    start = rng.uniform(0, np.maximum(room, 1.0), 2) + np.minimum(room, 0) / 2
    over = rng.uniform(0.02, 0.33, 2) * (high - low)
    ends = np.where(rng.random(2) < 0.5, -over, room + over)
    sides = (np.array([1, 0]), np.array([0, 1]), np.array([1, 1]))[int(rng.integers(3))]
    return np.asarray(quad - low + np.where(sides, ends, start))
