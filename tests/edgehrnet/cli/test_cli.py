import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import runtimes.null
from edgehrnet import __version__
from edgehrnet.cli import main
from edgehrnet.cli.tables import table


@pytest.fixture
def pictures(tmp_path, null_model):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("b.png", "a.png"):
        Image.fromarray(null_model.picture).save(folder / name)
    return folder


@pytest.fixture
def model(null_model):
    return str(null_model.path)


def fails(capsys, *arguments):
    """Exit status 2 and one clean line; returns the line."""
    assert main([str(argument) for argument in arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert "Traceback" not in printed.err
    return printed.err


class TestPredict:
    def test_picture(self, capsys, model, pictures):
        assert main(["predict", model, str(pictures / "a.png")]) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        lines = printed.out.splitlines()
        assert lines[0] == str(pictures / "a.png")
        assert lines[1].split() == ["keypoint", "x", "y", "confidence"]
        assert lines[2].split()[:3] == ["top-left", "40.30", "25.60"]
        assert any(line.split()[:1] == ["total"] for line in lines)

    def test_folder_as_json_is_one_object_a_line(self, capsys, model, pictures):
        assert main(["predict", model, str(pictures), "--json"]) == 0
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [row["source"] for row in rows] == [str(pictures / "a.png"), str(pictures / "b.png")]
        assert all(len(row["instances"][0]["keypoints"]) == 4 for row in rows)

    def test_overlays(self, capsys, model, pictures, tmp_path):
        assert main(["predict", model, str(pictures), "--out", str(tmp_path / "new" / "out")]) == 0
        written = sorted((tmp_path / "new" / "out").iterdir())
        assert [path.name for path in written] == ["a.keypoints.png", "b.keypoints.png"]
        with Image.open(written[0]) as overlay, Image.open(pictures / "a.png") as picture:
            assert overlay.size == picture.size
            assert not np.array_equal(np.array(overlay), np.array(picture))

    def test_heatmaps_change_the_overlay(self, model, pictures, tmp_path):
        for folder, options in (("plain", []), ("warm", ["--heatmaps"])):
            main(["predict", model, str(pictures / "a.png"), "--out", str(tmp_path / folder), *options])
        assert (tmp_path / "plain" / "a.keypoints.png").read_bytes() != (
            tmp_path / "warm" / "a.keypoints.png"
        ).read_bytes()

    def test_overlay_never_replaces_the_picture(self, capsys, model, pictures):
        before = {path: path.read_bytes() for path in pictures.iterdir()}
        assert main(["predict", model, str(pictures), "--out", str(pictures)]) == 0
        assert {path: path.read_bytes() for path in before} == before

    def test_overlay_never_replaces_another(self, capsys, model, pictures, tmp_path, null_model):
        Image.fromarray(null_model.picture).save(pictures / "a.jpg")
        assert "give their folders one by one" in fails(capsys, "predict", model, pictures, "--out", tmp_path / "out")
        assert not list((tmp_path / "out").iterdir())  # before the first picture is read

    def test_a_bad_picture_does_not_stop_the_others(self, capsys, model, pictures):
        (pictures / "aa.png").write_bytes(b"")
        assert main(["predict", model, str(pictures), "--json"]) == 2
        printed = capsys.readouterr()
        assert len(printed.out.splitlines()) == 2
        assert printed.err.startswith("error: ")
        assert "zero bytes" in printed.err

    def test_decode(self, capsys, model, pictures):
        main(["predict", model, str(pictures / "a.png"), "--decode", "argmax", "--json"])
        point = json.loads(capsys.readouterr().out)["instances"][0]["keypoints"][0]
        assert point["x"] != pytest.approx(40.3, abs=0.1)


class TestInfo:
    def test_table(self, capsys, model):
        assert main(["info", model]) == 0
        printed = capsys.readouterr().out
        for text in (model, "null 1 on cpu", "1x64x96x4", "1x4x16x24 NCHW", "1x16x24x8 NHWC", "see selfcheck"):
            assert text in printed

    def test_json(self, capsys, model):
        assert main(["info", model, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["engine"] == "null"

    def test_engine(self, capsys, openvino_model):
        assert main(["info", str(openvino_model.path), "--size", "96x160", "--threads", "1"]) == 0
        printed = capsys.readouterr().out
        assert "1x96x160x4" in printed
        assert "on CPU" in printed
        assert "in f32" in printed


class TestSelfcheck:
    def test_passes(self, capsys, model):
        assert main(["selfcheck", model]) == 0
        assert capsys.readouterr().out.startswith("passed\n")

    def test_json(self, capsys, model):
        assert main(["selfcheck", model, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["passed"] is True

    def test_fails(self, capsys, null_model, tmp_path):
        outputs = {name: np.zeros_like(array) for name, array in null_model.outputs.items()}
        runtimes.null.build(tmp_path / "bad.null", null_model.spec.to_json(), (64, 96), outputs)
        assert main(["selfcheck", str(tmp_path / "bad.null")]) == 1
        assert capsys.readouterr().out.startswith("FAILED")
        assert main(["selfcheck", str(tmp_path / "bad.null"), "--json"]) == 1
        # Strict JSON has no NaN.
        json.loads(capsys.readouterr().out, parse_constant=pytest.fail)


class TestErrors:
    def test_unknown_model_name(self, capsys, pictures):
        line = fails(capsys, "predict", "document-corner", pictures / "a.png")
        assert "'document-corner' is not a shipped model; did you mean 'document-corners'?" in line

    @pytest.mark.parametrize("command", ["info", "selfcheck"])
    def test_missing_model(self, capsys, tmp_path, command):
        assert "does not exist; nothing is downloaded" in fails(capsys, command, tmp_path / "none.xml")

    def test_missing_picture(self, capsys, model, tmp_path):
        assert "none.png' does not exist" in fails(capsys, "predict", model, tmp_path / "none.png")

    def test_address(self, capsys, model):
        assert "addresses are not fetched" in fails(capsys, "predict", model, "https://example.org/a.jpg")

    def test_damaged_model(self, capsys, tmp_path):
        (tmp_path / "a.xml").write_text("<html/>")
        (tmp_path / "a.bin").touch()
        assert "not a usable OpenVINO file" in fails(capsys, "info", tmp_path / "a.xml")

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            (["--device", "gpu"], "no device but 'cpu'"),
            (["--threads", "0"], "threads=0"),
            (["--size", "60x96"], "the nearest are 32x96 and 64x96"),
        ],
    )
    def test_bad_options(self, capsys, model, options, text):
        assert text in fails(capsys, "info", model, *options)

    def test_folder_that_cannot_be_made(self, capsys, model, pictures):
        assert "a.png" in fails(capsys, "predict", model, pictures, "--out", pictures / "a.png")

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            ([], "required: COMMAND"),
            (["predict", "m.xml"], "required: source"),
            (["info", "m.xml", "--size", "64"], "write HEIGHTxWIDTH"),
            (["info", "m.xml", "--decode", "best"], "invalid choice: 'best'"),
            (["inform"], "invalid choice"),
        ],
    )
    def test_usage(self, capsys, arguments, text):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert text in capsys.readouterr().err


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"edgehrnet {__version__}\n"


def test_module_is_the_command():
    command = [sys.executable, "-W", "error", "-m", "edgehrnet", "info", "none.null"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: model file 'none.null' does not exist; nothing is downloaded, check the path\n"


class TestTable:
    def test_numbers_to_the_right_words_to_the_left(self):
        assert table(("a", "ms"), [("long name", "1.5"), ("b", "20.25")]).splitlines() == [
            "a             ms",
            "long name    1.5",
            "b          20.25",
        ]

    def test_no_rows(self):
        assert table(("a", "b"), []).split() == ["a", "b"]

    def test_ragged_rows_are_a_mistake(self):
        with pytest.raises(ValueError, match="zip"):
            table(("a", "b"), [("1",)])


class TestInfoWithoutAModel:
    def test_devices_of_every_engine(self, capsys):
        assert main(["info"]) == 0
        printed = capsys.readouterr().out
        assert "openvino" in printed
        assert "chooses among" in printed
        assert "INT8" in printed  # what the CPU says that it can do

    def test_devices_as_json(self, capsys):
        assert main(["info", "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["openvino"][0]["name"] == "cpu"
        assert found["openvino"][-1]["name"] == "auto"

    def test_an_engine_that_is_not_installed_says_how_to_install_it(self, capsys, monkeypatch):
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        assert main(["info"]) == 0
        assert "pip install 'edgehrnet[onnx]'" in capsys.readouterr().out

    def test_quirks(self, capsys):
        assert main(["info", "--quirks"]) == 0
        printed = capsys.readouterr().out
        assert "engine is told  EXECUTION_MODE_HINT=ACCURACY" in printed
        assert "https://github.com/openvinotoolkit/openvino/issues/37446" in printed
        assert main(["info", "--quirks", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)[0]["settings"] == {"INFERENCE_PRECISION_HINT": "f32"}
