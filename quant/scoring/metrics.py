"""Compute errors of predicted keypoints, their summary, and the calibration of confidence, in numpy."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgehrnet.errors import InputError


def keypoint_errors(
    predicted: ArrayLike, true: ArrayLike, visible: ArrayLike, *, cyclic: bool = False
) -> NDArray[np.float64]:
    """Return the distance ``(K,)`` between each keypoint and its label, NaN where not visible.

    Args:
        predicted: Points ``(K, 2)``.
        true: Labeled points ``(K, 2)``, in the same unit.
        visible: ``(K,)``, True where the label is to be scored.
        cyclic: Score the cyclic order of the predicted points with the smallest mean error.

    >>> square = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    >>> keypoint_errors(np.roll(square, 1, axis=0), square, [True] * 4, cyclic=True).tolist()
    [0.0, 0.0, 0.0, 0.0]
    """
    shift = best_cyclic_shift(predicted, true, visible) if cyclic else 0
    return _distances(predicted, true, visible, shift)


def best_cyclic_shift(predicted: ArrayLike, true: ArrayLike, visible: ArrayLike) -> int:
    """Return the shift for ``np.roll(predicted, shift, axis=0)`` with the smallest mean error.

    The shift is 0 if no keypoint is visible. For the arguments, see `keypoint_errors`.
    """
    seen = np.asarray(visible, bool)
    if not seen.any():
        return 0
    return min(range(len(seen)), key=lambda s: float(_distances(predicted, true, seen, s)[seen].mean()))


def _distances(predicted: ArrayLike, true: ArrayLike, visible: ArrayLike, shift: int) -> NDArray[np.float64]:
    """Return distances ``(K,)`` after a cyclic shift, NaN where not visible."""
    moved = np.roll(np.asarray(predicted, np.float64), shift, axis=0) - np.asarray(true, np.float64)
    return np.where(np.asarray(visible, bool), np.linalg.norm(moved, axis=1), np.nan)


def auroc(positive: ArrayLike, negative: ArrayLike) -> float:
    """Return the probability that a positive scores higher than a negative. Ties count half.

    The result is NaN if there are no positives or no negatives.

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
    """Predictions of similar confidence."""

    confidence: float
    """Their mean confidence, 0..1."""
    correct: float
    """Share of them that is correct, 0..1."""
    count: int
    """Number of predictions."""


def reliability(conf: ArrayLike, correct: ArrayLike, bins: int = 15) -> list[Bin]:
    """Group predictions by confidence into bins of equal size, the least confident first.

    Bins have the same number of predictions, give or take one (Nguyen & O'Connor 2015). Predictions of equal
    confidence always share a bin, as the result would otherwise depend on the order of the pictures.

    Args:
        conf: Confidence of any shape, 0..1.
        correct: Booleans of the same shape.
        bins: Largest number of bins.

    Raises:
        InputError: The sizes differ, or ``bins`` is less than 1.

    >>> for part in reliability([0.1, 0.9, 0.3, 0.7], [False, True, False, True], bins=2):
    ...     print(part)
    Bin(confidence=0.2, correct=0.0, count=2)
    Bin(confidence=0.8, correct=1.0, count=2)
    """
    sure, right = np.asarray(conf, np.float64).ravel(), np.asarray(correct, bool).ravel()
    if sure.shape != right.shape:
        raise InputError(f"conf has {sure.size} values, correct has {right.size}; they must have the same shape")
    if bins < 1:
        raise InputError(f"bins={bins}: must be at least 1")
    if not sure.size:
        return []
    ends = np.quantile(sure, np.arange(1, bins) / bins)
    place = np.searchsorted(ends, sure, side="right")
    parts = [place == number for number in np.unique(place)]
    return [Bin(float(sure[part].mean()), float(right[part].mean()), int(part.sum())) for part in parts]


def expected_calibration_error(conf: ArrayLike, correct: ArrayLike, bins: int = 15) -> float:
    """Return the expected calibration error (ECE), 0..1, or NaN without a prediction.

    It is the mean of |mean confidence - share correct| over the bins of `reliability`, weighted by their sizes (Naeini
    et al. 2015, Guo et al. 2017). If it is 0, 80 % of the predictions with confidence 0.8 are correct, for example. For
    the arguments, see `reliability`.

    >>> round(expected_calibration_error([0.5, 0.5, 1.0, 1.0], [True, False, True, False], bins=2), 3)
    0.25
    """
    parts = reliability(conf, correct, bins)
    if not parts:
        return float("nan")
    return float(np.average([abs(p.confidence - p.correct) for p in parts], weights=[p.count for p in parts]))


