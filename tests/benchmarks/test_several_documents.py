"""The boxes and the errors of the measurement of several documents."""

import numpy as np
import pytest

from benchmarks.several_documents import boxes_of, errors
from edgehrnet.picture.crops import MARGIN

QUADS = np.array([[(0, 0), (8, 0), (8, 4), (0, 4)], [(10, 20), (30, 20), (30, 60), (10, 60)]], float)


@pytest.mark.parametrize(("margin", "expected"), [(MARGIN, [0, 0, 8, 4]), (2 * MARGIN, [-4, -2, 16, 8])])
def test_boxes_are_those_of_the_corners_grown_on_request(margin, expected):
    assert boxes_of(QUADS, 0, margin, np.random.default_rng(0))[0].tolist() == expected


def test_errors_move_each_side_by_a_share_of_the_box():
    moved = np.stack([boxes_of(QUADS, 0.1, MARGIN, np.random.default_rng(seed))[1] for seed in range(200)])
    assert moved[:, 0].std() == pytest.approx(0.1 * 20, rel=0.2)
    assert moved[:, 1].std() == pytest.approx(0.1 * 40, rel=0.2)


def test_an_outline_may_begin_at_any_corner():
    found = np.stack([np.roll(QUADS[0], 1, axis=0) + np.array([3, 4]), QUADS[1]])
    assert errors(found, QUADS).tolist() == [5] * 4 + [0] * 4
