"""COCO's protocol: published reference numbers, and a model that is always right."""

import copy
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgehrnet.errors import InputError
from edgehrnet.keypoint_sets import COCO_PERSON
from quant.data.opening import open_annotations
from quant.scoring.average_precision import NAMES, coco_scores, detect, pycocotools_scores
from quant.scoring.detections import read_boxes, true_boxes

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
    return open_annotations(str(path))


def right(_image, boxes):
    """Return the labeled points, computed from the boxes."""
    xy = np.stack([boxes[:, :2] + (10, 5), boxes[:, :2] + (12, 45)], axis=1)
    return xy, np.full((len(boxes), 2), 0.8, np.float32)


@needs_sample
def test_scores_equal_the_published_numbers():
    results = json.loads((SAMPLE / "example_coco_preds.json").read_text())
    labels = open_annotations(str(SAMPLE / "test_coco.json"))
    found = coco_scores(labels, results, COCO_PERSON.sigmas)
    assert tuple(found) == NAMES
    assert list(found.values()) == pytest.approx(GOLDEN, abs=1e-6)


@needs_sample
def test_smaller_sigmas_lower_the_score():
    results = json.loads((SAMPLE / "example_coco_preds.json").read_text())
    labels = open_annotations(str(SAMPLE / "test_coco.json"))
    strict = coco_scores(labels, results, [sigma / 2 for sigma in COCO_PERSON.sigmas])
    assert strict["AP"] < GOLDEN[0] - 0.05


@needs_sample
def test_boxes_of_a_detector_are_read():
    labels = open_annotations(str(SAMPLE / "test_coco.json"))
    boxes = read_boxes(SAMPLE / "test_coco_det_AP_H_56.json", labels)
    assert len(boxes) == 118
    assert boxes[0].picture.id == 785
    assert len(true_boxes(labels)) == 12


def test_a_model_that_is_always_right_scores_one(annotations):
    results = detect(right, true_boxes(annotations), SIGMAS)
    assert [result["image_id"] for result in results] == [3, 3, 4]
    assert all(result["score"] == pytest.approx(0.8) for result in results)
    scores = coco_scores(annotations, results, SIGMAS)
    assert scores["AP"] == scores["AR"] == scores["APm"] == 1
    assert np.isnan(scores["APl"])  # no person is large
    assert coco_scores(annotations, [], SIGMAS)["AP"] == 0


def test_scores_of_some_of_the_pictures(annotations):
    results = detect(right, true_boxes(annotations), SIGMAS, {4})
    assert [result["image_id"] for result in results] == [4]
    assert coco_scores(annotations, results, SIGMAS, {4})["AR"] == 1
    assert coco_scores(annotations, results, SIGMAS)["AR"] == pytest.approx(1 / 3)


def test_of_two_boxes_on_one_person_the_better_is_kept(annotations):
    (first, *_) = true_boxes(annotations)
    boxes = [dataclasses.replace(first, score=0.4), dataclasses.replace(first, score=0.6)]
    (only,) = detect(right, boxes, SIGMAS)
    assert only["score"] == pytest.approx(0.6 * 0.8)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", "boxes"),
        ("{}", "{}"),
        ("[" * 100_000, "boxes"),
        ("[{}]", "entry 0"),
        ('[{"image_id": 3}]', "entry 0"),
        ('[{"image_id": 3, "bbox": [1, 2, 3, 4]}, {"image_id": 3, "bbox": [1, 2, NaN, 4]}]', "entry 1"),
        ('[{"image_id": 3, "bbox": [1, 2, 3, 1e400]}]', "entry 0"),
        ('[{"image_id": 3, "bbox": [1, 2, 3, "4"]}]', "entry 0"),
        ('[{"image_id": 3, "bbox": [1, 2, 3, 4], "score": null}]', "entry 0"),
        ('[{"image_id": 77, "bbox": [1, 2, 3, 4]}]', "77"),
        ('[{"image_id": 3, "bbox": [1, 2, 3, 4], "category_id": 0}]', r"0.*1 \(person\)"),
    ],
)
def test_a_file_that_is_not_a_list_of_boxes_is_refused(annotations, tmp_path, text, value):
    path = tmp_path / "boxes.json"
    path.write_text(text)
    with pytest.raises(InputError, match=value):
        read_boxes(path, annotations)


def test_boxes_without_an_area_are_left_out(annotations, tmp_path):
    path = tmp_path / "boxes.json"
    path.write_text('[{"image_id": 3, "bbox": [1, 2, 0, 4]}, {"image_id": "3", "bbox": [1, 2, 3, 4]}]')
    (only,) = read_boxes(path, annotations)
    assert (only.box, only.category_id, only.score) == ((1, 2, 3, 4), 1, 1)


def test_a_model_that_returns_nan_is_refused(annotations):
    xy, conf = np.full((2, 2, 2), np.nan), np.ones((2, 2), np.float32)
    with pytest.raises(InputError, match=r"3\.png"):
        detect(lambda image, boxes: (xy, conf), true_boxes(annotations), SIGMAS)


def test_known_predictions_are_not_computed_again(annotations):
    boxes = true_boxes(annotations)
    asked = []

    def counting(image, rectangles):
        asked.extend(rectangles.tolist())
        return right(image, rectangles)

    full = detect(counting, boxes, SIGMAS)
    assert len(asked) == 3
    (xy,), (conf,) = right(None, np.array([boxes[1].box], float))
    asked.clear()
    assert detect(counting, boxes, SIGMAS, known={(3, boxes[1].box): (xy, conf)}) == full
    assert asked == [list(boxes[0].box), list(boxes[2].box)]


def keypoints(*points):
    """Return COCO's list of keypoints, each visible."""
    return [value for x, y in points for value in (x, y, 2)]