@dataclass(frozen=True)
class Score:
    """Summary of the keypoint errors on a set of pictures, with NaN where nothing was scored."""

    pictures: int
    """Number of pictures."""
    keypoints: int
    """Number of keypoints scored."""
    mean_percent: float
    """Mean error in percent of the picture's diagonal."""
    median_percent: float
    """Median error in percent of the picture's diagonal."""
    p95_percent: float
    """95th percentile of the error in percent of the picture's diagonal."""
    pck1: float
    """Percentage of keypoints within 1 % of the diagonal."""
    pck2: float
    """Percentage of keypoints within 2 % of the diagonal."""
    pck3: float
    """Percentage of keypoints within 3 % of the diagonal."""
    presence_auroc: float
    """AUROC, 0..1, of the mean confidence for telling empty pictures from others."""
    ece: float
    """Expected calibration error, 0..1."""

    def as_dict(self) -> dict[str, float | None]:
        """Return the fields as JSON values, rounded to four digits, with None where nothing was scored."""
        return {key: None if math.isnan(value) else round(value, 4) for key, value in asdict(self).items()}


def score(
    errors_percent: ArrayLike, pictures: int, presence_auroc: float = float("nan"), ece: float = float("nan")
) -> Score:
    """Summarize errors.

    Args:
        errors_percent: Errors of any shape in percent of the diagonal, NaN where not scored.
        pictures: Number of pictures.
        presence_auroc: See `Score`.
        ece: See `Score`.
    """
    pck1, pck2, pck3 = (pck(errors_percent, radius) for radius in (1, 2, 3))
    keypoints = int(np.isfinite(np.asarray(errors_percent, np.float64)).sum())
    return Score(pictures, keypoints, *spread(errors_percent), pck1, pck2, pck3, presence_auroc, ece)


def spread(errors: ArrayLike) -> tuple[float, float, float]:
    """Return mean, median and 95th percentile of the finite errors of an array, or NaN without any.

    >>> spread([1.0, 2.0, 6.0, float("nan")])
    (3.0, 2.0, 5.6)
    """
    scored = _scored(errors)
    if not scored.size:
        return float("nan"), float("nan"), float("nan")
    return float(scored.mean()), float(np.median(scored)), float(np.percentile(scored, 95))


def pck(errors: ArrayLike, radius: float) -> float:
    """Return the percentage of the finite errors of an array that are at most ``radius``, or NaN without any.

    >>> pck([1.0, 2.0, 6.0, 7.0, float("nan")], 2)
    50.0
    """
    scored = _scored(errors)
    return 100 * float((scored <= radius).mean()) if scored.size else float("nan")


def paired_bootstrap(a: ArrayLike, b: ArrayLike, *, rounds: int = 10_000, seed: int = 0) -> tuple[float, float, float]:
    """Return mean(a) - mean(b) and its 95 % confidence interval, by resampling pictures (Efron 1979, percentiles).

    An interval without 0 means that the models differ on more than these pictures, if these are a random sample.

    Args:
        a: Values ``(N,)`` of the first model, such as Evaluation.picture_px.
        b: Values ``(N,)`` of the second model for the same pictures, in the same order. A picture where either value is
            NaN is left out.
        rounds: Number of resampled sets of pictures.
        seed: Seed of the resampling.

    Returns:
        The difference, and the lower and upper end of the interval.

    Raises:
        InputError: The shapes differ, or no picture has a value in both.

    >>> paired_bootstrap([3.0, 4.0, 5.0], [2.0, 3.0, 4.0])
    (1.0, 1.0, 1.0)
    """
    first, second = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if first.shape != second.shape or first.ndim != 1:
        raise InputError(
            f"a has shape {first.shape}, b has shape {second.shape}; pass one value per picture, both of shape (N,)"
        )
    differences = first - second
    differences = differences[np.isfinite(differences)]
    if not differences.size:
        raise InputError("no picture has a finite value in both a and b; nothing can be compared")
    rng = np.random.default_rng(seed)
    # Resample pairs: the difficulty of a picture affects both models and cancels in the difference.
    means = [rng.choice(differences, differences.size).mean() for _ in range(rounds)]
    low, high = np.percentile(means, (2.5, 97.5))
    return float(differences.mean()), float(low), float(high)


def _scored(errors: ArrayLike) -> NDArray[np.float64]:
    """Return the finite errors as a flat array."""
    values = np.asarray(errors, np.float64)
    return values[np.isfinite(values)]
