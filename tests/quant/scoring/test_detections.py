"""Boxes of a detector: what is read, and what is refused."""

import json

import pytest

from edgehrnet.errors import InputError
from quant.data.opening import open_annotations
from quant.scoring.detections import read_boxes, true_boxes


@pytest.fixture
def labels(people):
    return open_annotations(str(people.write()))


@pytest.fixture
def boxes(people):
    """A detector's boxes, those of the labels."""
    return [
        {"image_id": entry["image_id"], "category_id": 1, "bbox": entry["bbox"], "score": 0.5}
        for entry in people.annotations
    ]


def read(labels, content):
    path = labels.source.parent / "boxes.json"
    path.write_text(json.dumps(content))
    return read_boxes(path, labels)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"image_id": "1"},
        {"image_id": 1.0},
        {"category_id": "1"},
        {"category_id": None},
        {"score": 1},
        {"segmentation": None},
    ],
)
def test_boxes_belong_to_their_pictures(labels, boxes, people, change):
    boxes[0] |= change
    found = read(labels, boxes)
    assert [list(detection.box) for detection in found] == [entry["bbox"] for entry in people.annotations]
    assert [detection.picture.id for detection in found] == [entry["image_id"] for entry in people.annotations]
    assert {detection.category_id for detection in found} == {1}


def test_a_category_and_a_score_may_be_missing(labels, boxes):
    found = read(labels, [{"image_id": box["image_id"], "bbox": box["bbox"]} for box in boxes])
    assert {(detection.category_id, detection.score) for detection in found} == {(1, 1.0)}
    assert len(true_boxes(labels)) == len(found)


@pytest.mark.parametrize("box", [[5, 8, 0, 9], [5, 8, -4, 9]])
def test_boxes_without_an_area_are_left_out(labels, boxes, box):
    boxes[2]["bbox"] = box
    assert len(read(labels, boxes)) == 8
    assert [remark.places for remark in labels.remarks.of("dropped")] == [["boxes.json, entry 2"]]
    with pytest.raises(InputError, match=r"boxes\.json.* 9"):
        read(labels, [{**each, "bbox": box} for each in boxes])


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ({"image_id": 99}, "entry 2.*99"),
        ({"image_id": None}, "entry 2.*None"),
        ({"image_id": [1]}, r"entry 2.*\[1\]"),
        ({"bbox": None}, "entry 2.*None"),
        ({"bbox": {"x": 1}}, "entry 2.*{'x': 1}"),
        ({"bbox": [1, 2, 3]}, r"entry 2.*\[1, 2, 3\]"),
        ({"bbox": ["1", 2, 3, 4]}, "entry 2.*'1'"),
        ({"bbox": [1, 2, 1e400, 3]}, "entry 2.*inf"),
        ({"bbox": [1, 2, 10**400, 3]}, "entry 2.*1000"),
        ({"score": "0.9"}, "entry 2.*'0.9'"),
        ({"score": None}, "entry 2.*None"),
        ({"score": 1e400}, "entry 2.*inf"),
        ({"category_id": 0}, "1 boxes of category 0.*1 .person"),
        ({"category_id": "person"}, "'person'"),
    ],
)
def test_an_entry_that_is_not_understood_is_named(labels, boxes, change, value):
    boxes[2] |= change
    with pytest.raises(InputError, match=value):
        read(labels, boxes)


@pytest.mark.parametrize("content", [None, 3, {"annotations": []}, [], [3], [[{}]], "text"])
def test_other_content_is_refused(labels, content):
    with pytest.raises(InputError, match=r"boxes\.json"):
        read(labels, content)


def test_boxes_of_two_corners_and_shares_are_refused(labels, boxes):
    corners = [{**box, "bbox": [*box["bbox"][:2], box["bbox"][0] + 50, 70]} for box in boxes]
    with pytest.raises(InputError, match=r"\[5.0, 8.0, 55.0, 70.0\] in a picture of 120x80"):
        read(labels, corners)
    shares = [{**box, "bbox": [value / 100 for value in box["bbox"]]} for box in boxes]
    with pytest.raises(InputError, match=r"\[0.05, 0.08, 0.5, 0.62\]"):
        read(labels, shares)


@pytest.mark.parametrize("name", ["nowhere.json", "."])
def test_a_file_that_cannot_be_read_is_named(labels, tmp_path, name):
    with pytest.raises(InputError, match=str(tmp_path)):
        read_boxes(tmp_path / name, labels)
