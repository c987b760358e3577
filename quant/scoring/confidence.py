"""Fit the map from heatmap peaks to probabilities, on pictures used neither for training nor for scoring."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgehrnet.errors import InputError

RIDGE = 1e-3  # keeps the fit finite where peaks separate correct from wrong perfectly
STEPS = 100


def fit(peaks: ArrayLike, correct: ArrayLike) -> tuple[float, float, float]:
    """Return the maximum-likelihood factors (a, b, c) of decoding.probability.

    This is beta calibration (Kull, AISTATS 2017): a logistic regression on ln p and -ln(1 - p). A factor a or b that
    would be negative is set to 0, so that a higher peak never gives a lower probability.

    Args:
        peaks: Peak values of heatmaps, 0..1, of any shape.
        correct: Booleans of the same shape, True where the keypoint is within the radius that confidence stands for.

    Raises:
        InputError: All keypoints are correct, or none is.
    """
    p = np.asarray(peaks, np.float64).ravel().clip(1e-6, 1 - 1e-6)
    right = np.asarray(correct, np.float64).ravel()
    if not 0 < right.mean() < 1:
        raise InputError(f"{right.sum():.0f} of {len(right)} keypoints are correct; a fit needs correct and wrong ones")
    columns = np.stack([np.log(p), -np.log1p(-p), np.ones_like(p)], axis=1)
    kept = [0, 1, 2]
    while True:
        factors = np.zeros(3)
        factors[kept] = _logistic(columns[:, kept], right)
        worst = int(factors[:2].argmin())
        if factors[worst] >= 0:
            a, b, c = (round(float(value), 6) for value in factors)
            return a, b, c
        kept.remove(worst)


def _logistic(columns: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fit a logistic regression with damped Newton steps and return its factors."""
    factors = np.zeros(columns.shape[1])
    for _ in range(STEPS):
        share = 1 / (1 + np.exp(-columns @ factors))
        slope = columns.T @ (share - right) / len(right) + RIDGE * factors / len(right)
        curve = (columns * (share * (1 - share))[:, None]).T @ columns / len(right)
        step = np.linalg.solve(curve + RIDGE / len(right) * np.eye(len(factors)), slope)
        factors = factors - step * min(1.0, 3.0 / max(np.abs(step).max(), 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    return factors
