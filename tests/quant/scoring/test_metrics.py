"""Reliability bins and the calibration error agree with numbers worked out by hand."""

from dataclasses import astuple

import numpy as np
import pytest

from edgehrnet.errors import InputError
from quant.scoring.metrics import expected_calibration_error, reliability


def test_bins_have_equal_sizes():
    conf = np.random.default_rng(0).permutation(np.linspace(0, 1, 152) ** 4)
    counts = [part.count for part in reliability(conf, conf > 0.5)]
    assert len(counts) == 15
    assert sum(counts) == 152
    assert set(counts) == {10, 11}


def test_bins_are_sorted_and_hold_means():
    conf, correct = [0.8, 0.2, 0.6, 0.4, 1.0, 0.0], [True, False, False, True, True, False]
    low, middle, high = reliability(conf, correct, bins=3)
    assert astuple(low) == pytest.approx((0.1, 0, 2))
    assert astuple(middle) == pytest.approx((0.5, 0.5, 2))
    assert astuple(high) == pytest.approx((0.9, 1, 2))


def test_equal_confidences_share_a_bin():
    (only,) = reliability([1.0] * 7, [True] * 6 + [False], bins=3)
    assert astuple(only) == pytest.approx((1.0, 6 / 7, 7))
    rng = np.random.default_rng(0)
    conf, correct = rng.integers(0, 4, 100) / 4, rng.random(100) < 0.5
    order = rng.permutation(100)
    shuffled = expected_calibration_error(conf[order], correct[order])
    assert shuffled == pytest.approx(expected_calibration_error(conf, correct), abs=1e-12)  # up to the rounding of sums
    assert [part.count for part in reliability(conf, correct)] == np.bincount((4 * conf).astype(int)).tolist()


def test_calibration_error_weights_bins_by_their_sizes():
    # 6 with confidence 0.5, all correct: error 0.5. 2 with confidence 1, none correct: error 1. (6 x 0.5 + 2 x 1) / 8.
    conf, correct = [0.5] * 6 + [1.0] * 2, [True] * 6 + [False] * 2
    assert expected_calibration_error(conf, correct, bins=4) == pytest.approx(5 / 8)


def test_calibrated_confidence_has_almost_no_error():
    rng = np.random.default_rng(0)
    conf = rng.random((5000, 4))
    correct = rng.random((5000, 4)) < conf
    # The share in a bin of 1,333 has a standard error of sqrt(p (1 - p) / 1333) <= 0.0137; the mean over bins has less.
    assert expected_calibration_error(conf, correct) < 0.0137
    # Half of the correct ones made wrong: the error is the mean of conf / 2.
    assert expected_calibration_error(conf, correct & (rng.random((5000, 4)) < 0.5)) == pytest.approx(0.25, abs=0.0137)


def test_empty_input_and_bad_arguments():
    assert reliability([], []) == []
    assert np.isnan(expected_calibration_error([], []))
    with pytest.raises(InputError, match="2 values, correct has 1"):
        reliability([0.1, 0.2], [True])
    with pytest.raises(InputError, match="bins=0"):
        reliability([0.1], [True], bins=0)
