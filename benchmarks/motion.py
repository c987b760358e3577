"""Measure the lag and the jitter of tracks of points.

Definitions, for points p(t) of a track in px and frames t:

- jitter: the root mean square of the second difference d(t + 1) - 2 d(t) + d(t - 1) of an error d, in px. It is 0 for a
  constant and for a steadily growing error.
- lag: the shift in frames by which the true track has to be delayed to agree best with the points (the peak of the
  cross-correlation).
- error: the root mean square of the distance to the true point, in px. Lag and jitter are part of it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
SHIFTS = np.arange(-3, 6.001, 0.05)  # frames


def jitter(points: Floats, true: Floats | None = None, counted: NDArray[np.bool_] | None = None) -> float:
    """Return the jitter of points ``(T, K, 2)``.

    Args:
        points: Positions in px.
        true: The true positions. None measures the points' own second difference, of which motion is a part.
        counted: ``(T, K)``, True for points that count. None counts all.

    >>> jitter(np.array([[[0.0, 0.0]], [[1.0, 0.0]], [[0.0, 0.0]]]))
    2.0
    """
    error = points if true is None else points - true
    squared = (np.diff(error, 2, axis=0) ** 2).sum(axis=2)
    kept = np.ones(squared.shape, bool) if counted is None else counted[:-2] & counted[1:-1] & counted[2:]
    return float(np.sqrt(squared[kept].mean()))


def shaking(points: Floats, counted: NDArray[np.bool_]) -> float:
    """Return the median length of the second difference of points ``(T, K, 2)``, over those that count ``(T, K)``."""
    kept = counted[:-2] & counted[1:-1] & counted[2:]
    return float(np.median(np.linalg.norm(np.diff(points, 2, axis=0), axis=2)[kept]))


def lag(points: Floats, true: Floats, counted: NDArray[np.bool_] | None = None) -> float:
    """Return the frames by which points ``(T, K, 2)`` lag behind the true ones.

    >>> t = np.arange(60.0)
    >>> lag(*(np.sin((t - late) / 5)[:, None, None] * (1, 1) for late in (1.5, 0)))
    1.5
    """
    frames = np.arange(len(true), dtype=np.float64)
    inner = slice(6, -6)  # where all shifts have frames
    kept = np.ones(points.shape[:2], bool) if counted is None else counted
    costs = []
    for shift in SHIFTS:
        at = frames[inner] - shift
        first = np.floor(at).astype(int)
        share = (at - first)[:, None, None]
        late = (1 - share) * true[first] + share * true[first + 1]
        costs.append((((points[inner] - late) ** 2).sum(axis=2))[kept[inner]].mean())
    return round(float(SHIFTS[int(np.argmin(costs))]), 2)


def error(points: Floats, true: Floats) -> float:
    """Return the root mean square of the distance of points ``(T, K, 2)`` to the true ones."""
    return float(np.sqrt(((points - true) ** 2).sum(axis=2).mean()))
