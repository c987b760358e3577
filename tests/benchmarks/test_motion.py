"""The measures of smoothing measure what their definitions say."""

import numpy as np
import pytest

from benchmarks import motion, moving_documents, moving_figures

TIME = np.arange(80.0)


def wave(late=0.0):
    return np.stack([np.sin((TIME - late) / 6), np.cos((TIME - late) / 9)], axis=1)[:, None] * 50


@pytest.mark.parametrize("late", [0.0, 0.5, 2.25])
def test_lag_is_the_delay(late):
    noise = np.random.default_rng(0).normal(0, 0.3, (80, 1, 2))
    assert motion.lag(wave(late) + noise, wave()) == pytest.approx(late, abs=0.05)


def test_jitter_is_blind_to_constant_errors_and_sees_noise():
    noise = np.random.default_rng(0).normal(0, 1, (4000, 1, 2))
    true = np.zeros((4000, 1, 2))
    assert motion.jitter(true + 5, true) == 0
    assert motion.jitter(true + noise, true) == pytest.approx(np.sqrt(2 * 6), rel=0.05)  # 1 - 2 + 1: 6 variances


def test_drawn_tracks_stay_in_the_picture_and_move():
    for points, size in (
        (moving_documents.track(0, 240), moving_documents.SIZE),
        (moving_figures.track(0, 240).reshape(240, -1, 2), moving_figures.SIZE),
    ):
        assert points.min() > 0
        assert (points.max(axis=(0, 1)) < size).all()
        assert np.ptp(points, axis=0).min() > 20
