"""Match the instances of two frames by their keypoints and boxes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgehrnet.errors import MissingExtraError

Points = NDArray[np.float64]
Mask = NDArray[np.bool_]
Solver = Callable[[NDArray[np.float64]], Any]
SIGMA = 0.1  # OKS constant of keypoints without one; COCO's are 0.025 to 0.107


@dataclass
class Pose:
    """Keypoints of one instance."""

    xy: Points
    """``(K, 2)`` in pixels."""
    seen: Mask
    """``(K,)``, True for confident keypoints."""
    box: Points
    """``(4,)`` left, top, right, bottom."""


def extent(xy: Points) -> Points:
    """Return the box around points ``(M, 2)``, left, top, right, bottom.

    >>> extent(np.array([[1.0, 5.0], [3.0, 2.0]])).tolist()
    [1.0, 2.0, 3.0, 5.0]
    """
    return np.concatenate([xy.min(axis=0), xy.max(axis=0)])


def iou(a: Points, b: Points) -> float:
    """Return the area of the intersection of two boxes by that of their union.

    >>> iou(np.array([0, 0, 2, 2]), np.array([1, 0, 3, 2]))
    0.3333333333333333
    """
    shared = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    union = (a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - shared
    return float(shared / union) if union > 0 else 0.0


def similarity(a: Pose, b: Pose, sigmas: NDArray[np.float64]) -> float:
    """Return how similar two poses are, 0..1: the mean of OKS and IoU, or IoU alone if no keypoint is seen in both."""
    both, overlap = a.seen & b.seen, iou(a.box, b.box)
    if not both.any():
        return overlap
    return (float(_closeness(a, b, sigmas)[both].mean()) + overlap) / 2


def turn(a: Pose, b: Pose, sigmas: NDArray[np.float64]) -> int:
    """Return the number of places by which to roll an outline ``b``, so that its keypoints meet those of ``a``.

    >>> square = np.array([[0.0, 0.0], [9.0, 0.0], [9.0, 9.0], [0.0, 9.0]])
    >>> a, b = (Pose(xy, np.ones(4, bool), extent(xy)) for xy in (square, np.roll(square, 1, axis=0)))
    >>> turn(a, b, np.full(4, 0.1))
    3
    """
    met = [float(_closeness(a, rolled(b, k), sigmas)[a.seen & np.roll(b.seen, k)].sum()) for k in range(len(b.xy))]
    return int(np.argmax(met))


def rolled(pose: Pose, places: int) -> Pose:
    """Return an outline that starts at another keypoint."""
    return Pose(np.roll(pose.xy, places, axis=0), np.roll(pose.seen, places), pose.box)


def _closeness(a: Pose, b: Pose, sigmas: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the terms of OKS ``(K,)``. The area is the mean of the two boxes'."""
    area = ((a.box[2:] - a.box[:2]).prod() + (b.box[2:] - b.box[:2]).prod()) / 2
    squared = ((a.xy - b.xy) ** 2).sum(axis=1)
    return np.asarray(np.exp(-squared / (8 * sigmas**2 * (area + 1e-9))))


def assign(similarities: NDArray[np.float64], smallest: float, solver: Solver | None) -> list[tuple[int, int]]:
    """Return pairs (row, column) that maximize the sum of similarities ``(M, N)``, none of them below ``smallest``.

    Args:
        similarities: 0..1.
        smallest: Smallest similarity of a pair.
        solver: See `hungarian`. None only for at most one row or column.
    """
    if 0 in similarities.shape:
        return []
    if solver is None or 1 in similarities.shape:
        row, column = np.unravel_index(similarities.argmax(), similarities.shape)
        pairs = [(int(row), int(column))]
    else:
        # What is too little counts as nothing, so that it cannot take the place of a good pair.
        rows, columns = solver(-np.where(similarities < smallest, 0, similarities))
        pairs = list(zip(rows.tolist(), columns.tolist(), strict=True))
    return [pair for pair in pairs if similarities[pair] >= smallest]


def hungarian() -> Solver:
    """Return SciPy's solver of the assignment problem.

    Raises:
        MissingExtraError: SciPy is not installed.
    """
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError:
        raise MissingExtraError(
            'following several instances needs SciPy; type: pip install "edgehrnet[video]"'
        ) from None
    solver: Solver = linear_sum_assignment
    return solver
