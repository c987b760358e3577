import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import runtimes.null
from edgehrnet import Predictor, __version__
from edgehrnet.cli import COMMANDS, main
from edgehrnet.cli.status import exit_status
from edgehrnet.cli.tables import rows_table, table


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
    """Run a command that ends with status 2 and one line; return the line."""
    assert main([str(argument) for argument in arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert "Traceback" not in printed.err
    return printed.err


def crop_model(null_model, folder):
    """Write a model for crops, and return its path."""
    spec = null_model.spec.replace(crop="udp", golden=None, cyclic=False)
    runtimes.null.build(folder / "person.null", spec.to_json(), (64, 96), null_model.outputs)
    return str(folder / "person.null")


class TestPredict:
    def test_prints_the_keypoints_of_a_picture(self, capsys, model, pictures):
        assert main(["predict", model, str(pictures / "a.png")]) == 0
        printed = capsys.readouterr()
        assert printed.err == ""
        lines = printed.out.splitlines()
        assert lines[0] == f"{pictures / 'a.png'}  score 0.861: keypoints"
        assert lines[2].split() == ["keypoint", "x", "px", "y", "px", "confidence"]
        assert lines[3].split()[:3] == ["top-left", "40.30", "25.60"]
        assert any(line.split()[:1] == ["total"] for line in lines)

    @pytest.mark.parametrize("command", ["predict", "info"])
    def test_a_spec_describes_a_file_of_another_project(self, capsys, model, pictures, tmp_path, null_model, command):
        names = ("a", "b", "c", "d")
        (tmp_path / "spec.json").write_text(null_model.spec.replace(keypoints=names, flip_pairs=()).to_json())
        source = [str(pictures / "a.png")] if command == "predict" else []
        assert main([command, model, *source, "--spec", str(tmp_path / "spec.json"), "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert all(name in json.dumps(found) for name in ('"a"', '"d"'))
        assert "top-left" not in json.dumps(found)

    def test_a_folder_as_json_is_one_object_per_line(self, capsys, model, pictures):
        assert main(["predict", model, str(pictures), "--json"]) == 0
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [row["source"] for row in rows] == [str(pictures / "a.png"), str(pictures / "b.png")]
        assert all(len(row["instances"][0]["keypoints"]) == 4 for row in rows)

    def test_writes_overlays_and_says_where(self, capsys, model, pictures, tmp_path):
        assert main(["predict", model, str(pictures), "--out", str(tmp_path / "new" / "out")]) == 0
        written = sorted((tmp_path / "new" / "out").iterdir())
        printed = capsys.readouterr().out
        assert [path.name for path in written] == ["a.keypoints.png", "b.keypoints.png"]
        assert f"overlays: {tmp_path / 'new' / 'out'}\n" in printed
        with Image.open(written[0]) as overlay, Image.open(pictures / "a.png") as picture:
            assert overlay.size == picture.size
            assert not np.array_equal(np.array(overlay), np.array(picture))

    def test_json_says_where_the_overlay_is(self, capsys, model, pictures, tmp_path):
        assert main(["predict", model, str(pictures / "a.png"), "--out", str(tmp_path), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["overlay"] == str(tmp_path / "a.keypoints.png")

    @pytest.mark.parametrize(
        ("name", "kind"), [("c.JPG", "JPEG"), ("c.jpeg", "JPEG"), ("c.webp", "PNG"), ("c.bmp", "PNG")]
    )
    def test_the_overlay_of_a_jpeg_is_a_jpeg(self, model, null_model, tmp_path, name, kind):
        Image.fromarray(null_model.picture).save(tmp_path / name)
        assert main(["predict", model, str(tmp_path / name), "--out", str(tmp_path / "out")]) == 0
        (written,) = (tmp_path / "out").iterdir()
        with Image.open(written) as overlay:
            assert overlay.format == kind

    def test_a_model_for_crops_mentions_missing_boxes_once(self, capsys, pictures, tmp_path, null_model):
        assert main(["predict", crop_model(null_model, tmp_path), str(pictures)]) == 0
        printed = capsys.readouterr()
        assert printed.err.count("\n") == 1
        assert "boxes" in printed.err
        assert len([line for line in printed.out.splitlines() if ".png  score" in line]) == 2

    def test_boxes_of_a_file_are_used_and_a_picture_without_one_is_skipped(
        self, capsys, pictures, tmp_path, null_model
    ):
        model, boxes = crop_model(null_model, tmp_path), tmp_path / "boxes.json"
        boxes.write_text(json.dumps({"b.png": [[20, 30, 60, 40], [90, 10, 45, 80]]}))
        assert main(["predict", model, str(pictures), "--boxes", str(boxes), "--json"]) == 0
        printed = capsys.readouterr()
        (row,) = map(json.loads, printed.out.splitlines())
        assert row["source"] == str(pictures / "b.png")
        with Predictor(model) as predictor:
            expected = predictor.predict(pictures / "b.png", boxes=[[20, 30, 60, 40], [90, 10, 45, 80]])
        assert row["instances"] == expected.to_dict()["instances"]
        assert printed.err.count("\n") == 1
        assert str(pictures / "a.png") in printed.err

    def test_corner_boxes_give_the_same_keypoints_and_each_instance_a_number(
        self, capsys, pictures, tmp_path, null_model
    ):
        model, boxes, printed = crop_model(null_model, tmp_path), tmp_path / "boxes.json", []
        for box_format, rows in (
            ("xywh", [[20, 30, 60, 40], [90, 10, 45, 80]]),
            ("xyxy", [[20, 30, 80, 70], [90, 10, 135, 90]]),
        ):
            boxes.write_text(json.dumps({"a.png": rows}))
            arguments = ["predict", model, str(pictures / "a.png"), "--boxes", str(boxes), "--box-format", box_format]
            assert main(arguments) == 0
            printed.append(capsys.readouterr().out.partition("stage")[0])
        assert printed[0] == printed[1]
        lines = printed[0].splitlines()
        assert lines[2].split() == ["instance", "keypoint", "x", "px", "y", "px", "confidence"]
        assert [line.split()[0] for line in lines[3:11]] == ["0"] * 4 + ["1"] * 4

    def test_no_picture_with_a_box_is_an_error(self, capsys, pictures, tmp_path, null_model):
        (tmp_path / "boxes.json").write_text(json.dumps({"c.png": [[20, 30, 60, 40]]}))
        model, out = crop_model(null_model, tmp_path), tmp_path / "out"
        line = fails(capsys, "predict", model, pictures, "--boxes", tmp_path / "boxes.json", "--out", out)
        assert "'a.png'" in line
        assert "'c.png'" in line
        assert not out.exists()

    def test_heatmaps_change_the_overlay(self, model, pictures, tmp_path):
        for folder, options in (("plain", []), ("warm", ["--heatmaps"])):
            main(["predict", model, str(pictures / "a.png"), "--out", str(tmp_path / folder), *options])
        assert (tmp_path / "plain" / "a.keypoints.png").read_bytes() != (
            tmp_path / "warm" / "a.keypoints.png"
        ).read_bytes()

    def test_an_overlay_never_replaces_the_picture(self, capsys, model, pictures):
        before = {path: path.read_bytes() for path in pictures.iterdir()}
        assert main(["predict", model, str(pictures), "--out", str(pictures)]) == 0
        assert {path: path.read_bytes() for path in before} == before

    def test_an_overlay_never_replaces_another(self, capsys, model, pictures, tmp_path, null_model):
        Image.fromarray(null_model.picture).save(pictures / "a.webp")
        assert "a.keypoints.png" in fails(capsys, "predict", model, pictures, "--out", tmp_path / "out")
        assert not list((tmp_path / "out").iterdir())  # before the first picture is read

    def test_a_full_disk_keeps_older_overlays_and_all_keypoints(self, capsys, model, pictures, full_disk):
        (pictures / "a.keypoints.png").write_text("before")
        with full_disk():
            assert main(["predict", model, str(pictures / "[ab].png"), "--out", str(pictures)]) == 2
        printed = capsys.readouterr()
        assert printed.out.count(".png  score") == 2
        for name, line in zip(("a", "b"), printed.err.splitlines(), strict=True):
            assert line.startswith("error: ")
            assert f"{name}.keypoints.png" in line
        assert (pictures / "a.keypoints.png").read_text() == "before"
        assert sorted(path.name for path in pictures.iterdir()) == [
            "a.keypoints.png", "a.keypoints.png.partial", "a.png", "b.png",
        ]  # fmt: skip

    def test_an_overlay_is_not_written_through_a_link(self, model, pictures, tmp_path):
        (tmp_path / "outside").write_text("before")
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "a.keypoints.png").symlink_to(tmp_path / "outside")
        assert main(["predict", model, str(pictures / "a.png"), "--out", str(tmp_path / "out")]) == 0
        assert (tmp_path / "outside").read_text() == "before"
        assert not (tmp_path / "out" / "a.keypoints.png").is_symlink()

    def test_control_characters_of_names_are_shown_as_escapes(self, capsys, null_model, pictures, tmp_path):
        red = "red\x1b[31m"
        spec = null_model.spec.replace(keypoints=(red, "b", "c", "d"), name=red, golden=None)
        runtimes.null.build(tmp_path / "m.null", spec.to_json(), (64, 96), null_model.outputs)
        (pictures / "a.png").rename(pictures / f"{red}.png")
        (pictures / f"{red}{red}.png").touch()
        main(["predict", str(tmp_path / "m.null"), str(pictures), "--out", str(tmp_path)])
        main(["predict", str(tmp_path / "m.null"), str(pictures / f"{red}.png")])
        main(["info", str(tmp_path / "m.null")])
        printed = capsys.readouterr()
        assert "\x1b" not in printed.out + printed.err
        assert printed.out.count(r"red\x1b[31m") >= 5
        assert r"red\x1b[31mred\x1b[31m.png" in printed.err

    def test_a_name_of_two_lines_is_printed_in_one(self, capsys, model, pictures):
        (pictures / "a.png").rename(pictures / "a\nb.png")
        main(["predict", str(model), str(pictures)])
        assert r"a\nb.png" in capsys.readouterr().out

    def test_a_bad_picture_does_not_stop_the_others(self, capsys, model, pictures):
        (pictures / "aa.png").write_bytes(b"")
        assert main(["predict", model, str(pictures), "--json"]) == 2
        printed = capsys.readouterr()
        assert len(printed.out.splitlines()) == 2
        assert printed.err.startswith("error: ")
        assert "aa.png" in printed.err

    def test_decode_chooses_the_method(self, capsys, model, pictures):
        main(["predict", model, str(pictures / "a.png"), "--decode", "argmax", "--json"])
        point = json.loads(capsys.readouterr().out)["instances"][0]["keypoints"][0]
        assert point["x"] != pytest.approx(40.3, abs=0.1)


class TestInfo:
    def test_describes_a_file(self, capsys, model):
        assert main(["info", model]) == 0
        printed = capsys.readouterr().out
        for text in (model, "null 1 on cpu", "1x64x96x4", "1x4x16x24 NCHW", "1x16x24x8 NHWC", "edgehrnet selfcheck"):
            assert text in printed

    def test_says_first_what_a_model_takes(self, capsys, model, null_model, tmp_path):
        for path, words in ((model, ["whole pictures"]), (crop_model(null_model, tmp_path), ["crops of boxes", "udp"])):
            assert main(["info", path]) == 0
            lines = capsys.readouterr().out.splitlines()
            assert [line.split()[0] for line in lines[:3]] == ["file", "model", "takes"]
            assert all(word in lines[2] for word in words)

    def test_describes_a_file_as_json(self, capsys, model):
        assert main(["info", model, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["engine"] == "null"

    def test_shows_size_device_and_number_type(self, capsys):
        assert main(["info", "document-corners", "--size", "96x160", "--threads", "1"]) == 0
        printed = capsys.readouterr().out
        assert "1x96x160x4" in printed
        assert "on CPU" in printed
        assert "in f32" in printed


class TestSelfcheck:
    def test_passes_with_status_0(self, capsys, model):
        assert main(["selfcheck", model]) == 0
        assert capsys.readouterr().out.startswith("passed\n")

    def test_prints_json(self, capsys, model):
        assert main(["selfcheck", model, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["passed"] is True

    def test_fails_with_status_1(self, capsys, null_model, tmp_path):
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
        assert "'document-corner'" in line
        assert "did you mean 'document-corners'?" in line

    @pytest.mark.parametrize("command", ["info", "selfcheck"])
    def test_missing_model(self, capsys, tmp_path, command):
        assert "none.xml" in fails(capsys, command, tmp_path / "none.xml")

    def test_missing_picture(self, capsys, model, tmp_path):
        assert "none.png" in fails(capsys, "predict", model, tmp_path / "none.png")

    def test_address(self, capsys, model):
        assert "example.org" in fails(capsys, "predict", model, "https://example.org/a.jpg")

    def test_damaged_model(self, capsys, tmp_path):
        (tmp_path / "a.xml").write_text("<html/>")
        (tmp_path / "a.bin").touch()
        assert "a.xml" in fails(capsys, "info", tmp_path / "a.xml")

    @pytest.mark.parametrize("command", [["info"], ["selfcheck"], ["predict", "a.png"]])
    @pytest.mark.parametrize("file", ["hrnet.pth", "hrnet.ckpt", "hrnet.safetensors"])
    def test_a_published_checkpoint_is_described_by_another_command(self, capsys, command, file):
        line = fails(capsys, command[0], file, *command[1:])
        assert f"edgehrnet models {file}" in line

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            (["--device", "gpu"], "'gpu'"),
            (["--threads", "0"], "threads=0"),
            (["--size", "60x96"], "32x96 and 64x96"),
        ],
    )
    def test_bad_options(self, capsys, model, options, text):
        assert text in fails(capsys, "info", model, *options)

    def test_a_folder_that_cannot_be_made(self, capsys, model, pictures):
        assert "a.png" in fails(capsys, "predict", model, pictures, "--out", pictures / "a.png")

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (["predict", "m.xml"], "required: source"),
            (["info", "m.xml", "--size", "64"], "'64'"),
            (["info", "m.xml", "--decode", "best"], "invalid choice: 'best'"),
            (["inform"], "invalid choice"),
        ],
    )
    def test_usage(self, capsys, arguments, text):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        assert text in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_the_commands_are_listed_without_arguments_and_in_the_help(capsys, arguments):
    if arguments:
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 0
    else:
        assert main(arguments) == 0
    printed = capsys.readouterr().out
    for name, module in COMMANDS.items():
        assert re.search(rf"^ +{name} +{re.escape(module.SUMMARY[:30])}", printed, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_the_default_of_each_option(capsys, name):
    with pytest.raises(SystemExit):
        main([name, "--help"])
    # One entry of the list of options each, from its name at the start of a line to the next one.
    entries = re.split(r"\n  (?=-)", capsys.readouterr().out.partition("options:")[2])[1:]
    for entry in entries:
        option = entry.split()[0].rstrip(",")
        assert option in ("-h", "--features", "--picture") or "(default:" in " ".join(entry.split()), entry


def test_output_that_its_reader_closes_is_not_an_error(pictures, model):
    # Like `edgehrnet predict ... | head -1`, but the reader ends before the first line.
    program = "import sys; from edgehrnet.cli import main; sys.exit(main(sys.argv[1:]))"
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-W", "error", "-c", program, "predict", model, str(pictures), "--json"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=120, check=False)
    os.close(writing)
    assert done.stderr == b""
    assert done.returncode == 0


def test_a_broken_pipe_elsewhere_is_an_error(capsys):
    def action():
        raise BrokenPipeError("of a worker")

    assert exit_status(action) == 2
    assert "of a worker" in capsys.readouterr().err


def test_characters_that_the_terminal_cannot_show_are_escaped(null_model, tmp_path):
    Image.fromarray(null_model.picture).save(tmp_path / "\u00e4.png")
    command = [sys.executable, "-m", "edgehrnet", "predict", str(null_model.path), str(tmp_path)]
    done = subprocess.run(
        command, capture_output=True, timeout=120, check=False, env={**os.environ, "PYTHONIOENCODING": "ascii"}
    )
    assert done.returncode == 0, done.stderr
    assert b"\\xe4.png" in done.stdout


def test_version(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"edgehrnet {__version__}\n"


def test_python_m_edgehrnet_runs_the_command():
    command = [sys.executable, "-W", "error", "-m", "edgehrnet", "info", "none.null"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "none.null" in done.stderr


class TestTable:
    def test_aligns_numbers_to_the_right_and_words_to_the_left(self):
        assert table(("a", "ms"), [("long name", "1.5"), ("b", "20.25")]).splitlines() == [
            "a             ms",
            "long name    1.5",
            "b          20.25",
        ]

    def test_a_table_without_rows_is_its_head(self):
        assert table(("a", "b"), []).split() == ["a", "b"]

    def test_without_a_head_it_has_only_rows(self):
        assert rows_table([("read", "1.5"), ("b", "20.25")]).splitlines() == ["read    1.5", "b     20.25"]
        assert rows_table([]) == ""

    def test_rows_of_another_length_raise(self):
        with pytest.raises(ValueError, match="zip"):
            table(("a", "b"), [("1",)])


class TestInfoWithoutAModel:
    def test_devices_of_every_engine(self, capsys):
        assert main(["info"]) == 0
        printed = capsys.readouterr().out
        assert "openvino" in printed
        assert "INT8" in printed  # a capability of the CPU

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
        assert "setting  EXECUTION_MODE_HINT=ACCURACY" in printed
        assert "https://github.com/openvinotoolkit/openvino/issues/37446" in printed
        assert main(["info", "--quirks", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)[0]["settings"] == {"INFERENCE_PRECISION_HINT": "f32"}


def test_suffix_of_files_for_tests_is_not_listed_as_accepted(capsys):
    line = fails(capsys, "info", "model.tflite")
    assert ".onnx" in line
    assert ".null" not in line
