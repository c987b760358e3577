"""The command: what it opens, what it prints, what it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgehrnet.errors import DeviceError
from edgehrnet.keypoint_sets import COCO_PERSON
from edgehrnet.models import create
from edgehrnet.models.checkpoints import save_checkpoint
from edgehrnet.spec import ModelSpec
from quant import contact, evaluate, ptq, qat, report, train
from quant.data.opening import open_data
from quant.scoring.average_precision import NAMES
from quant.scoring.torch_model import predict_torch, validate

CPU = torch.device("cpu")
RIGHT = (6.0, 0.0)  # px by which the labels of the second picture miss what the stored model finds


def write_table(folder, names, pictures):
    """Write a labeled folder; ``pictures`` are an array and points each."""
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
    """Two pictures; the stored model is right about the first, and RIGHT off in the second."""
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


def test_the_table_and_the_json_say_what_the_model_does(null_model, labeled, tmp_path, capsys):
    out = tmp_path / "scores.json"
    assert run(null_model.path, null_model.path, "--data", labeled, "--radii", 4, 8, "--json", out) == 0
    text = capsys.readouterr().out
    title, blank, head, *rows = text.splitlines()
    assert title == f"{labeled}: 2 pictures, 8 keypoints scored"
    assert blank == ""
    assert " ".join(head.split()) == "model mean px median px p95 px PCK 4px PCK 8px mean % PCK 1% OKS AP"
    assert len(rows) == 2
    assert rows[0] == rows[1]
    assert rows[0].split()[1:6] == ["3.00", "3.00", "6.00", "50.0", "100.0"]
    assert max(map(len, text.splitlines()[2:])) <= 120

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


def test_a_checkpoint_is_run_as_the_float_network(checkpoint, labeled, null_model, tmp_path, capsys):
    path, network, spec = checkpoint
    out = tmp_path / "scores.json"
    assert run(path, "--data", labeled, "--json", out) == 0
    (found,) = json.loads(out.read_text())["models"]
    data = open_data(str(labeled))
    expected = [
        np.linalg.norm(predict_torch(network, example.image, spec, CPU)[0] - example.points, axis=1).mean()
        for example in data.held_back()
    ]
    assert found["picture_mean_px"] == pytest.approx(expected, abs=1e-3)
    assert min(expected) > 5
    assert found["input_size"] == [64, 96]
    assert validate(network, data, 9, data.spec.replace(input_size=(64, 96)), CPU).mean_percent == pytest.approx(
        found["mean_percent"], abs=1e-3
    )


def test_files_and_checkpoints_run_at_the_size_asked_for(checkpoint, openvino_model, labeled, tmp_path):
    path, network, spec = checkpoint
    out = tmp_path / "scores.json"
    assert run(path, openvino_model.path, "--data", labeled, "--size", "96x128", "--json", out) == 0
    picture = next(open_data(str(labeled)).held_back(1)).image
    found = json.loads(out.read_text())["models"]
    for model, net, own in zip(found, (network, openvino_model.network), (spec, openvino_model.spec), strict=True):
        _, conf, _ = predict_torch(net, picture, own.replace(input_size=(96, 128)), CPU)
        assert model["input_size"] == [96, 128]
        assert model["picture_confidence"][0] == pytest.approx(float(conf.mean()), abs=2e-4)


def test_a_shipped_name_is_found_and_finds_corners(tmp_path, capsys):
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


def test_keypoints_must_agree_in_number(null_model, tmp_path, capsys):
    data = write_table(tmp_path / "three", ("a", "b", "c"), [(null_model.picture, null_model.corners[:3])])
    text = refusal(capsys, null_model.path, "--data", data)
    assert f"{null_model.path} finds 4 keypoints, three has 3" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["document-corner"], "did you mean 'document-corners'"),
        (["missing.pt"], "missing.pt"),
        (["document-corners", "--count", "0"], "--count 0: at least 1"),
        (["document-corners", "--fold", "0/2"], "has no folds"),
        (["document-corners", "--size", "100x100"], "32"),
        (["document-corners", "--count", "1", "--radii", "-1"], "greater than 0"),
        (["document-corners", "--json", "no/such/folder/x.json"], "no folder no/such/folder"),
        (["document-corners", "--device", "quantum"], "quantum"),
    ],
)
def test_bad_input_ends_with_one_line(arguments, said, capsys):
    assert said in refusal(capsys, *arguments, "--data", "synthetic:document-corners")


@pytest.mark.parametrize("command", [evaluate, report, contact, ptq, qat, train])
def test_a_fold_that_is_none_says_so(command, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(["document-corners", "--fold", "2/2"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.endswith("--fold: fold '2/2': K runs from 0 to N - 1, and N is at least 2\n")


def test_unknown_data_names_what_is_accepted(capsys):
    text = refusal(capsys, "document-corners", "--data", "nowhere")
    assert "'synthetic:document-corners', a folder with a CollectedData.csv, or a COCO keypoint .json" in text


@pytest.mark.parametrize("device", ["npu", "gpu.x", "gpu.99", "cuda"])
def test_a_checkpoint_refuses_devices_that_torch_lacks(checkpoint, device):
    with pytest.raises(DeviceError, match=device), evaluate.open_model(str(checkpoint[0]), device):
        pass


def test_a_long_name_keeps_its_end():
    name = "/somewhere/far/away/in/a/deep/folder/model-int8.xml"
    short = evaluate._shorten(name)
    assert len(short) == evaluate.NAME_WIDTH
    assert short.startswith("...")
    assert name.endswith(short[3:])


SAMPLE = Path(__file__).parents[3] / "shared" / "data" / "coco-sample"


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="not here: ../shared/data/coco-sample")
def test_persons_are_scored_as_coco_does(tmp_path, capsys):
    torch.manual_seed(0)
    spec = ModelSpec("person", COCO_PERSON.names, flip_pairs=COCO_PERSON.flip_pairs, crop="hrnet", input_size=(64, 64),
                     decode="quarter", oks_sigmas=COCO_PERSON.sigmas)  # fmt: skip
    net = create("edgehrnet18", keypoints=17)
    save_checkpoint(tmp_path / "a.pt", "edgehrnet18", {"keypoints": 17}, net.state_dict(), spec.to_dict(), {})
    found, given = tmp_path / "found.json", [str(tmp_path / "a.pt"), "--data", str(SAMPLE / "test_coco.json")]
    boxes = ["--boxes", str(SAMPLE / "test_coco_det_AP_H_56.json"), "--flip-test", "--nme", "left_hip", "right_hip"]
    assert evaluate.main([*given, *boxes, "--results", str(found), "--json", str(tmp_path / "all.json")]) == 0
    printed = capsys.readouterr().out
    assert "COCO keypoints, boxes of test_coco_det_AP_H_56.json" in printed
    assert "NME %" in printed
    results = json.loads(found.read_text())
    # Boxes on one person whose points agree are one, and nobody has more points than names.
    assert 4 <= len(results) <= 118
    assert all(len(result["keypoints"]) == 51 for result in results)
    (row,) = json.loads((tmp_path / "all.json").read_text())["models"]
    assert set(row["coco"]) == set(NAMES)
    assert row["coco"]["AP"] < 0.05  # it was never trained


def test_boxes_are_for_coco(tmp_path, capsys):
    with pytest.raises(SystemExit):
        evaluate.main(
            ["document-corners", "--data", "synthetic:document-corners", "--count", "1", "--results", "a.json"]
        )
    assert "--boxes and --results are for COCO's keypoints" in capsys.readouterr().err


def test_whoever_is_found_in_a_picture_without_people_is_wrong(tmp_path, capsys):
    """COCO counts every picture, not those with labels alone."""
    person = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [10, 10, 40, 40], "area": 1600.0,
              "num_keypoints": 2, "keypoints": [20, 20, 2, 40, 40, 2]}  # fmt: skip
    content = {
        "images": [{"id": n, "file_name": f"{n}.png"} for n in (1, 2)],
        "categories": [{"id": 1, "name": "person", "keypoints": ["a", "b"], "skeleton": []}],
        "annotations": [person],
    }
    for n in (1, 2):
        Image.new("RGB", (64, 64)).save(tmp_path / f"{n}.png")
    (tmp_path / "people.json").write_text(json.dumps(content))
    boxes = [{"image_id": n, "bbox": [10, 10, 40, 40], "score": 1.0} for n in (1, 2)]
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    torch.manual_seed(0)
    spec = ModelSpec("person", ("a", "b"), crop="hrnet", input_size=(32, 32))
    net = create("edgehrnet18", keypoints=2)
    save_checkpoint(tmp_path / "a.pt", "edgehrnet18", {"keypoints": 2}, net.state_dict(), spec.to_dict(), {})
    given = [str(tmp_path / "a.pt"), "--data", str(tmp_path / "people.json"), "--boxes", str(tmp_path / "boxes.json")]
    found = tmp_path / "found.json"
    assert evaluate.main([*given, "--results", str(found)]) == 0
    assert [result["image_id"] for result in json.loads(found.read_text())] == [1, 2]
    assert evaluate.main([*given, "--results", str(found), "--count", "1"]) == 0
    assert [result["image_id"] for result in json.loads(found.read_text())] == [1]
