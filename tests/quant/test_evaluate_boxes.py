"""`quant.evaluate` for models that run on crops: each box runs once, and AP needs boxes and OKS sigmas."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from edgehrnet import Predictor
from edgehrnet.keypoint_sets import COCO_PERSON
from edgehrnet.models import create
from edgehrnet.models.checkpoints import save_checkpoint
from edgehrnet.spec import ModelSpec
from quant import evaluate
from quant.scoring.average_precision import NAMES

REMARKS = ("derived: ", "dropped: ", "warning: ")  # about the labels


def run(*arguments):
    return evaluate.main([str(argument) for argument in arguments])


def refusal(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    assert stop.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    (text,) = [line for line in lines if not line.startswith(REMARKS)]
    assert text.startswith("error: ")
    return text


SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "coco-sample"


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="not here: ../shared/data/coco-sample")
def test_persons_are_scored_as_coco_does(tmp_path, capsys):
    torch.manual_seed(0)
    spec = ModelSpec("person", COCO_PERSON.names, flip_pairs=COCO_PERSON.flip_pairs, crop="hrnet", input_size=(32, 32),
                     decode="quarter", oks_sigmas=COCO_PERSON.sigmas)  # fmt: skip
    net = create("edgehrnet18", keypoints=17)
    save_checkpoint(tmp_path / "a.pt", "edgehrnet18", {"keypoints": 17}, net.state_dict(), spec.to_dict(), {})
    found, given = tmp_path / "found.json", [str(tmp_path / "a.pt"), "--data", str(SAMPLE / "test_coco.json")]
    detected = json.loads((SAMPLE / "test_coco_det_AP_H_56.json").read_text())
    (tmp_path / "detected.json").write_text(json.dumps(detected[::4]))  # fewer, for speed
    boxes = ["--boxes", str(tmp_path / "detected.json"), "--flip-test", "--nme", "left_hip", "right_hip"]
    assert evaluate.main([*given, *boxes, "--results", str(found), "--json", str(tmp_path / "all.json")]) == 0
    printed = capsys.readouterr().out
    assert "boxes of detected.json" in printed
    assert "No AP" not in printed
    assert "NME %" in printed
    results = json.loads(found.read_text())
    # Detections of one person that agree are merged.
    assert 4 <= len(results) <= len(detected[::4])
    assert all(len(result["keypoints"]) == 51 for result in results)
    (row,) = json.loads((tmp_path / "all.json").read_text())["models"]
    assert set(row["coco"]) == set(NAMES)
    assert row["coco"]["AP"] < 0.05  # it was never trained


@pytest.mark.parametrize("option", ["--results", "--boxes"])
def test_boxes_and_results_need_coco_data(option, capsys):
    text = refusal(capsys, "document-corners", "--data", "synthetic:document-corners", "--count", "1", option, "a.json")
    assert option in text


def test_a_full_disk_for_the_results_keeps_the_scores(people, tmp_path, capsys, full_disk):
    (tmp_path / "found.json").write_text("before")
    boxes = write_boxes(tmp_path, [(1, [n / 9, 10, 40, 40]) for n in range(40)])
    with full_disk(), pytest.raises(SystemExit):
        run(*people, *boxes, "--results", tmp_path / "found.json")
    printed = capsys.readouterr()
    assert "COCO keypoint scores" in printed.out
    assert "found.json" in printed.err.splitlines()[-1]
    assert (tmp_path / "found.json").read_text() == "before"


@pytest.fixture
def people(tmp_path):
    """A COCO file with two persons in picture 1 and nobody in picture 2, and an untrained network."""
    content = {
        "images": [{"id": n, "file_name": f"{n}.png"} for n in (1, 2)],
        "categories": [{"id": 1, "name": "person", "keypoints": ["a", "b"], "sigmas": [0.05, 0.05]}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": box, "area": 1600.0, "num_keypoints": 2,
             "keypoints": [20, 20, 2, 40, 40, 2]}
            for n, box in ((1, [10, 10, 40, 40]), (2, [2, 2, 30, 50]))
        ],
    }  # fmt: skip
    for n in (1, 2):
        Image.new("RGB", (64, 64)).save(tmp_path / f"{n}.png")
    (tmp_path / "people.json").write_text(json.dumps(content))
    torch.manual_seed(0)
    spec = ModelSpec("person", ("a", "b"), crop="hrnet", input_size=(32, 32))
    net = create("edgehrnet18", keypoints=2)
    save_checkpoint(tmp_path / "a.pt", "edgehrnet18", {"keypoints": 2}, net.state_dict(), spec.to_dict(), {})
    return [str(tmp_path / "a.pt"), "--data", str(tmp_path / "people.json")]


def write_boxes(folder, boxes):
    path = folder / "boxes.json"
    path.write_text(json.dumps([{"image_id": n, "bbox": box, "score": 1.0} for n, box in boxes]))
    return ["--boxes", str(path)]


def test_detections_in_pictures_without_people_count(people, tmp_path):
    """COCO scores every picture, not only those with labels."""
    boxes = write_boxes(tmp_path, [(n, [10, 10, 40, 40]) for n in (1, 2)])
    found = tmp_path / "found.json"
    assert run(*people, *boxes, "--results", found) == 0
    assert [result["image_id"] for result in json.loads(found.read_text())] == [1, 2]
    assert run(*people, *boxes, "--results", found, "--count", "1") == 0
    assert [result["image_id"] for result in json.loads(found.read_text())] == [1]


@pytest.mark.parametrize(
    ("boxes", "runs"),
    [
        (None, 2),  # the labels' boxes, of which each gives errors and a detection
        ([(1, [10, 10, 39, 39]), (2, [10, 10, 40, 40])], 3),  # the first one is a label's
    ],
)
def test_each_box_runs_once_and_the_labels_are_read_once(people, tmp_path, monkeypatch, boxes, runs):
    asked, read = [], []
    predict, read_bytes = Predictor.predict, Path.read_bytes

    def counting_predict(self, image, *, boxes, **rest):
        asked.extend(boxes)
        return predict(self, image, boxes=boxes, **rest)

    def counting_read(self):
        read.append(self.name)
        return read_bytes(self)

    monkeypatch.setattr(Predictor, "predict", counting_predict)
    monkeypatch.setattr(Path, "read_bytes", counting_read)
    assert run(*people, *([] if boxes is None else write_boxes(tmp_path, boxes))) == 0
    assert len(asked) == runs
    assert read.count("people.json") == 1


def test_one_pass_gives_the_scores_of_two(people, tmp_path):
    """Detections in the labels' boxes, taken from the evaluation, equal those in the same boxes from a file."""
    found = [tmp_path / "a.json", tmp_path / "b.json"]
    # A tiny shift makes the boxes of the file other ones, so that the network runs again.
    boxes = write_boxes(tmp_path, [(1, [10, 10, 39, 39 + 1e-9]), (1, [2, 2, 29, 49 + 1e-9])])
    assert run(*people, "--results", found[0]) == 0
    assert run(*people, *boxes, "--results", found[1]) == 0
    first, second = (json.loads(path.read_text()) for path in found)
    assert len(first) == len(second) > 0
    for a, b in zip(first, second, strict=True):
        assert a["keypoints"] == pytest.approx(b["keypoints"], abs=1e-3)
        assert a["score"] == pytest.approx(b["score"], abs=1e-4)


