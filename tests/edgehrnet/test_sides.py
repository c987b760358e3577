"""Left and right in keypoint names."""

import pytest

from edgehrnet.keypoint_sets import COCO_PERSON, MPII_PERSON
from edgehrnet.sides import pair_sides, unpaired


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("left_eye", "right_eye"),
        ("Left_Eye", "Right_Eye"),
        ("LEFT_EYE", "RIGHT_EYE"),
        ("L_Eye", "R_Eye"),
        ("l_ear", "r_ear"),
        ("ear_l", "ear_r"),
        ("lShoulder", "rShoulder"),
        ("LShoulder", "RShoulder"),
        ("Leftear", "Rightear"),
        ("lefteye", "righteye"),
        ("eyeLeft", "eyeRight"),
        ("EyeL", "EyeR"),
        ("LEYE", "REYE"),
        ("lhand", "rhand"),
        ("shoulder.L", "shoulder.R"),
        ("Left-Front-Paw", "Right-Front-Paw"),
        ("eye(left)", "eye(right)"),
        ("Lt ear", "Rt ear"),
        ("left", "right"),
        ("hand1left", "hand1right"),
        ("LF_paw", "RF_paw"),
        ("paw_HL", "paw_HR"),
        ("FL", "FR"),
        ("bl", "br"),
        ("left_eye_l1", "right_eye_l1"),
    ],
)
def test_a_side_is_recognized_however_it_is_spelled(left, right):
    assert pair_sides(["nose", right, "tail", left]) == ((3, 1),)
    assert unpaired(["nose", right, "tail", left], [(3, 1)]) == ()


@pytest.mark.parametrize("names", [COCO_PERSON, MPII_PERSON])
def test_pairs_of_published_sets_are_found(names):
    assert {frozenset(pair) for pair in pair_sides(names.names)} == {frozenset(pair) for pair in names.flip_pairs}


@pytest.mark.parametrize(
    "names", ["upright bright nose", "lip rim tail", "relief belly", "left_eye left_ear", "l1 l2 l3", "top bottom"]
)
def test_other_names_are_not_paired(names):
    assert pair_sides(names.split()) == ()


def test_pairs_do_not_mix():
    names = ["leftEye1", "leftEye2", "rightEye1", "rightEye2"]
    assert pair_sides(names) == ((0, 2), (1, 3))


def test_names_with_a_side_and_no_partner_are_listed():
    names = ["paw1LH", "paw4RH", "nose", "left_ear", "right_ear"]
    assert unpaired(names, pair_sides(names)) == ("paw1LH", "paw4RH")
