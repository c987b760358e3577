"""`quant.evaluate`: its table and JSON, the models it opens, and the arguments it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgehrnet import Predictor
from edgehrnet.errors import DeviceError
from edgehrnet.keypoint_sets import COCO_PERSON
from edgehrnet.models import create
from edgehrnet.models.checkpoints import save_checkpoint
from edgehrnet.spec import ModelSpec
from quant import contact, evaluate, ptq, qat, report, train
from quant.data.opening import open_data
from quant.reporting.score_table import NAME_WIDTH, shorten
from quant.scoring.average_precision import NAMES
from quant.scoring.evaluation import DEFAULT_SIGMA
from quant.scoring.model import open_model
from quant.scoring.torch_model import predict_torch, validate

CPU = torch.device("cpu")
RIGHT = (6.0, 0.0)  # px between the labels of the second picture and the stored model's points


def write_table(folder, names, pictures):
    """Write a labeled folder from pairs of a picture and its points."""
    folder.mkdir()
    head = [["scorer", *["me", "me"] * len(names)], ["bodyparts"], ["coords", *["x", "y"] * len(names)]]
    head[1] += [name for name in names for _ in "xy"]
    lines = [",".join(row) for row in head]
    for index, (image, points) in enumerate(pictures):
        Image.fromarray(image).save(folder / f"{index}.png")
        lines.append(",".join([f"{index}.png", *(str(value) for value in np.ravel(points))]))
    (folder / "CollectedData.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def labeled(null_model, tmp_path):
    """Two pictures. The stored model has no error in the first, and an error of RIGHT in the second."""
    pictures = [(null_model.picture, null_model.corners), (null_model.picture, null_model.corners + RIGHT)]
    return write_table(tmp_path / "corners", null_model.spec.keypoints, pictures)


@pytest.fixture
def checkpoint(tmp_path):
    torch.manual_seed(0)
    spec = ModelSpec("corners", ("a", "b", "c", "d"), input_size=(64, 96))
    network = create("edgehrnet18", keypoints=4).eval()
    path = tmp_path / "random.pt"
    save_checkpoint(path, "edgehrnet18", {"keypoints": 4}, network.state_dict(), spec.to_dict(), {})
    return path, network, spec


def run(*arguments):
    return evaluate.main([str(argument) for argument in arguments])


def refusal(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    assert stop.value.code == 2
    text = capsys.readouterr().err
    assert text.startswith("error: ")
    assert text.count("\n") == 1
    return text


def test_the_table_and_the_json_hold_the_scores(null_model, labeled, tmp_path, capsys):
    out = tmp_path / "scores.json"
    assert run(null_model.path, null_model.path, "--data", labeled, "--radii", 4, 8, "--json", out) == 0
    text = capsys.readouterr().out
    title, blank, head, *rows = text.splitlines()[:5]
    assert title == f"{labeled}: 2 pictures, 8 keypoints scored"
    assert blank == ""
    assert " ".join(head.split()) == "model mean px median px p95 px PCK 4px PCK 8px mean % PCK 1% OKS AP"
    assert len(rows) == 2
    assert rows[0] == rows[1]
    assert rows[0].split()[1:6] == ["3.00", "3.00", "6.00", "50.0", "100.0"]
    assert max(map(len, text.splitlines()[2:])) <= 120
    assert "percent of the picture's diagonal" in text
    assert f"default sigma {DEFAULT_SIGMA}" in text

    content = json.loads(out.read_text())
    assert (content["data"], content["fold"], content["radii"]) == (str(labeled), None, [4, 8])
    first = content["models"][0]
    assert first["model"] == str(null_model.path)
    assert first["picture_mean_px"] == pytest.approx([0, 6], abs=0.01)
    assert first["picture_diagonal_px"] == pytest.approx([np.hypot(192, 128)] * 2, abs=1e-3)
    assert list(first["keypoint_mean_px"].values()) == pytest.approx([3] * 4, abs=0.01)
    assert first["presence_auroc"] is None
    assert first["pck@4px"] == 50
    assert first["picture_confidence"] == pytest.approx([0.9, 0.9], abs=0.05)


def test_count_and_fold_choose_the_pictures(null_model, labeled, capsys):
    assert run(null_model.path, "--data", labeled, "--count", 1) == 0
    text = capsys.readouterr().out
    assert "1 pictures, 4 keypoints" in text
    assert " 0.00" in text
    assert run(null_model.path, "--data", labeled, "--fold", "1/2") == 0
    text = capsys.readouterr().out
    assert "fold 1/2: 1 pictures, 4 keypoints" in text
    assert " 6.00" in text


def test_a_checkpoint_runs_as_the_float_network(checkpoint, labeled, null_model, tmp_path, capsys):
    path, network, spec = checkpoint
    out = tmp_path / "scores.json"
    assert run(path, "--data", labeled, "--json", out) == 0
    (found,) = json.loads(out.read_text())["models"]
    data = open_data(str(labeled))
    expected = [
        np.linalg.norm(predict_torch(network, example.image, spec, CPU)[0] - example.points, axis=1).mean()
        for example in data.validation()
    ]
    assert found["picture_mean_px"] == pytest.approx(expected, abs=1e-3)
    assert min(expected) > 5
    assert found["input_size"] == [64, 96]
    assert validate(network, data, 9, data.spec.replace(input_size=(64, 96)), CPU).mean_percent == pytest.approx(
        found["mean_percent"], abs=1e-3
    )


def test_files_and_checkpoints_run_at_the_given_size(checkpoint, openvino_model, labeled, tmp_path):
    path, network, spec = checkpoint
    out = tmp_path / "scores.json"
    assert run(path, openvino_model.path, "--data", labeled, "--size", "96x128", "--json", out) == 0
    picture = next(open_data(str(labeled)).validation(1)).image
    found = json.loads(out.read_text())["models"]
    for model, net, own in zip(found, (network, openvino_model.network), (spec, openvino_model.spec), strict=True):
        _, conf, _ = predict_torch(net, picture, own.replace(input_size=(96, 128)), CPU)
        assert model["input_size"] == [96, 128]
        assert model["picture_confidence"][0] == pytest.approx(float(conf.mean()), abs=2e-4)


def test_a_shipped_model_is_found_by_name_and_finds_corners(tmp_path, capsys):
    out = tmp_path / "scores.json"
    assert run("document-corners", "--data", "synthetic:document-corners", "--count", 2, "--json", out) == 0
    (found,) = json.loads(out.read_text())["models"]
    assert found["picture_mean_px"][0] < 0.01 * found["picture_diagonal_px"][0]
    assert found["picture_empty"] == [False, True]
    assert found["picture_mean_px"][1] is None
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].startswith("synthetic:document-corners: 2 pictures, ")
    assert rows[3].startswith("document-corners ")
    assert "AUROC" in rows[2]


def test_the_number_of_keypoints_must_agree(null_model, tmp_path, capsys):
    data = write_table(tmp_path / "three", ("a", "b", "c"), [(null_model.picture, null_model.corners[:3])])
    text = refusal(capsys, null_model.path, "--data", data)
    assert str(null_model.path) in text
    assert "4 keypoints" in text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["document-corner"], "document-corners"),
        (["missing.pt"], "missing.pt"),
        (["document-corners", "--count", "0"], "--count 0"),
        (["document-corners", "--fold", "0/2"], "document-corners"),
        (["document-corners", "--size", "100x100"], "100"),
        (["document-corners", "--count", "1", "--radii", "-1"], "-1"),
        (["document-corners", "--json", "no/such/folder/x.json"], "no/such/folder"),
        (["document-corners", "--device", "quantum"], "quantum"),
    ],
)
def test_bad_input_gives_one_line_that_names_it(arguments, named, capsys):
    assert named in refusal(capsys, *arguments, "--data", "synthetic:document-corners")


@pytest.mark.parametrize("command", [evaluate, report, contact, ptq, qat, train])
def test_a_fold_out_of_range_is_refused(command, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(["document-corners", "--fold", "2/2"])
    assert stop.value.code == 2
    assert "2/2" in capsys.readouterr().err


def test_unknown_data_is_refused_with_the_accepted_kinds(capsys):
    text = refusal(capsys, "document-corners", "--data", "nowhere")
    assert all(name in text for name in ("nowhere", "synthetic:document-corners", "CollectedData.csv", ".json"))


@pytest.mark.parametrize("device", ["npu", "gpu.x", "gpu.99", "cuda"])
def test_a_checkpoint_refuses_devices_that_torch_lacks(checkpoint, device):
    with pytest.raises(DeviceError, match=device), open_model(str(checkpoint[0]), device):
        pass


def test_a_long_name_keeps_its_end():
    name = "/somewhere/far/away/in/a/deep/folder/model-int8.xml"
    short = shorten(name)
    assert len(short) == NAME_WIDTH
    assert short.startswith("...")
    assert name.endswith(short[3:])


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
    assert "default sigma" not in printed
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


@pytest.fixture
def people(tmp_path):
    """A COCO file with two persons in picture 1 and nobody in picture 2, and an untrained network."""
    content = {
        "images": [{"id": n, "file_name": f"{n}.png"} for n in (1, 2)],
        "categories": [{"id": 1, "name": "person", "keypoints": ["a", "b"], "skeleton": []}],
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
        ([(1, [10, 10, 40, 40]), (2, [10, 10, 40, 40])], 3),  # the first one is a label's
    ],
)
def test_each_box_runs_once_and_the_labels_are_read_once(people, tmp_path, monkeypatch, boxes, runs):
    asked, read = [], []
    predict, read_text = Predictor.predict, Path.read_text

    def counting_predict(self, image, *, boxes, **rest):
        asked.extend(boxes)
        return predict(self, image, boxes=boxes, **rest)

    def counting_read(self, *arguments, **rest):
        read.append(self.name)
        return read_text(self, *arguments, **rest)

    monkeypatch.setattr(Predictor, "predict", counting_predict)
    monkeypatch.setattr(Path, "read_text", counting_read)
    assert run(*people, *([] if boxes is None else write_boxes(tmp_path, boxes))) == 0
    assert len(asked) == runs
    assert read.count("people.json") == 1


def test_one_pass_gives_the_scores_of_two(people, tmp_path):
    """Detections in the labels' boxes, taken from the evaluation, equal those in the same boxes from a file."""
    found = [tmp_path / "a.json", tmp_path / "b.json"]
    # A tiny shift makes the boxes of the file other ones, so that the network runs again.
    boxes = write_boxes(tmp_path, [(1, [10, 10, 40, 40 + 1e-9]), (1, [2, 2, 30, 50 + 1e-9])])
    assert run(*people, "--results", found[0]) == 0
    assert run(*people, *boxes, "--results", found[1]) == 0
    first, second = (json.loads(path.read_text()) for path in found)
    assert len(first) == len(second) > 0
    for a, b in zip(first, second, strict=True):
        assert a["keypoints"] == pytest.approx(b["keypoints"], abs=1e-3)
        assert a["score"] == pytest.approx(b["score"], abs=1e-4)


def test_the_score_of_own_keypoints_names_the_default_sigma(people, capsys):
    assert run(*people) == 0
    assert f"default sigma {DEFAULT_SIGMA}" in capsys.readouterr().out
