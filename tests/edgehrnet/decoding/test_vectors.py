"""Decoding of SimCC vectors and coordinates without a file."""

import numpy as np
import pytest

from edgehrnet.decoding.vectors import given_points, simcc_maps, simcc_points


def vectors(seed=0, width=96, height=64):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(2, 3, width)).astype(np.float32), rng.normal(size=(2, 3, height)).astype(np.float32)


def test_the_confidence_is_the_smaller_maximum():
    x, y = vectors()
    x[0, 0, 7], y[0, 0, 9] = 10, 20
    x[0, 1, 7], y[0, 1, 9] = 30, 10
    x[1, 2] = -1
    points, confidence = simcc_points(x, y, (32, 48))
    assert confidence[0, :2].tolist() == [10, 10]
    assert points[0, :2].tolist() == [[3.5, 4.5]] * 2
    assert confidence[1, 2] == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_no_peaks(bad):
    x, y = vectors()
    x[1, 1, 5] = bad
    points, confidence = simcc_points(x, y, (32, 48))
    assert np.isfinite(points).all()
    assert np.isfinite(confidence).all()
    assert points[1, 1, 0] != 2.5
    assert np.isfinite(given_points(np.full((1, 2, 3), bad, np.float32), (32, 48), "px")[0]).all()


def test_maps_have_the_smaller_value_of_a_cells_columns_and_rows():
    x, y = vectors()
    maps = simcc_maps(x, y, (8, 12))
    assert maps.shape == (2, 3, 8, 12)
    assert maps[1, 2, 3, 4] == min(y[1, 2, 24:32].max(), x[1, 2, 32:40].max())
    assert np.array_equal(maps.max(axis=(2, 3)), np.minimum(x.max(axis=2), y.max(axis=2)))


def test_no_instances():
    x, y = vectors()
    assert simcc_points(x[:0], y[:0], (32, 48))[0].shape == (0, 3, 2)
    assert simcc_maps(x[:0], y[:0], (8, 12)).shape == (0, 3, 8, 12)
