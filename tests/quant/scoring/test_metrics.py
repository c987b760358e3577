"""What a confidence is worth: bins and the calibration error, against numbers worked out by hand."""

import numpy as np
import pytest

from edgehrnet.errors import InputError
from quant.scoring.metrics import Bin, expected_calibration_error, reliability


def test_bins_hold_as_many_predictions_each():
    conf = np.random.default_rng(0).permutation(np.linspace(0, 1, 152) ** 4)
    counts = [part.count for part in reliability(conf, conf > 0.5)]
    assert len(counts) == 15
    assert sum(counts) == 152
    assert set(counts) == {10, 11}


def test_bins_rise_and_say_what_they_hold():
    conf, correct = [0.8, 0.2, 0.6, 0.4, 1.0, 0.0], [True, False, False, True, True, False]
    low, middle, high = reliability(conf, correct, bins=3)
    assert (low.confidence, low.correct, low.count) == (pytest.approx(0.1), 0, 2)
    assert (middle.confidence, middle.correct, middle.count) == (pytest.approx(0.5), 0.5, 2)
    assert (high.confidence, high.correct, high.count) == (pytest.approx(0.9), 1, 2)


def test_equal_confidences_are_never_parted():
    assert reliability([1.0] * 7, [True] * 6 + [False], bins=3) == [Bin(1.0, pytest.approx(6 / 7), 7)]
    rng = np.random.default_rng(0)
    conf, correct = rng.integers(0, 4, 100) / 4, rng.random(100) < 0.5
    order = rng.permutation(100)
    shuffled = expected_calibration_error(conf[order], correct[order])
    assert shuffled == pytest.approx(expected_calibration_error(conf, correct), abs=1e-12)  # but for sums' rounding
    assert [part.count for part in reliability(conf, correct)] == np.bincount((4 * conf).astype(int)).tolist()


def test_calibration_error_weighs_bins_by_their_counts():
    # 6 of confidence 0.5, all correct: off by 0.5. 2 of confidence 1, none correct: off by 1. (6 x 0.5 + 2 x 1) / 8.
    conf, correct = [0.5] * 6 + [1.0] * 2, [True] * 6 + [False] * 2
    assert expected_calibration_error(conf, correct, bins=4) == pytest.approx(5 / 8)


def test_a_calibrated_confidence_has_next_to_no_error():
    rng = np.random.default_rng(0)
    conf = rng.random((5000, 4))
    correct = rng.random((5000, 4)) < conf
    # Of a bin's 1,333 outcomes the share scatters by sqrt(p (1 - p) / 1333) <= 0.0137; the mean over bins stays below.
    assert expected_calibration_error(conf, correct) < 0.0137
    # Twice as sure, half as right: the mean of conf / 2.
    assert expected_calibration_error(conf, correct & (rng.random((5000, 4)) < 0.5)) == pytest.approx(0.25, abs=0.0137)


def test_nothing_to_calibrate_and_what_does_not_fit():
    assert reliability([], []) == []
    assert np.isnan(expected_calibration_error([], []))
    with pytest.raises(InputError, match="2 confidences, 1 answers"):
        reliability([0.1, 0.2], [True])
    with pytest.raises(InputError, match="bins=0"):
        reliability([0.1], [True], bins=0)
