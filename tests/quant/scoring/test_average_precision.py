"""COCO's protocol: published reference numbers, and a model that is always right."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgehrnet.errors import InputError
from edgehrnet.keypoint_sets import COCO_PERSON
from quant.scoring.average_precision import NAMES, Annotations, coco_scores, detect, read_boxes

SAMPLE = Path(__file__).parents[4] / "shared" / "data" / "coco-sample"
GOLDEN = (0.86089, 0.993145, 0.910891, 0.775578, 0.937252, 0.875, 1.0, 0.916667, 0.78, 0.942857)
needs_sample = pytest.mark.skipif(not SAMPLE.is_dir(), reason="not here: ../shared/data/coco-sample")
SIGMAS = (0.05, 0.1)


@pytest.fixture
def annotations(tmp_path):
    """Two persons in one picture, one in another, and a crowd."""
    pictures = [{"id": n, "file_name": f"{n}.png", "width": 80, "height": 60} for n in (3, 4)]
    for picture in pictures:
        Image.new("RGB", (80, 60)).save(tmp_path / picture["file_name"])
    persons = [(3, 10.0), (3, 50.0), (4, 20.0)]
    content = {
        "images": pictures,
        "categories": [{"id": 1, "name": "person", "keypoints": ["head", "foot"], "skeleton": []}],
        "annotations": [
            {"id": n + 1, "image_id": image, "category_id": 1, "iscrowd": 0, "bbox": [x, 5, 20, 50], "area": 2000.0,
             "num_keypoints": 2, "keypoints": [x + 10, 10, 2, x + 12, 50, 2]}
            for n, (image, x) in enumerate(persons)
        ] + [{"id": 9, "image_id": 4, "category_id": 1, "iscrowd": 1, "bbox": [0, 0, 9, 9], "area": 81.0,
              "num_keypoints": 0, "keypoints": [0] * 6}],
    }  # fmt: skip
    path = tmp_path / "people.json"
    path.write_text(json.dumps(content))
    return Annotations.read(path)


def right(_image, boxes):
    """Return the labeled points, computed from the boxes."""
    xy = np.stack([boxes[:, :2] + (10, 5), boxes[:, :2] + (12, 45)], axis=1)
    return xy, np.full((len(boxes), 2), 0.8, np.float32)


@needs_sample
def test_scores_equal_the_published_numbers():
    results = json.loads((SAMPLE / "example_coco_preds.json").read_text())
    content = Annotations.read(SAMPLE / "test_coco.json").content
    found = coco_scores(content, results, COCO_PERSON.sigmas)
    assert tuple(found) == NAMES
    assert list(found.values()) == pytest.approx(GOLDEN, abs=1e-6)


@needs_sample
def test_smaller_sigmas_lower_the_score():
    results = json.loads((SAMPLE / "example_coco_preds.json").read_text())
    content = Annotations.read(SAMPLE / "test_coco.json").content
    strict = coco_scores(content, results, [sigma / 2 for sigma in COCO_PERSON.sigmas])
    assert strict["AP"] < GOLDEN[0] - 0.05


@needs_sample
def test_boxes_of_a_detector_are_read():
    boxes = read_boxes(SAMPLE / "test_coco_det_AP_H_56.json")
    assert len(boxes) == 118
    assert boxes[0]["image_id"] == 785
    assert len(Annotations.read(SAMPLE / "test_coco.json").true_boxes()) == 12


def test_a_model_that_is_always_right_scores_one(annotations):
    results = detect(right, annotations, annotations.true_boxes(), SIGMAS)
    assert [result["image_id"] for result in results] == [3, 3, 4]
    assert all(result["score"] == pytest.approx(0.8) for result in results)
    scores = coco_scores(annotations.content, results, SIGMAS)
    assert scores["AP"] == scores["AR"] == scores["APm"] == 1
    assert np.isnan(scores["APl"])  # no person is large
    assert coco_scores(annotations.content, [], SIGMAS)["AP"] == 0


def test_scores_of_some_of_the_pictures(annotations):
    results = detect(right, annotations, annotations.true_boxes(), SIGMAS, {4})
    assert [result["image_id"] for result in results] == [4]
    assert coco_scores(annotations.content, results, SIGMAS, {4})["AR"] == 1
    assert coco_scores(annotations.content, results, SIGMAS)["AR"] == pytest.approx(1 / 3)


def test_of_two_boxes_on_one_person_the_better_is_kept(annotations):
    (first, *_) = annotations.true_boxes()
    boxes = [{**first, "score": 0.4}, {**first, "score": 0.6}]
    (only,) = detect(right, annotations, boxes, SIGMAS)
    assert only["score"] == pytest.approx(0.6 * 0.8)


@pytest.mark.parametrize("text", ["", "{}", "[{}]", '[{"image_id": 1}]', '[{"image_id": 1, "bbox": [1, 2, 0, 4]}]'])
def test_a_file_that_is_not_a_list_of_boxes_is_refused(tmp_path, text):
    path = tmp_path / "boxes.json"
    path.write_text(text)
    if text == "{}":  # has no entries, like an empty list
        assert read_boxes(path) == []
        return
    with pytest.raises(InputError, match=r"boxes\.json"):
        read_boxes(path)


def test_a_box_on_an_unknown_picture_is_refused(annotations):
    with pytest.raises(InputError, match="77"):
        detect(right, annotations, [{"image_id": 77, "bbox": [1, 2, 3, 4], "score": 1.0}], SIGMAS)


def test_a_file_without_annotations_is_refused(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(InputError, match=r"a\.json"):
        Annotations.read(tmp_path / "a.json")


def test_known_predictions_are_not_computed_again(annotations):
    boxes = annotations.true_boxes()
    asked = []

    def counting(image, rectangles):
        asked.extend(rectangles.tolist())
        return right(image, rectangles)

    full = detect(counting, annotations, boxes, SIGMAS)
    assert len(asked) == 3
    (xy,), (conf,) = right(None, np.array([boxes[1]["bbox"]], float))
    asked.clear()
    assert detect(counting, annotations, boxes, SIGMAS, known={(3, tuple(boxes[1]["bbox"])): (xy, conf)}) == full
    assert asked == [list(boxes[0]["bbox"]), list(boxes[2]["bbox"])]
