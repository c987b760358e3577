"""Scores of predicted keypoints, in numpy. Errors are distances in picture pixels or shares of its diagonal."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


def keypoint_errors(
    predicted: ArrayLike, true: ArrayLike, visible: ArrayLike, *, cyclic: bool = False
) -> NDArray[np.float64]:
    """Return the distance of each keypoint, ``(K,)`` in the unit of the points; NaN where not visible.

    ``predicted`` and ``true`` ``(K, 2)``, ``visible`` ``(K,)``. With ``cyclic``, the prediction is shifted by the
    cyclic shift with the least mean error.

    >>> square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    >>> keypoint_errors(np.roll(square, 1, axis=0), square, [True] * 4, cyclic=True).tolist()
    [0.0, 0.0, 0.0, 0.0]
    """
    seen = np.asarray(visible, bool)
    points = np.asarray(predicted, np.float64)
    shifts = [np.roll(points, shift, axis=0) for shift in range(len(points) if cyclic else 1)]
    distances = [np.where(seen, np.linalg.norm(p - np.asarray(true), axis=1), np.nan) for p in shifts]
    if not seen.any():
        return distances[0]
    return min(distances, key=lambda d: float(np.nanmean(d)))


def auroc(positive: ArrayLike, negative: ArrayLike) -> float:
    """Return the probability that a positive scores higher than a negative (ties count half); NaN if either is empty.

    >>> auroc([0.9, 0.4], [0.1, 0.4])
    0.875
    """
    high, low = np.asarray(positive, np.float64), np.asarray(negative, np.float64)
    if not high.size or not low.size:
        return float("nan")
    greater = (high[:, None] > low[None, :]).mean()
    equal = (high[:, None] == low[None, :]).mean()
    return float(greater + equal / 2)


@dataclass(frozen=True)
class Score:
    """Keypoint errors of a set of pictures; ``*_percent`` of the diagonal, ``pck*`` in percent of keypoints."""

    pictures: int
    keypoints: int
    mean_percent: float
    median_percent: float
    p95_percent: float
    pck1: float
    pck2: float
    pck3: float
    presence_auroc: float

    def as_dict(self) -> dict[str, float | None]:
        """Return the fields as JSON values, rounded to what they can carry; None where there was nothing to score."""
        return {key: None if math.isnan(value) else round(value, 4) for key, value in asdict(self).items()}


def score(errors_percent: ArrayLike, pictures: int, presence_auroc: float = float("nan")) -> Score:
    """Summarise errors in percent of the diagonal, any shape; NaN entries are keypoints not scored."""
    errors = np.asarray(errors_percent, np.float64)
    errors = errors[np.isfinite(errors)]
    if not errors.size:
        nan = float("nan")
        return Score(pictures, 0, nan, nan, nan, nan, nan, nan, presence_auroc)
    pck1, pck2, pck3 = (100 * float((errors <= radius).mean()) for radius in (1, 2, 3))
    mean, median, p95 = float(errors.mean()), float(np.median(errors)), float(np.percentile(errors, 95))
    return Score(pictures, errors.size, mean, median, p95, pck1, pck2, pck3, presence_auroc)
