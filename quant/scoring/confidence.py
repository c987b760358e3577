"""Peak heights -> probabilities: fitted on pictures that neither trained the network nor score it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgehrnet.errors import InputError

RIDGE = 1e-3  # keeps the fit finite where the heights separate right from wrong without error
STEPS = 100


def fit(peaks: ArrayLike, correct: ArrayLike) -> tuple[float, float, float]:
    """Return the (a, b, c) of decoding.probability under which ``correct`` is the likeliest; a and b from 0.

    ``peaks``: heights 0..1 of any shape; ``correct``, of the same shape, whether the keypoint was within the radius
    that its confidence is to be about. Logistic regression on ln p and -ln(1 - p) by Newton steps; a negative factor
    is left out, so that a higher peak is never the less certain one (beta calibration, Kull, AISTATS 2017).
    Raises InputError unless there are right ones and wrong ones.
    """
    p = np.asarray(peaks, np.float64).ravel().clip(1e-6, 1 - 1e-6)
    right = np.asarray(correct, np.float64).ravel()
    if not 0 < right.mean() < 1:
        raise InputError(f"{len(right)} keypoints, {right.sum():.0f} of them right: a fit needs right and wrong ones")
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
    """Return the factors of a logistic regression, by damped Newton steps."""
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
