"""Augmentation of persons: keypoints and boxes move with the picture, at the published rates."""

import dataclasses

import numpy as np
import pytest

from edgehrnet import ModelSpec
from quant.data.examples import Example
from quant.data.person_augmentation import HALF_MARGIN, SCALE, TURN, augment_person, half_body, mirrored

SPEC = ModelSpec("person", tuple("abcdefghij"), flip_pairs=((0, 1),), crop="hrnet", input_size=(64, 64))


@pytest.fixture
def person():
    """Ten points in a picture whose red is x."""
    image = np.zeros((60, 100, 3), np.uint8)
    image[..., 0] = np.arange(100)
    points = np.array([[10.0 + 5 * k, 5.0 + 5 * k] for k in range(10)])
    return Example(image, points, np.ones(10, bool), box=(8.0, 4.0, 60.0, 50.0), area=900.0)


def test_mirroring_exchanges_left_and_right(person):
    found = mirrored(person, SPEC.flip_pairs)
    x, y = found.points[1]  # point 0 before
    assert (99 - x, y) == tuple(person.points[0])
    assert found.image[0, int(x), 0] == person.points[0, 0]
    assert found.box == (99.0 - 8 - 60, 4.0, 60.0, 50.0)
    again = mirrored(found, SPEC.flip_pairs)
    assert np.array_equal(again.points, person.points)
    assert np.array_equal(again.image, person.image)
    assert again.box == person.box


def test_an_invisible_keypoint_stays_invisible(person):
    visible = np.arange(10) != 0
    found = mirrored(dataclasses.replace(person, visible=visible), SPEC.flip_pairs)
    assert found.visible.tolist() == [True, False, *[True] * 8]
    assert found.points[1].tolist() == [0, 0]


def test_the_box_of_half_a_body_contains_its_keypoints(person):
    for seed in range(4):
        x, y, w, h = half_body(person, np.random.default_rng(seed))
        inside = ((person.points >= (x, y)) & (person.points <= (x + w, y + h))).all(axis=1)
        assert inside.tolist() in ([True] * 5 + [False] * 5, [False] * 5 + [True] * 5)
        assert w == pytest.approx(20 * HALF_MARGIN / 1.25)
    few = dataclasses.replace(person, visible=np.arange(10) < 3)
    assert half_body(few, np.random.default_rng(0)) == person.box


def test_probabilities_and_ranges_are_the_published_ones(person):
    found = [augment_person(person, SPEC, np.random.default_rng(seed)) for seed in range(600)]
    rotations = [example.rotation for example in found if example.rotation]
    # 600 draws: three standard deviations of a share are at most 3 * sqrt(0.25 / 600) = 0.061.
    assert len(rotations) / 600 == pytest.approx(0.6, abs=0.061)
    assert max(map(abs, rotations)) <= 2 * TURN
    assert min(rotations) < 0 < max(rotations)
    assert all(1 - SCALE <= example.scale <= 1 + SCALE for example in found)
    assert np.mean([example.image[0, 0, 0] == 99 for example in found]) == pytest.approx(0.5, abs=0.061)
    assert np.mean([example.box is not None and example.box[2] != 60 for example in found]) == pytest.approx(
        0.3, abs=0.061
    )
