"""Predictions that the edge part writes for labeling tools, as the readers of training take them back."""

import contextlib
import io
import json
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from edgehrnet.labels import coco, cvat, label_studio, sleap
from edgehrnet.labels.candidates import Candidate
from edgehrnet.spec import ModelSpec
from quant.data.formats.recognition import read_labels
from quant.data.opening import open_annotations

SPEC = ModelSpec(
    "mouse", ("nose", "ear_L", "ear_R", "tail"), skeleton=((0, 1), (0, 2), (0, 3)), flip_pairs=((1, 2),),
    input_size=(64, 96), crop="hrnet",
)  # fmt: skip
BOXES = np.array([[10.25, 8.5, 40.125, 60.0], [70.0, 20.0, 45.5, 55.25]])
LOW = 0.05


def candidates(folder, *, boxed, instances=2):
    """Two pictures with instances at random places. One point of each first instance is hardly certain."""
    (folder / "images").mkdir()
    rng, found = np.random.default_rng(3), []
    for number in range(2):
        name = f"picture_{number}.png"
        Image.fromarray(np.full((100, 150, 3), 60 * number, np.uint8)).save(folder / "images" / name)
        points = rng.uniform((5, 5), (140, 90), (instances, 4, 2))
        confidence = np.full((instances, 4), 0.9, np.float32)
        confidence[0, 2] = LOW
        boxes = BOXES[:instances] if boxed else None
        found.append(Candidate(name, name, None, (100, 150), points, confidence, boxes))
    return found


def finished_tasks(folder):
    """Label Studio's export after each prediction was accepted."""
    tasks = json.loads((folder / label_studio.TASKS).read_text())
    for number, task in enumerate(tasks, start=1):
        result = task.pop("predictions")[0]["result"]
        task |= {"id": number, "annotations": [{"id": number, "result": result}], "predictions": []}
    (folder / "export.json").write_text(json.dumps(tasks))
    return folder / "export.json"


def corrected(folder):
    """SLEAP's file after each predicted instance was double-clicked."""
    sio = pytest.importorskip("sleap_io")
    labels = sio.load_slp(str(folder / sleap.FILE), open_videos=False)
    for frame in labels.labeled_frames:
        frame.instances = [
            sio.Instance.from_numpy(one.numpy(), skeleton=one.skeleton) for one in frame.predicted_instances
        ]
    labels.save(str(folder / "corrected.slp"), embed=False, verbose=False)
    return folder / "corrected.slp"


FORMATS = {
    "label-studio": (label_studio.write, finished_tasks, 1e-9),
    "cvat": (cvat.write, lambda folder: folder / cvat.FILE, 0.0051),
    "coco": (coco.write, lambda folder: folder / coco.FILE, 0.00051),
    "sleap": (sleap.write, corrected, 1e-9),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("boxed", [True, False], ids=["boxes", "whole"])
def test_points_names_and_visibility_come_back(tmp_path, name, boxed):
    if name == "sleap":
        pytest.importorskip("sleap_io")
    write, tool, precision = FORMATS[name]
    given = candidates(tmp_path, boxed=boxed, instances=2 if boxed else 1)
    write(given, SPEC, tmp_path, 0.2)
    path = tool(tmp_path)
    labels = open_annotations(str(path))
    boxes = [instance.box for instance in read_labels(path).instances]  # completed labels have COCO's smaller boxes
    assert labels.keypoints == SPEC.keypoints
    assert labels.flip_pairs == SPEC.flip_pairs
    assert [picture.path.name for picture in labels.pictures] == [one.name for one in given]
    assert len(labels.instances) == sum(len(one.points) for one in given)
    for number, one in enumerate(given):
        mine = [instance for instance in labels.instances if instance.picture is labels.pictures[number]]
        for index, instance in enumerate(mine):
            shown = one.confidence[index] > LOW
            assert (instance.visibility == np.where(shown, 2, 0)).all()
            np.testing.assert_allclose(instance.points[shown], one.points[index][shown], rtol=0, atol=precision)
    if boxed and name != "sleap":  # which has no boxes
        np.testing.assert_allclose(np.array(boxes), np.tile(BOXES, (2, 1)), rtol=0, atol=2 * precision)
    if name != "label-studio":  # whose configuration has no lines
        assert labels.skeleton == SPEC.skeleton


def test_points_outside_a_picture_move_to_its_border_for_label_studio(tmp_path):
    one = candidates(tmp_path, boxed=True)[0]
    one.points[0, 0] = -20, 130
    label_studio.write([one], SPEC, tmp_path, 0.0)
    values = [part["value"] for part in json.loads((tmp_path / label_studio.TASKS).read_text())[0]["predictions"][0][
        "result"]]  # fmt: skip
    assert all(0 <= value["x"] <= 100 and 0 <= value["y"] <= 100 for value in values)


def test_pycocotools_reads_the_coco_file(tmp_path):
    pycoco = pytest.importorskip("pycocotools.coco")
    coco.write(candidates(tmp_path, boxed=True), SPEC, tmp_path, 0.2)
    with contextlib.redirect_stdout(io.StringIO()):
        read = pycoco.COCO(str(tmp_path / coco.FILE))
    assert [len(read.getAnnIds(imgIds=[number])) for number in (1, 2)] == [2, 2]
    assert [one["num_keypoints"] for one in read.loadAnns(read.getAnnIds())] == [3, 4, 3, 4]
    assert read.loadCats(1)[0]["keypoints"] == list(SPEC.keypoints)


def test_sleap_io_reads_scores_and_predictions(tmp_path):
    sio = pytest.importorskip("sleap_io")
    sleap.write(candidates(tmp_path, boxed=False), SPEC, tmp_path, 0.2)
    labels = sio.load_slp(str(tmp_path / sleap.FILE), open_videos=False)
    frame = labels.labeled_frames[0]
    assert (len(frame.predicted_instances), len(frame.user_instances)) == (2, 0)
    assert frame.predicted_instances[1].score == pytest.approx(0.9)
    assert labels.skeleton.node_names == list(SPEC.keypoints)


def test_cvat_has_labels_and_a_drawing_for_a_new_task(tmp_path):
    cvat.write(candidates(tmp_path, boxed=True), SPEC, tmp_path, 0.2)
    skeleton, box = json.loads((tmp_path / cvat.LABELS).read_text())
    assert [part["name"] for part in skeleton["sublabels"]] == list(SPEC.keypoints)
    drawing = ElementTree.fromstring(f"<svg>{skeleton['svg']}</svg>")
    assert len(drawing.findall("line")) == len(SPEC.skeleton)
    labels = {element.get("label") for element in ElementTree.parse(tmp_path / cvat.FILE).iter("box")}
    assert labels == {box["name"]}
