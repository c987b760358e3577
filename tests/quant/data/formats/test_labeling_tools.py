"""What the edge part writes for labeling tools, as the tools' own packages read it. They are too large for `dev`."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from edgehrnet.labels import coco, cvat, label_studio
from edgehrnet.labels.candidates import Candidate
from edgehrnet.spec import ModelSpec

pytestmark = pytest.mark.filterwarnings("ignore")  # those of the packages
SPEC = ModelSpec("mouse", ("nose", "ear_L", "tail"), skeleton=((0, 1), (0, 2)), input_size=(64, 96), crop="hrnet")
POINTS = np.array([[[10.25, 20.5], [30.75, 8.0], [50.5, 44.25]], [[70.5, 21.0], [90.0, 30.25], [99.5, 60.75]]])


@pytest.fixture
def candidate(tmp_path):
    """A picture with two instances in boxes."""
    (tmp_path / "images").mkdir()
    Image.new("RGB", (150, 100)).save(tmp_path / "images" / "a.png")
    boxes = np.array([[5.0, 5.0, 50.0, 45.0], [65.0, 15.0, 40.0, 50.0]])
    return Candidate("a.png", "a.png", None, (100, 150), POINTS, np.full((2, 3), 0.9, np.float32), boxes)


def test_label_studio_accepts_the_predictions(tmp_path, candidate):
    interface = pytest.importorskip("label_studio_sdk.label_interface", reason="needs label-studio-sdk").LabelInterface
    label_studio.write([candidate], SPEC, tmp_path, 0.95)  # all keypoints are absent
    read = interface((tmp_path / label_studio.CONFIG).read_text())
    prediction = json.loads((tmp_path / label_studio.TASKS).read_text())[0]["predictions"][0]
    assert read.validate_prediction(prediction, return_errors=True) == []
    prediction["result"][1]["value"]["keypointlabels"] = ["nobody"]
    assert read.validate_prediction(prediction, return_errors=True) != []


def points_of(datumaro, folder, format_name):
    found = next(iter(datumaro.Dataset.import_from(str(folder), format_name)))
    return np.array([one.points for one in found.annotations if one.type == datumaro.AnnotationType.points])


def test_datumaro_reads_the_files_for_cvat_and_of_coco(tmp_path, candidate):
    datumaro = pytest.importorskip("datumaro", reason="needs datumaro")
    cvat.write([candidate], SPEC, tmp_path, 0.0)
    assert points_of(datumaro, tmp_path, "cvat") == pytest.approx(POINTS.reshape(6, 2))
    coco.write([candidate], SPEC, tmp_path, 0.0)
    (tmp_path / "coco/annotations").mkdir(parents=True)
    shutil.copytree(tmp_path / "images", tmp_path / "coco/images/default")
    shutil.copy(tmp_path / coco.FILE, tmp_path / "coco/annotations/person_keypoints_default.json")
    assert points_of(datumaro, tmp_path / "coco", "coco_person_keypoints") == pytest.approx(POINTS.reshape(2, 6))
