"""Boxes are read from the layouts of other projects, from JSON and from functions, in pixels of the picture."""

import json
import pickle

import numpy as np
import pytest

from edgehrnet.detectors.detector import Detector
from edgehrnet.errors import InputError, ModelFileError, UnknownKeywordError

PICTURE = np.full((40, 80, 3), 200, np.uint8)  # scaled by 0.8 into 64 x 64: 16 rows of gray above and below
NAMES = {"names": "{0: 'person', 1: 'dog'}"}


def raw(*boxes):
    """Rows of Ultralytics' raw layout: center, size, a score for each of two classes. Empty ones follow."""
    return np.pad(np.array(boxes, np.float32).T, ((0, 0), (0, 20 - len(boxes))))[None]


def given(path, **settings):
    found = Detector(path, **settings).find(PICTURE)
    return found.boxes.round(3).tolist(), found.scores.round(2).tolist(), found.labels.tolist()


# A box of 40 x 20 px whose left top corner is the picture's pixel (10, 5): (8, 20) in the input, 32 x 16.
PERSON = (24, 28, 32, 16)
BOX = [9.5, 4.5, 40.0, 20.0]


@pytest.mark.parametrize("name", ["detector.onnx", "detector.xml"])
def test_ultralytics_without_nms(write_detector, name):
    metadata = NAMES if name.endswith(".onnx") else {"labels": "person dog"}
    boxes = raw((*PERSON, 0.9, 0.1), (25, 28, 32, 16, 0.8, 0.0), (25, 28, 32, 16, 0.2, 0.7), (*PERSON, 0.2, 0.1))
    path = write_detector({"output0": boxes}, metadata, name)
    assert given(path, classes="person") == ([BOX], [0.9], [0])
    assert given(path, classes=["person", 1])[1:] == ([0.9, 0.7], [0, 1])
    assert given(path, classes="all", min_score=0.8)[1] == [0.9]


def test_columns_after_the_classes_are_not_scores(write_detector):
    boxes = np.concatenate([raw((*PERSON, 0.9, 0.1)), np.full((1, 3, 20), 9.0, np.float32)], axis=1)
    assert given(write_detector({"output0": boxes}, NAMES), classes="person") == ([BOX], [0.9], [0])


def test_ultralytics_end_to_end(write_detector):
    boxes = np.array([[(8, 20, 40, 36, 0.9, 0), (0, 0, 9, 9, 0.8, 1), (0, 0, 0, 0, 0, 0)]], np.float32)
    path = write_detector({"output0": boxes}, {**NAMES, "end2end": "True"})
    assert given(path, classes="person") == ([BOX], [0.9], [0])


def test_rtmdet(write_detector):
    boxes = np.array([[(8, 4, 40, 20, 0.9), (0, 0, 9, 9, 0.2)]], np.float32)  # no gray above
    path = write_detector({"dets": boxes, "labels": np.zeros((1, 2), np.int64)})
    assert given(path, classes=[0]) == ([BOX], [0.9], [0])


def test_a_detector_in_half_precision(write_detector):
    from onnx import TensorProto

    path = write_detector({"output0": raw((*PERSON, 0.9, 0.1))}, NAMES, kind=TensorProto.FLOAT16)
    assert given(path, classes="person")[0] == [BOX]


def test_boxes_are_cut_at_the_picture(write_detector):
    path = write_detector({"output0": raw((0, 16, 32, 16, 0.9, 0), (0, 4, 8, 8, 0.9, 0))}, NAMES)
    assert given(path, classes="person")[0] == [[-0.5, -0.5, 20.0, 10.0]]


def test_detections_of_a_json_file(tmp_path):
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps([{"image_id": 7, "bbox": BOX, "score": s} for s in (0.9, 0.1)]))
    detector = Detector(path)
    assert detector.find(PICTURE, "photos/0007.jpg").boxes.tolist() == [BOX]
    assert detector.find(PICTURE, "photos/0008.jpg").boxes.shape == (0, 4)
    with pytest.raises(InputError, match=r"boxes\.json"):
        detector.find(PICTURE)


@pytest.mark.parametrize(
    ("answer", "boxes"),
    [([[1, 2, 11, 22]], 1), (([[1, 2, 11, 22]] * 2, [0.9, 0.2]), 1), ([], 0), (None, 0), (np.zeros((0, 4)), 0)],
)
def test_functions(answer, boxes):
    found = Detector(lambda picture: answer, box_format="xyxy").find(PICTURE)
    assert found.boxes.tolist() == [[1.0, 2.0, 10.0, 20.0]] * boxes


def test_a_function_with_too_few_scores_or_boxes_that_are_none():
    with pytest.raises(InputError, match=r"\(2,\)"):
        Detector(lambda picture: ([[1, 2, 3, 4]], [0.5, 0.6])).find(PICTURE)
    with pytest.raises(InputError, match="str"):
        Detector(lambda picture: "boxes").find(PICTURE)


def test_several_classes_have_to_be_chosen(write_detector):
    path = write_detector({"output0": raw((*PERSON, 0.9, 0.1))}, NAMES)
    with pytest.raises(InputError, match=r"2 classes \(person, dog\)"):
        Detector(path)
    with pytest.raises(InputError, match="did you mean 'person'"):
        Detector(path, classes="persn")
    with pytest.raises(InputError, match="classes=2"):
        Detector(path, classes=[2])


def test_other_files_are_refused(write_detector, tmp_path):
    with pytest.raises(ModelFileError, match=r"heat \[1, 4, 16, 16\]"):
        Detector(write_detector({"heat": np.zeros((1, 4, 16, 16), np.float32)}))
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(ModelFileError, match="broken"):
        Detector(tmp_path / "broken.onnx")
    with pytest.raises(InputError, match=r"yolo\.pt"):
        Detector("yolo.pt")
    with pytest.raises(InputError, match="5"):
        Detector(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("setting", [{"refresh": 0}, {"min_score": 2}, {"box_format": "ltrb"}])
def test_settings_are_checked(setting):
    with pytest.raises(InputError, match=next(iter(setting))):
        Detector(lambda picture: [], **setting)
    with pytest.raises(UnknownKeywordError, match="refresh"):
        Detector(lambda picture: [], refesh=1)  # type: ignore[call-arg]


def test_pickling_opens_the_file_again(write_detector):
    path = write_detector({"output0": raw((*PERSON, 0.9, 0.1))}, NAMES)
    copy = pickle.loads(pickle.dumps(Detector(path, classes="person", min_score=0.5, refresh=3)))
    assert copy.find(PICTURE).boxes.round(3).tolist() == [BOX]
    assert (copy.refresh, copy.min_score) == (3, 0.5)
