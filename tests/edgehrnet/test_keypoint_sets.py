"""Keypoint sets are consistent, and ModelSpec accepts them."""

import pytest

from edgehrnet.keypoint_sets import BY_COUNT, COCO_PERSON, MPII_PERSON
from edgehrnet.spec import ModelSpec

SETS = {"coco": COCO_PERSON, "mpii": MPII_PERSON}


@pytest.mark.parametrize("found", SETS.values(), ids=SETS)
def test_flip_pairs_are_the_left_and_right_keypoints(found):
    swapped = {name: name.replace("left", "right") for name in found.names if "left" in name}
    assert {frozenset((found.names[a], found.names[b])) for a, b in found.flip_pairs} == {
        frozenset(pair) for pair in swapped.items()
    }
    assert 2 * len(swapped) == sum("left" in name or "right" in name for name in found.names)


@pytest.mark.parametrize("found", SETS.values(), ids=SETS)
def test_the_skeleton_is_symmetric_and_has_every_keypoint(found):
    other = dict(found.flip_pairs) | {b: a for a, b in found.flip_pairs}
    bones = {frozenset(bone) for bone in found.skeleton}
    assert {frozenset(other.get(i, i) for i in bone) for bone in bones} == bones
    assert len(bones) == len(found.skeleton)
    assert {i for bone in bones for i in bone} == set(range(len(found.names)))


def test_sets_are_found_by_count_and_accepted_by_the_spec():
    assert {count: found.names[0] for count, found in BY_COUNT.items()} == {17: "nose", 16: "right_ankle"}
    for found in SETS.values():
        ModelSpec("x", found.names, found.skeleton, found.flip_pairs, found.sigmas)
    assert COCO_PERSON.names[5:7] == ("left_shoulder", "right_shoulder")
