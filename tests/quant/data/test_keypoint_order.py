"""Bringing keypoints of one side into the order of the other."""

import pytest

from edgehrnet.errors import InputError
from quant.data.keypoint_order import check_order, keypoint_order


@pytest.mark.parametrize(
    ("have", "want", "order"),
    [
        ("a b c", "a b c", [0, 1, 2]),
        ("a b c", "c a b", [2, 0, 1]),
        ("Left_Eye nose", "nose left-eye", [1, 0]),
        ("keypoint-0 keypoint-1", "nose tail", [0, 1]),
        ("nose tail", "0 1", [0, 1]),
        ("point1 point2", "point2 point1", [1, 0]),
        ("a b", "a c", None),
        ("a b", "a b c", None),
        ("keypoint-0", "nose tail", None),
    ],
)
def test_keypoints_are_matched_by_name(have, want, order):
    assert keypoint_order(have.split(), want.split()) == order


def test_other_keypoints_are_an_error_that_lists_both():
    with pytest.raises(InputError, match=r"model.*nose, tail.*labels.*nose, ear"):
        check_order(["nose", "tail"], ["nose", "ear"], "model", "labels")
