"""Names are drawn next to keypoints, inside the picture, and overlap neither marks nor other names."""

import itertools

import numpy as np
import pytest
from PIL import Image

from edgehrnet.drawing.labels import GAP, RADIUS, Label, draw_labels, place_labels
from edgehrnet.drawing.overlay import PALETTE, draw_keypoints

CANVAS = (320, 240)
SIZE = (60.0, 14.0)  # of a label, in px


def label(x, y, *, above=True):
    return Label(x, y, ("name 0.99", "name"), above)


def overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def test_a_name_stands_above_or_below_its_keypoint():
    above, below = place_labels([label(100, 100), label(200, 100, above=False)], [SIZE] * 2, CANVAS, 1.0)
    np.testing.assert_array_equal(above, (70, 100 - GAP - 14, 130, 100 - GAP))
    np.testing.assert_array_equal(below, (170, 100 + GAP, 230, 100 + GAP + 14))


@pytest.mark.parametrize(("x", "y"), [(0, 0), (319, 0), (319, 239), (0, 239), (160, 0), (319, 120)])
@pytest.mark.parametrize("above", [True, False])
def test_a_name_at_the_border_is_inside_the_picture_and_off_its_mark(x, y, above):
    (place,) = place_labels([label(x, y, above=above)], [SIZE], CANVAS, 1.0)
    assert place is not None
    assert 0 <= place[0] < place[2] <= 320
    assert 0 <= place[1] < place[3] <= 240
    assert not overlap(place, (x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS))


def test_names_cover_neither_marks_nor_each_other():
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 1, (8, 2)) * CANVAS
    places = place_labels([label(x, y) for x, y in points], [SIZE] * 8, CANVAS, 1.0)
    found = [place for place in places if place is not None]
    assert len(found) >= 6
    assert not any(overlap(a, b) for a, b in itertools.combinations(found, 2))
    marks = [(x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS) for x, y in points]
    assert not any(overlap(place, mark) for place in found for mark in marks)


def test_a_name_without_room_is_left_out():
    assert place_labels([label(15, 15)], [SIZE], (30, 30), 1.0) == [None]


def test_all_names_are_short_if_one_full_name_does_not_fit():
    def drawn(width, *texts):
        canvas = Image.new("RGB", (width, 80))
        draw_labels(canvas, [Label(25, 20 + 40 * k, pair, above=True) for k, pair in enumerate(texts)], 1.0)
        return np.array(canvas)

    names = ("a 0.93", "a"), ("top-left 0.93", "top-left")  # the second one is wider than 50 pixels
    short = [(name, name) for _, name in names]
    assert drawn(50, *names).any()
    np.testing.assert_array_equal(drawn(50, *names), drawn(50, *short))
    assert (drawn(200, *names) != drawn(200, *short)).any()


@pytest.mark.parametrize("size", [(96, 96), (160, 120), (640, 480)])
def test_the_marks_of_corners_at_the_border_stay_visible(size):
    width, height = size
    xy = np.array([[[2, 2], [width - 3, 2], [width - 3, height - 3], [2, height - 3]]], float)
    names = ("top-left", "top-right", "bottom-right", "bottom-left")
    drawn = np.array(draw_keypoints(Image.new("RGB", size), xy, np.full((1, 4), 0.9), names, []))
    for color, (x, y) in zip(PALETTE, xy[0].astype(int), strict=False):
        assert drawn[y, x].tolist() == list(color)
