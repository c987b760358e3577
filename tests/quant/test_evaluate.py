"""`quant.evaluate`: its table and JSON, the models it opens, and the arguments it refuses."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from edgehrnet.errors import DeviceError
from edgehrnet.models import create
from edgehrnet.models.checkpoints import save_checkpoint
from edgehrnet.spec import ModelSpec
from quant import contact, evaluate, ptq, qat, report, train
from quant.data.opening import open_data
from quant.reporting.score_table import NAME_WIDTH, shorten
from quant.scoring.model import open_model
from quant.scoring.torch_model import predict_torch, validate

CPU = torch.device("cpu")
REMARKS = ("derived: ", "dropped: ", "warning: ")  # about the labels
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
def checkpoint(null_model, tmp_path):
    torch.manual_seed(0)
    spec = ModelSpec("corners", null_model.spec.keypoints, input_size=(64, 96))
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
    lines = capsys.readouterr().err.splitlines()
    (text,) = [line for line in lines if not line.startswith(REMARKS)]
    assert text.startswith("error: ")
    return text


def test_the_table_and_the_json_hold_the_scores(null_model, labeled, tmp_path, capsys):
    out = tmp_path / "scores.json"
    assert run(null_model.path, null_model.path, "--data", labeled, "--radii", 4, 8, "--json", out) == 0
    text = capsys.readouterr().out
    title, blank, head, *rows = text.splitlines()[:5]
    assert title == f"{labeled}: 2 pictures, 8 keypoints scored"
    assert blank == ""
    assert " ".join(head.split()) == "model mean px median px p95 px PCK 4px PCK 8px mean % PCK 1%"
    assert len(rows) == 2
    assert rows[0] == rows[1]
    assert rows[0].split()[1:6] == ["3.00", "3.00", "6.00", "50.0", "100.0"]
    assert max(map(len, text.splitlines()[2:])) <= 120
    assert "percent of the picture's diagonal" in text
    assert "No AP" in text

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
    assert "1 picture, 4 keypoints" in text
    assert " 0.00" in text
    assert run(null_model.path, "--data", labeled, "--fold", "1/2") == 0
    text = capsys.readouterr().out
    assert "fold 1/2: 1 picture, 4 keypoints" in text
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
    assert " 4: top-left" in text
    assert " 3: a, b, c" in text


def test_a_spec_gives_the_keypoints_of_a_file(null_model, labeled, tmp_path, capsys):
    (tmp_path / "spec.json").write_text(
        null_model.spec.replace(keypoints=("a", "b", "c", "d"), flip_pairs=()).to_json()
    )
    text = refusal(capsys, null_model.path, "--data", labeled, "--spec", tmp_path / "spec.json")
    assert "a, b, c, d" in text
    assert ", ".join(null_model.spec.keypoints) in text


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
    assert all(name in text for name in ("nowhere", "synthetic:document-corners", "CollectedData", ".json"))


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


def keypoint_rows(lines, count):
    """Return head and rows of the table of keypoints."""
    start = next(n for n, line in enumerate(lines) if line.startswith("keypoint "))
    return lines[start : start + count + 1]


def test_the_errors_of_each_keypoint_are_printed_and_written(null_model, labeled, tmp_path, capsys):
    out = tmp_path / "scores.json"
    assert run(null_model.path, "--data", labeled, "--json", out) == 0
    head, *rows = keypoint_rows(capsys.readouterr().out.splitlines(), 4)
    assert head.split()[:2] == ["keypoint", "scored"]
    assert [row.split()[0] for row in rows] == list(null_model.spec.keypoints)
    numbers = [row.replace(" * ", " ").split()[1:5] for row in rows]
    assert numbers == [["2", "3.00", "3.00", "5.70"]] * 4
    assert all(row.endswith(" 1.png") for row in rows)
    (found,) = json.loads(out.read_text())["models"]
    assert found["keypoint_scored"] == dict.fromkeys(null_model.spec.keypoints, 2)
    assert list(found["keypoint_median_px"].values()) == pytest.approx([3] * 4, abs=0.01)
    assert list(found["keypoint_p95_px"].values()) == pytest.approx([5.7] * 4, abs=0.01)
    assert found["picture_file"] == [str(labeled / f"{n}.png") for n in (0, 1)]
    assert found["pictures_trained"] is None


def test_scores_have_the_names_of_the_labels_that_are_in_another_order(null_model, tmp_path):
    names, corners = null_model.spec.keypoints[::-1], null_model.corners[::-1].copy()
    corners[0] += RIGHT
    data, out = write_table(tmp_path / "other", names, [(null_model.picture, corners)]), tmp_path / "scores.json"
    assert run(null_model.path, "--data", data, "--json", out) == 0
    found = json.loads(out.read_text())["models"][0]["keypoint_mean_px"]
    assert found == pytest.approx({names[0]: 6, **dict.fromkeys(names[1:], 0)}, abs=0.01)


def test_several_models_stand_side_by_side(null_model, labeled, capsys):
    other = null_model.path.with_name("other.null")
    other.write_bytes(null_model.path.read_bytes())
    assert run(null_model.path, other, "--data", labeled) == 0
    head, *rows = keypoint_rows(capsys.readouterr().out.splitlines(), 4)
    assert head.split() == ["keypoint", "scored", null_model.path.name, "other.null"]
    assert [row.replace(" * ", " ").split()[1:] for row in rows] == [["2", "3.00", "3.00"]] * 4


@pytest.mark.parametrize(
    ("trained", "scored", "known", "said"),
    [
        ({"fold": None}, [], 2, "on 2 of these 2 "),
        ({"fold": [0, 2]}, [], 1, "on 1 of these 2 "),
        ({"fold": [0, 2]}, ["--fold", "0/2"], 0, "on none of these 1 "),
        ({"fold": [0, 2]}, ["--fold", "1/2"], 1, "on 1 of these 1 "),
        ({"fold": None, "data": "other.json"}, [], None, "not known"),
        ({"fold": None, "init": "first.pt"}, [], 2, "first.pt"),
    ],
)
def test_a_checkpoint_tells_how_many_pictures_it_was_trained_on(
    checkpoint, labeled, tmp_path, capsys, trained, scored, known, said
):
    path, network, spec = checkpoint
    settings = {"data": str(labeled), **trained}
    state = network.state_dict()
    save_checkpoint(path, "edgehrnet18", {"keypoints": 4}, state, spec.to_dict(), {"settings": settings})
    assert run(path, "--data", labeled, *scored, "--json", tmp_path / "scores.json") == 0
    assert said in capsys.readouterr().out.splitlines()[-1]
    assert json.loads((tmp_path / "scores.json").read_text())["models"][0]["pictures_trained"] == known
