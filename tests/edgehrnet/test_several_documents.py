"""A network for whole pictures on boxes: several documents in one picture."""

import numpy as np
import pytest
from PIL import Image

from edgehrnet import Predictor
from edgehrnet.errors import InputError, UnsupportedError
from edgehrnet.picture.letterbox import letterbox
from edgehrnet.picture.parts import part_of
from edgehrnet.preparation import prepare

BOXES = [[20.0, 30.0, 60.0, 40.0], [90.0, 10.0, 45.0, 80.0]]


@pytest.fixture
def predictor(null_model):
    with Predictor(null_model.path) as opened:
        yield opened


def test_each_box_gives_what_its_part_gives_as_a_picture(predictor, null_model):
    result = predictor.predict(null_model.picture, boxes=BOXES)
    assert result.boxes.tolist() == BOXES
    assert result.keypoints.size == null_model.picture.shape[:2]
    for n, (left, top, right, bottom) in enumerate([(12, 25, 88, 75), (84, 0, 141, 100)]):
        alone = predictor.predict(np.ascontiguousarray(null_model.picture[top:bottom, left:right]))
        np.testing.assert_allclose(result.keypoints.xy[n], alone.keypoints.xy[0] + (left, top), atol=1e-9)
        np.testing.assert_array_equal(result.keypoints.conf[n], alone.keypoints.conf[0])
        np.testing.assert_array_equal(result.heatmaps[n], alone.heatmaps[0])


def test_inputs_are_the_letterboxed_parts_and_transforms_map_the_whole_picture(null_model):
    picture = null_model.picture.copy()
    picture[50:53, 40:43] = 255, 0, 255
    inputs, places = prepare(picture, null_model.spec, BOXES)
    expected, _ = letterbox(np.ascontiguousarray(picture[25:75, 12:88]), null_model.spec.input_size)
    np.testing.assert_array_equal(inputs[0], expected)
    x, y = np.rint(places[0].forward([41.0, 51.0])).astype(int)
    assert (np.abs(inputs[0, y, x, :3].astype(int) - (255, 0, 255)) < 40).all()
    np.testing.assert_allclose(places[1].inverse(places[1].forward([[90.5, 7.0]])), [[90.5, 7.0]])


@pytest.mark.parametrize(
    "box", [(-500, -500, 3, 3), (900, 5, 9, 9), (191.5, 127.5, 1e-6, 1e-6), (-1e6, -1e6, 3e6, 3e6)]
)
def test_every_box_stands_for_a_part_of_the_picture(box):
    rows, columns = part_of(box, 192, 128)
    assert 0 <= rows.start < rows.stop <= 128
    assert 0 <= columns.start < columns.stop <= 192


def test_boxes_outside_and_no_boxes(predictor, null_model):
    assert len(predictor.predict(null_model.picture, boxes=[[-900, 0, 5, 5]]).keypoints) == 1
    none = predictor.predict(null_model.picture, boxes=[])
    assert none.keypoints.xy.shape == (0, 4, 2)
    with pytest.raises(InputError, match="instance=0"):
        none.rectify()


def test_boxes_come_from_a_function(null_model, tmp_path):
    seen = []

    def halves(picture):
        seen.append(picture.shape)
        return np.array([[0, 0, 96, 128], [96, 0, 96, 128]]), [0.9, 0.8]

    Image.fromarray(null_model.picture).resize((1920, 1280)).save(tmp_path / "large.jpg")
    with Predictor(null_model.path, boxes_from=halves) as predictor:
        assert len(predictor.predict(null_model.picture).keypoints) == 2
        assert len(predictor.predict(null_model.picture, boxes=BOXES[:1]).keypoints) == 1
        assert next(predictor.stream(tmp_path / "large.jpg")).image.shape == seen[-1] == (1280, 1920, 3)
    assert seen == [null_model.picture.shape, (1280, 1920, 3)]


def test_large_jpegs_are_read_in_full_for_boxes(null_model, predictor, tmp_path):
    Image.fromarray(null_model.picture).resize((1920, 1280)).save(tmp_path / "large.jpg")
    assert predictor.predict(tmp_path / "large.jpg").picture.step > 1
    assert predictor.predict(tmp_path / "large.jpg", boxes=BOXES).picture.step == 1


def test_each_page_is_flattened(predictor, null_model):
    result = predictor.predict(null_model.picture, boxes=[[20, 30, 60, 40], [90, 10, 60, 40], [0, 0, 9, 6]])
    result.keypoints.conf[2] = 0.1
    first, second = (np.asarray(result.rectify((40, 30), instance=n)) for n in (0, 1))
    assert first.shape == second.shape == (40, 30, 3)
    assert (first != second).any()
    assert (np.asarray(result.rectify((40, 30))) == first).all()
    with pytest.raises(UnsupportedError):
        result.rectify(instance=2)
    with pytest.raises(InputError, match="instance=3"):
        result.rectify(instance=3)