def square(number, image, left, **changes):
    """Return a person whose three keypoints lie at the corners of a box."""
    points = keypoints((left, 10), (left + 20, 10), (left, 50))
    entry = {"id": number, "image_id": image, "category_id": 1, "bbox": [left, 10, 20, 40], "area": 800.0, "iscrowd": 0,
             "num_keypoints": 3, "keypoints": points}  # fmt: skip
    return {**entry, **changes}


@pytest.fixture
def clean(tmp_path):
    """A set of three persons, and answers: the first exact, the second 4 px off, the third 40 px off."""
    for name in ("1.png", "2.png"):
        Image.new("RGB", (160, 60)).save(tmp_path / name)
    content = {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 160, "height": 60} for n in (1, 2)],
        "categories": [{"id": 1, "name": "person", "keypoints": ["a", "b", "c"]}],
        "annotations": [square(1, 1, 10), square(2, 1, 60), square(3, 2, 20)],
    }
    answers = [(1, 10, 0), (1, 60, 4), (2, 20, 40)]
    results = [{"image_id": image, "category_id": 1, "score": 0.9,
                "keypoints": keypoints((x + off, 10), (x + 20 + off, 10), (x + off, 50))}
               for image, x, off in answers]  # fmt: skip
    return content, results


def ap_of(content, results, folder):
    path = folder / "set.json"
    path.write_text(json.dumps(content))
    return coco_scores(open_annotations(str(path)), results, (0.1, 0.1, 0.1))


def test_scores_equal_those_worked_out_by_hand(clean, tmp_path):
    """OKS of 4 px at area 800 and sigma 0.1 is exp(-16 / (2 * 800 * 0.04)) = 0.7788: found at 6 of 10 thresholds."""
    content, results = clean
    scores = ap_of(content, results, tmp_path)
    # Two of three persons are found at thresholds up to 0.75. Recall points 0..0.66 are 67 of 101, and at the others
    # one of three is found: 34 of 101.
    assert scores["AR"] == pytest.approx((6 * 2 / 3 + 4 * 1 / 3) / 10)
    assert scores["AP50"] == pytest.approx(67 / 101)
    assert scores["AP"] == pytest.approx((6 * 67 + 4 * 34) / 1010)


def without(*fields):
    return lambda content: [entry.pop(field) for entry in content["annotations"] for field in fields]


def changed(**values):
    return lambda content: [entry.update(values) for entry in content["annotations"]]


def from_zero(content):
    for number, entry in enumerate(content["annotations"]):
        entry["id"] = number


def text_ids(content):
    for entry in (*content["images"], *content["annotations"]):
        entry["image_id" if "image_id" in entry else "id"] = str(entry.get("image_id", entry["id"]))


def unknown_point(values):
    """Add a fourth keypoint that the first person lacks, in one of the ways in which tools write that."""

    def change(content):
        content["categories"][0]["keypoints"].append("d")
        for entry in content["annotations"]:
            entry["keypoints"] += values if entry["id"] == 1 else [0, 0, 0]

    return change


SPOILED = {
    "ids from 0": from_zero,
    "one id for all": changed(id=7),
    "no ids": without("id"),
    "no iscrowd": without("iscrowd"),
    "iscrowd null": changed(iscrowd=None),
    "no num_keypoints": without("num_keypoints"),
    "num_keypoints 0": changed(num_keypoints=0),
    "no area": without("area"),
    "area null": changed(area=None),
    "area NaN": changed(area=float("nan")),
    "unknown category": changed(category_id=5),
    "no category": without("category_id"),
    "no box": without("bbox"),
    "empty box": changed(bbox=[]),
    "ids as text": text_ids,
    "sizes -1 and 0": lambda content: [image.update(width=-1, height=0) for image in content["images"]],
    "skeleton null": lambda content: content["categories"][0].update(skeleton=None),
    "skeleton of names": lambda content: content["categories"][0].update(skeleton=[["a", "b"], [9, 9]]),
}


@pytest.mark.parametrize("name", SPOILED)
def test_scores_of_a_spoiled_set_equal_those_of_the_clean_one(clean, tmp_path, name):
    content, results = clean
    expected = ap_of(content, results, tmp_path)
    spoiled = copy.deepcopy(content)
    SPOILED[name](spoiled)
    if "bbox" in spoiled["annotations"][0] and spoiled["annotations"][0]["bbox"]:
        assert ap_of(spoiled, results, tmp_path) == pytest.approx(expected, nan_ok=True)
    else:  # without a box, the area stays that of the file
        assert ap_of(spoiled, results, tmp_path)["AP"] == expected["AP"]


@pytest.mark.parametrize("values", [[None, None, 0], [None, None, 2], [float("nan"), 3, 2], [float("inf"), 3, 1]])
def test_a_point_that_is_not_a_number_counts_as_not_labeled(clean, tmp_path, values):
    content, results = clean
    right = copy.deepcopy(content)
    unknown_point([0, 0, 0])(right)
    spoiled = copy.deepcopy(content)
    unknown_point(values)(spoiled)
    wider = [{**result, "keypoints": [*result["keypoints"], 5, 5, 1]} for result in results]
    scores = []
    for labels in (right, spoiled):
        path = tmp_path / "set.json"
        path.write_text(json.dumps(labels))
        scores.append(coco_scores(open_annotations(str(path)), wider, (0.1,) * 4))
    assert scores[0] == pytest.approx(scores[1], nan_ok=True)
    assert scores[0]["AP"] == pytest.approx((6 * 67 + 4 * 34) / 1010)


def test_nothing_to_find_scores_nothing():
    content = {"images": [{"id": 1}], "categories": [{"id": 1}], "annotations": []}
    assert np.isnan(pycocotools_scores(content, [], SIGMAS)["AP"])
