"""Scores of predicted keypoints, in numpy. Errors are distances in picture pixels or shares of its diagonal."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgehrnet.errors import InputError


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
    shift = best_shift(predicted, true, visible) if cyclic else 0
    return _distances(predicted, true, visible, shift)


def best_shift(predicted: ArrayLike, true: ArrayLike, visible: ArrayLike) -> int:
    """Return the shift for ``np.roll(predicted, shift, axis=0)`` with the least mean error; 0 if none is visible.

    Arguments as of keypoint_errors.
    """
    seen = np.asarray(visible, bool)
    if not seen.any():
        return 0
    return min(range(len(seen)), key=lambda s: float(_distances(predicted, true, seen, s)[seen].mean()))


def _distances(predicted: ArrayLike, true: ArrayLike, visible: ArrayLike, shift: int) -> NDArray[np.float64]:
    moved = np.roll(np.asarray(predicted, np.float64), shift, axis=0) - np.asarray(true, np.float64)
    return np.where(np.asarray(visible, bool), np.linalg.norm(moved, axis=1), np.nan)


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
class Bin:
    """Predictions of similar confidence: its mean and the share of them that is correct, both 0..1; their number."""

    confidence: float
    correct: float
    count: int


def reliability(conf: ArrayLike, correct: ArrayLike, bins: int = 15) -> list[Bin]:
    """Sort predictions by confidence into at most ``bins`` of equal mass, the least confident first.

    ``conf`` 0..1 and ``correct`` (bool) have one shape. Bins hold as many predictions each, give or take one
    (Nguyen & O'Connor 2015), but equal confidences are never parted: otherwise the order of the pictures would count.

    >>> for part in reliability([0.1, 0.9, 0.3, 0.7], [False, True, False, True], bins=2):
    ...     print(part)
    Bin(confidence=0.2, correct=0.0, count=2)
    Bin(confidence=0.8, correct=1.0, count=2)
    """
    sure, right = np.asarray(conf, np.float64).ravel(), np.asarray(correct, bool).ravel()
    if sure.shape != right.shape or bins < 1:
        raise InputError(f"{sure.size} confidences, {right.size} answers, bins={bins}; as many of both, bins from 1")
    if not sure.size:
        return []
    ends = np.quantile(sure, np.arange(1, bins) / bins)
    place = np.searchsorted(ends, sure, side="right")
    parts = [place == number for number in np.unique(place)]
    return [Bin(float(sure[part].mean()), float(right[part].mean()), int(part.sum())) for part in parts]


def expected_calibration_error(conf: ArrayLike, correct: ArrayLike, bins: int = 15) -> float:
    """Return how far confidence is from the share of correct answers, 0..1; NaN without a prediction.

    The mean over the bins of reliability, weighted by their counts, of |mean confidence - share correct| (Naeini et
    al. 2015, Guo et al. 2017; with bins of equal mass, Nguyen & O'Connor 2015). 0 says that of the answers given with
    confidence 0.8, for one, 80 % are correct.

    >>> round(expected_calibration_error([0.5, 0.5, 1.0, 1.0], [True, False, True, False], bins=2), 3)
    0.25
    """
    parts = reliability(conf, correct, bins)
    if not parts:
        return float("nan")
    return float(np.average([abs(p.confidence - p.correct) for p in parts], weights=[p.count for p in parts]))


@dataclass(frozen=True)
class Score:
    """Keypoint errors of a set of pictures; ``*_percent`` of the diagonal, ``pck*`` in percent of keypoints.

    ``presence_auroc`` and ``ece``, the expected calibration error, in 0..1.
    """

    pictures: int
    keypoints: int
    mean_percent: float
    median_percent: float
    p95_percent: float
    pck1: float
    pck2: float
    pck3: float
    presence_auroc: float
    ece: float

    def as_dict(self) -> dict[str, float | None]:
        """Return the fields as JSON values, rounded to what they can carry; None where there was nothing to score."""
        return {key: None if math.isnan(value) else round(value, 4) for key, value in asdict(self).items()}


def score(
    errors_percent: ArrayLike, pictures: int, presence_auroc: float = float("nan"), ece: float = float("nan")
) -> Score:
    """Summarize errors in percent of the diagonal, any shape; NaN entries are keypoints not scored."""
    pck1, pck2, pck3 = (pck(errors_percent, radius) for radius in (1, 2, 3))
    keypoints = int(np.isfinite(np.asarray(errors_percent, np.float64)).sum())
    return Score(pictures, keypoints, *spread(errors_percent), pck1, pck2, pck3, presence_auroc, ece)


def spread(errors: ArrayLike) -> tuple[float, float, float]:
    """Return mean, median and 95th percentile of the finite errors, any shape; NaN if there are none.

    >>> spread([1.0, 2.0, 6.0, float("nan")])
    (3.0, 2.0, 5.6)
    """
    scored = _scored(errors)
    if not scored.size:
        return float("nan"), float("nan"), float("nan")
    return float(scored.mean()), float(np.median(scored)), float(np.percentile(scored, 95))


def pck(errors: ArrayLike, radius: float) -> float:
    """Return the percentage of finite errors, any shape, that are at most ``radius``; NaN if there are none.

    >>> pck([1.0, 2.0, 6.0, 7.0, float("nan")], 2)
    50.0
    """
    scored = _scored(errors)
    return 100 * float((scored <= radius).mean()) if scored.size else float("nan")


def paired_bootstrap(a: ArrayLike, b: ArrayLike, *, rounds: int = 10_000, seed: int = 0) -> tuple[float, float, float]:
    """Return mean(a) - mean(b) and the ends of its 95 % interval, from resampled pictures (Efron 1979, percentiles).

    ``a`` and ``b`` ``(N,)`` are values of the same pictures in the same order, such as Evaluation.picture_px of two
    models; a picture where either is NaN is left out. An interval without 0 says that the models differ on more
    than these pictures, as far as these were drawn by chance. Raises InputError if nothing can be compared.

    >>> paired_bootstrap([3.0, 4.0, 5.0], [2.0, 3.0, 4.0])
    (1.0, 1.0, 1.0)
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise InputError(
            f"values of shapes {first.shape} and {second.shape}; pass two of shape (N,), picture by picture"
        )
    differences = first - second
    differences = differences[np.isfinite(differences)]
    if not differences.size:
        raise InputError("no picture has a value in both; pass two (N,) that share at least one finite entry")
    rng = np.random.default_rng(seed)
    # The pairs stay together: how hard a picture is moves both models, and cancels in the difference.
    means = [rng.choice(differences, differences.size).mean() for _ in range(rounds)]
    low, high = np.percentile(means, (2.5, 97.5))
    return float(differences.mean()), float(low), float(high)


def _scored(errors: ArrayLike) -> NDArray[np.float64]:
    values = np.asarray(errors, np.float64)
    return values[np.isfinite(values)]
