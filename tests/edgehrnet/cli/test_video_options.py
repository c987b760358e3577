"""``edgehrnet predict`` follows, smooths and draws trails, and takes boxes from a detector."""

import json

import numpy as np
import pytest
from PIL import Image

import runtimes.null
from edgehrnet.cli import main


@pytest.fixture
def folder(tmp_path, null_model):
    """A folder with a model for whole pictures, one for crops, four pictures, and detections in two of them."""
    for number in range(4):
        Image.fromarray(null_model.picture).save(tmp_path / f"{number}.png")
    for name, crop in (("page", None), ("person", "udp")):
        spec = null_model.spec.replace(crop=crop, golden=None, cyclic=crop is None)
        runtimes.null.build(tmp_path / f"{name}.null", spec.to_json(), (64, 96), null_model.outputs)
    rows = [{"image_id": n, "bbox": [20, 10, 80, 60], "score": s} for n, s in ((1, 0.9), (1, 0.1), (2, 0.8))]
    (tmp_path / "boxes.json").write_text(json.dumps(rows))
    return tmp_path


def predict(folder, capsys, model, *options):
    pictures = [str(folder / f"{number}.png") for number in range(4)]
    assert main(["predict", str(folder / model), *pictures, *map(str, options), "--json"]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("option", [("--track",), ("--smooth", "kalman"), ("--smooth", "offline")])
def test_instances_have_ids_and_smoothed_points_say_if_they_were_predicted(folder, capsys, option):
    rows = predict(folder, capsys, "page.null", *option)
    assert [row["instances"][0]["id"] for row in rows] == [0] * 4
    assert [row["source"][-5:] for row in rows] == [f"{number}.png" for number in range(4)]
    marked = ["predicted" in point for row in rows for point in row["instances"][0]["keypoints"]]
    assert set(marked) == {option[0] == "--smooth"}


def test_files_have_the_ids(folder, capsys):
    pytest.importorskip("scipy")
    frames = ["--smooth", "kalman", "--csv", folder / "a.csv", "--coco", folder / "a.json"]
    predict(folder, capsys, "person.null", "--detector", folder / "boxes.json", *frames)
    rows = [line.split(",") for line in (folder / "a.csv").read_text().splitlines()]
    assert {row[rows[0].index("instance")] for row in rows[1:]} == {"0"}
    found = json.loads((folder / "a.json").read_text())["annotations"]
    assert [one["track_id"] for one in found] == [0, 0]


def test_boxes_of_a_detector(folder, capsys):
    rows = predict(folder, capsys, "person.null", "--detector", folder / "boxes.json")
    assert [len(row["instances"]) for row in rows] == [0, 1, 1, 0]
    assert rows[1]["instances"][0]["box"] == [20, 10, 80, 60]


def test_several_pages_in_a_picture(folder, capsys):
    boxes = {"1.png": [[0, 0, 90, 60], [80, 10, 60, 40]], "2.png": [[5, 5, 99, 66]]}
    (folder / "boxes.json").write_text(json.dumps(boxes))
    rows = predict(folder, capsys, "page.null", "--boxes", folder / "boxes.json", "--rectify", folder / "pages",
                   "--csv", folder / "a.csv", "--coco", folder / "a.json")  # fmt: skip
    assert [[instance["box"] for instance in row["instances"]] for row in rows] == list(boxes.values())
    pages = sorted(path.name for path in (folder / "pages").iterdir())
    assert pages == ["1-0.page.png", "1-1.page.png", "2-0.page.png"]
    lines = [line.split(",") for line in (folder / "a.csv").read_text().splitlines()]
    instances = [line[lines[0].index("instance")] for line in lines[1:]]
    assert instances == [*"0000", *"1111", *"0000"]
    assert [one["image_id"] for one in json.loads((folder / "a.json").read_text())["annotations"]] == [1, 1, 2]


def test_pages_of_a_detector_have_ids(folder, capsys):
    pytest.importorskip("scipy")
    rows = predict(folder, capsys, "page.null", "--detector", folder / "boxes.json", "--track")
    assert [[instance["id"] for instance in row["instances"]] for row in rows] == [[], [0], [0], []]


def test_overlays_with_trails(folder, capsys):
    predict(folder, capsys, "page.null", "--out", folder / "out", "--trails", 3)
    assert np.asarray(Image.open(folder / "out" / "3.keypoints.png")).shape == (128, 192, 3)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["person.null", "--detector", "{}/boxes.json", "--boxes", "{}/boxes.json"], "--boxes"),
        (["person.null", "--classes", "person"], "'person'"),
        (["person.null", "--detector", "{}/yolo.pt"], "yolo.pt"),
        (["page.null", "--trails", "5"], "--trails 5"),
    ],
)
def test_options_that_do_not_fit(folder, capsys, options, named):
    model, *rest = [text.replace("{}", str(folder)) for text in options]
    assert main(["predict", str(folder / model), str(folder / "1.png"), *rest]) == 2
    assert named in capsys.readouterr().err