@pytest.fixture
def without_sigmas(people):
    path = Path(people[-1])
    content = json.loads(path.read_text())
    del content["categories"][0]["sigmas"]
    path.write_text(json.dumps(content))
    return people


def test_keypoints_without_sigmas_get_no_ap(people, without_sigmas, tmp_path, capsys):
    assert run(*without_sigmas, "--json", tmp_path / "scores.json") == 0
    text = capsys.readouterr().out
    assert "No AP" in text
    assert "AP50" not in text
    assert "coco" not in json.loads((tmp_path / "scores.json").read_text())["models"][0]


def test_boxes_for_ap_need_sigmas(people, without_sigmas, tmp_path, capsys):
    boxes = write_boxes(tmp_path, [(1, [10, 10, 40, 40])])
    assert "sigmas" in refusal(capsys, *without_sigmas, *boxes)
    assert run(*without_sigmas, *boxes, "--results", tmp_path / "found.json") == 0
    assert len(json.loads((tmp_path / "found.json").read_text())) == 1


def test_the_table_of_a_model_for_crops_names_boxes_and_sizes(people, capsys):
    assert run(*people) == 0
    title, *lines = capsys.readouterr().out.splitlines()
    assert title.endswith(": 2 boxes in 1 picture, 4 keypoints scored")
    start = next(n for n, line in enumerate(lines) if line.startswith("keypoint "))
    assert lines[start].split()[-4:] == ["size", "%", "worst", "picture"]
    assert lines[start + 1].endswith(("1.png, instance 1", "1.png, instance 2"))


def test_boxes_are_checked_before_a_model_runs(people, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(evaluate, "compare", lambda *args: pytest.fail("a model has run"))
    assert "99" in refusal(capsys, *people, *write_boxes(tmp_path, [(99, [1, 1, 9, 9])]))
    whole = ["document-corners", *people[1:], *write_boxes(tmp_path, [(1, [1, 1, 9, 9])])]
    assert "--boxes" in refusal(capsys, *whole)
