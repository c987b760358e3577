"""The calibration fit recovers known factors, is monotone, and refuses data that cannot be fitted."""

import numpy as np
import pytest

from edgehrnet.decoding import probability
from edgehrnet.errors import InputError
from quant.scoring.confidence import fit


def sample(factors: tuple[float, float, float], count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    peaks = rng.uniform(0.02, 0.98, count)
    return peaks, rng.random(count) < probability(peaks.astype(np.float32), factors)


@pytest.mark.parametrize("factors", [(1.0, 1.0, 0.0), (0.6, 1.5, -2.0), (2.0, 0.3, 1.0)])
def test_the_fit_recovers_the_factors(factors: tuple[float, float, float]) -> None:
    peaks, correct = sample(factors)
    found = fit(peaks, correct)
    grid = np.linspace(0.05, 0.95, 19, dtype=np.float32)
    # 20,000 samples over a grid of 20 cells: a share of 0.5 has a standard error of 0.016.
    np.testing.assert_allclose(probability(grid, found), probability(grid, factors), atol=0.035)


def test_a_higher_peak_never_gives_a_lower_probability() -> None:
    peaks = np.linspace(0.05, 0.95, 400)
    correct = np.random.default_rng(1).random(400) < 1 - peaks  # higher peaks are less often correct
    a, b, _ = fit(peaks, correct)
    assert (a, b) == (0.0, 0.0)
    high = (np.abs(peaks - 0.5) < 0.3) | (peaks > 0.9)  # the factor of ln p alone would be negative
    assert min(fit(peaks, high)[:2]) >= 0


def test_factors_of_separable_data_are_finite() -> None:
    peaks = np.linspace(0.05, 0.95, 100)
    factors = fit(peaks, peaks > 0.5)
    low, high = probability(np.array([0.4, 0.6], np.float32), factors)
    assert low < 0.05
    assert high > 0.95


@pytest.mark.parametrize("value", [True, False])
def test_data_with_only_correct_or_only_wrong_keypoints_is_refused(value: bool) -> None:
    with pytest.raises(InputError, match="of 2 keypoints"):
        fit([0.2, 0.8], [value, value])
