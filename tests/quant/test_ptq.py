"""``python -m quant.ptq``: from a float checkpoint and a folder of pictures to INT8 files."""

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from edgehrnet import Predictor
from edgehrnet.certificate import read_certificate
from edgehrnet.models import create
from edgehrnet.models.checkpoints import build_model, load_checkpoint, save_checkpoint
from edgehrnet.models.layers.blocks import Down
from edgehrnet.spec import ModelSpec
from quant import ptq
from quant.data.documents.corners import validation_scene
from quant.int8.placement import place
from quant.int8.scheme import SCHEMES

CHECKPOINT = Path(__file__).parent.parent.parent / "checkpoints" / "document-corners.pt"
NAMES = ("top-left", "top-right", "bottom-right", "bottom-left")
COUNT = 6
SHARE = 0.9  # of the MACs of a built file in INT8, the least that is called INT8


def write_table(folder):
    """A labeled folder of drawn documents, shrunk."""
    folder.mkdir()
    lines = [
        ",".join(["scorer", *["me"] * 8]),
        ",".join(["bodyparts", *(name for name in NAMES for _ in "xy")]),
        ",".join(["coords", *"xy" * 4]),
    ]
    scenes = [scene for scene in map(validation_scene, range(20)) if scene.visible.all()][:COUNT]
    for index, scene in enumerate(scenes):
        picture = Image.fromarray(scene.image).reduce(4)
        picture.save(folder / f"{index}.png")
        lines.append(",".join([f"{index}.png", *(f"{value / 4:.2f}" for value in scene.corners.ravel())]))
    (folder / "CollectedData.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("data") / "corners")


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """Save random weights, with BNs that differ between channels."""
    torch.manual_seed(0)
    network = create("edgehrnet18", keypoints=4)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
    path = tmp_path_factory.mktemp("untrained") / "random.pt"
    spec = ModelSpec("corners", NAMES, input_size=(64, 64))
    save_checkpoint(path, "edgehrnet18", {"keypoints": 4}, network.state_dict(), spec.to_dict(), {})
    return path


@pytest.fixture
def built(monkeypatch):
    """Record each build, and build no engine file."""
    asked = []

    def export(checkpoint, out, **settings):
        asked.append((checkpoint, out, settings))
        return SimpleNamespace(int8_share=SHARE, int8_cost="12.7 dB", drift_median_px=2.0)

    monkeypatch.setattr("quant.files.build.export_file", export)
    monkeypatch.setattr("quant.files.build.summary", lambda out, _: f"built {out}")
    return asked


def run(checkpoint, data, out, *more):
    """Run the command, with plain quantization unless ``more`` asks for other corrections."""
    chosen = [] if "--corrections" in more else ["--corrections", "none"]
    arguments = [checkpoint, "--data", data, "--out", out, "--calibration", 4, *chosen, *more]
    assert ptq.main([str(argument) for argument in arguments]) == 0
    (written,) = out.glob("*.pt")
    return load_checkpoint(written)


def tensors(checkpoint):
    return {name: value.float() for name, value in checkpoint.state.items()}


@pytest.fixture(scope="module")
def made(data, tmp_path_factory):
    """Run the command on the trained network at a small input size."""
    folder = tmp_path_factory.mktemp("ptq")
    trained = load_checkpoint(CHECKPOINT)
    spec = ModelSpec.from_dict(trained.spec).replace(name="small", input_size=(64, 128))
    path = folder / "small.pt"
    options = {"keypoints": 4, **trained.options}
    save_checkpoint(path, trained.variant, options, trained.state, spec.to_dict(), {"from": "training"})
    return run(path, data, folder / "out", "--calibration", COUNT, "--corrections", "auto"), folder / "out"


class TestFiles:
    def test_all_files_are_written(self, made):
        _, out = made
        names = {"small.pt", "small-int8.xml", "small-int8.bin", "small-int8.certificate.json"}
        assert {path.name for path in out.iterdir()} == names

    def test_the_checkpoint_holds_float_weights_and_a_table_for_each_target(self, made):
        checkpoint, out = made
        content = torch.load(out / "small.pt", weights_only=True)
        assert set(content["quantization"]) == {"openvino", "onnx", "tensorrt"} == set(checkpoint.quantization)
        assert checkpoint.training["from"] == "training"
        assert checkpoint.training["ptq"]["corrections"] == []
        assert [entry["candidate"] for entry in checkpoint.training["ptq"]["tried"]] == ["plain"]
        network = build_model(checkpoint)
        before = load_checkpoint(CHECKPOINT).state
        assert all(torch.equal(value.float(), before[name].float()) for name, value in checkpoint.state.items())
        for target, table in checkpoint.quantization.items():
            placement = place(network, SCHEMES[target])
            assert list(table.sites) == list(placement.sites)
            assert table.convolutions == placement.convolutions
            assert (table.target, table.weight_bits, table.adds) == (target, 8, SCHEMES[target].adds)
            assert all(0 < scale < 100 for scale, _ in table.sites.values())
        tables = checkpoint.quantization
        assert tables["openvino"].activations == tables["onnx"].activations == "uint8"
        assert tables["openvino"].sites.items() < tables["onnx"].sites.items()
        assert tables["tensorrt"].activations == "int8"
        assert {zero for _, zero in tables["tensorrt"].sites.values()} == {0}
        assert len({zero for _, zero in tables["openvino"].sites.values()}) > 1
        assert tables["openvino"].sites["stem.conv1.input"] == (float(np.float32(1 / 255)), 0)

    def test_the_certificate_agrees_with_the_table(self, made):
        checkpoint, out = made
        certificate = read_certificate(out / "small-int8.xml")
        assert certificate is not None
        assert certificate.convolutions_int8 == len(checkpoint.table("openvino").convolutions) == 126
        assert certificate.convolutions == 129
        assert certificate.macs_int8 / certificate.macs > 0.98
        assert certificate.precision == "int8"
        assert certificate.pictures >= COUNT
        assert json.loads((out / "small-int8.certificate.json").read_text())["file"] == "small-int8.xml"

    def test_keypoints_of_the_file_are_close_to_those_of_the_float_network(self, made):
        _, out = made
        with Predictor(out / "small-int8.xml") as predictor:
            assert predictor.spec.precision == "int8"
            assert predictor.spec.input_size == (64, 128)
            assert predictor.selfcheck().passed
        certificate = read_certificate(out / "small-int8.xml")
        assert certificate is not None
        assert certificate.drift_mean_px is not None
        assert certificate.drift_mean_px < 1  # a quarter of a heatmap cell is 1 px of the input


class TestOptions:
    def test_two_runs_give_the_same_tables(self, untrained, data, built, tmp_path, capsys):
        first, second = (run(untrained, data, tmp_path / name) for name in ("one", "two"))
        assert first.quantization == second.quantization
        assert [out for _, out, _ in built] == [tmp_path / name / "corners-int8.xml" for name in ("one", "two")]
        assert [settings["precision"] for _, _, settings in built] == ["int8"] * 2
        # The file is certified on the calibration pictures, and the first is in its golden pair.
        assert [len(settings["pictures"]) for _, _, settings in built] == [4, 4]
        assert all(np.array_equal(settings["picture"], settings["pictures"][0]) for _, _, settings in built)
        text = capsys.readouterr().out
        assert f"{tmp_path / 'one' / 'corners'}.pt: ranges for openvino, onnx, tensorrt" in text
        assert f"built {tmp_path / 'two' / 'corners-int8.xml'}" in text

    def test_other_pictures_give_other_tables(self, untrained, data, built, tmp_path):
        first = run(untrained, data, tmp_path / "one")
        second = run(untrained, data, tmp_path / "two", "--seed", 1, "--calibration", 2)
        assert first.table("openvino").sites != second.table("openvino").sites
        assert first.table("openvino").sites.keys() == second.table("openvino").sites.keys()

    def test_weight_bits_method_and_name(self, untrained, data, built, tmp_path):
        minmax = run(untrained, data, tmp_path / "one", "--weight-bits", 7, "--method", "minmax")
        assert {table.weight_bits for table in minmax.quantization.values()} == {7}
        assert built[0][0].table("openvino").weight_bits == 7
        arguments = [untrained, "--data", data, "--out", tmp_path / "two", "--calibration", 4, "--name", "other"]
        arguments += ["--corrections", "none"]
        assert ptq.main([str(argument) for argument in arguments]) == 0
        assert {path.name for path in (tmp_path / "two").iterdir()} == {"other.pt"}
        histogram = load_checkpoint(tmp_path / "two" / "other.pt").table("tensorrt").sites
        # Symmetric scales are proportional to ranges, which the histogram only cuts.
        full = minmax.table("tensorrt").sites
        assert all(histogram[site][0] <= full[site][0] * 1.02 for site in full)
        assert sum(histogram[site][0] < 0.99 * full[site][0] for site in full) > len(full) / 2

    def test_a_site_kept_float_is_in_no_table(self, untrained, data, built, tmp_path):
        full = run(untrained, data, tmp_path / "full")
        kept = run(untrained, data, tmp_path / "kept", "--keep-float", "stem.conv1", "fpn.fuse2.combine")
        for target, table in kept.quantization.items():
            before = full.table(target)
            results = {"stem.conv2.act.input", "fpn.smooth2.act.input"} if target == "onnx" else set()
            assert set(before.sites) - set(table.sites) == {"stem.conv1", "fpn.fuse2.combine"} | results
            assert set(before.convolutions) - set(table.convolutions) == {"stem.conv2", "fpn.smooth2"}
            assert all(before.sites[site] == value for site, value in table.sites.items())

    def test_a_site_of_one_target_may_be_kept_float(self, untrained, data, built, tmp_path):
        kept = run(untrained, data, tmp_path, "--keep-float", "stem.conv1.act.input")
        assert "stem.conv1" not in kept.table("onnx").convolutions
        assert "stem.conv1" in kept.table("openvino").convolutions

    def test_bias_correction_changes_biases_alone(self, untrained, data, built, tmp_path):
        plain = run(untrained, data, tmp_path / "plain")
        corrected = run(untrained, data, tmp_path / "corrected", "--corrections", "bias-correction")
        before, after = tensors(plain), tensors(corrected)
        changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
        assert changed == {f"{name}.bn.bias" for name in plain.table("openvino").convolutions}
        assert corrected.quantization == plain.quantization  # ranges are calibrated before the correction
        # Small shifts: of the order of a quantization step, not of an activation.
        shifts = torch.cat([after[name] - before[name] for name in changed])
        assert 0 < shifts.abs().mean() < 0.1

    def test_equalization_keeps_the_function(self, untrained, data, built, tmp_path):
        plain = run(untrained, data, tmp_path / "plain")
        equal = run(untrained, data, tmp_path / "equal", "--corrections", "equalize")
        before, after = tensors(plain), tensors(equal)
        changed = {name.rpartition(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}
        network = build_model(plain)
        downs = {name for name, module in network.named_modules() if isinstance(module, Down)}
        assert changed == {
            *(f"{name}.depthwise.bn" for name in downs),
            *(f"{name}.pointwise.conv" for name in downs),
            "fpn.lateral5.bn",
            "fpn.smooth5.conv",
        }
        x = torch.rand(1, 4, 64, 64)
        with torch.no_grad():
            one, other = network(x).hf, build_model(equal)(x).hf
        # Factors cancel, up to the roundings of some 60 layers with sums of up to 2304 terms.
        assert (one - other).abs().max() <= torch.finfo(torch.float32).eps * 2304**0.5 * 60 * one.abs().max()
        assert equal.table("openvino").sites != plain.table("openvino").sites

    def test_equalization_and_bias_correction_can_be_combined(self, untrained, data, built, tmp_path):
        both = run(untrained, data, tmp_path, "--corrections", "equalize", "bias-correction", "--weight-bits", 7)
        assert set(both.quantization) == {"openvino", "onnx", "tensorrt"}
        assert dataclasses.asdict(built[0][0].table("openvino")).keys() == dataclasses.asdict(both.table("onnx")).keys()

    def test_auto_prints_and_stores_its_choice_and_warns_of_the_drift(self, untrained, data, built, tmp_path, capsys):
        chosen = run(untrained, data, tmp_path, "--corrections", "auto", "--max-drift", 1.5)
        out, error = capsys.readouterr()
        (line,) = [line for line in out.splitlines() if line.endswith("chosen")]
        assert line.startswith(" + ".join(chosen.training["ptq"]["corrections"]) or "plain")
        assert "corners-int8.xml: cost of int8: 12.7 dB" in out
        assert "warning: " in error
        assert "2.00 px" in error
        assert built[0][2]["max_drift"] == 1.5

    def test_calibrates_on_a_folder_of_pictures_without_labels(self, untrained, data, built, tmp_path):
        folder = tmp_path / "pictures"
        folder.mkdir()
        for path in data.glob("*.png"):
            (folder / path.name).write_bytes(path.read_bytes())
        bare = run(untrained, folder, tmp_path / "bare", "--calibration", COUNT)
        labeled = run(untrained, data, tmp_path / "labeled", "--calibration", COUNT)
        # The same pictures, maybe in another order, which moves a histogram's bins a little.
        ratio = [bare.table("onnx").sites[site][0] / scale for site, (scale, _) in labeled.table("onnx").sites.items()]
        assert np.abs(np.log(ratio)).mean() < 0.05


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (["--corrections", "auto", "equalize"], "auto"),
        (["--float-budget", "5"], "5.0"),
        (["--keep-float", "stem.conv9"], "'stem.conv9'"),
        (["--weight-bits", "9"], "weight_bits=9"),
        (["--calibration", "0"], "pictures"),
        (["--data", "nowhere"], "'nowhere'"),
        (["--fold", "9/10"], "fold 9/10"),
    ],
)
def test_bad_input_ends_with_one_line(untrained, data, tmp_path, capsys, arguments, value):
    known = [str(untrained), "--data", str(data), "--out", str(tmp_path / "out"), "--calibration", "2"]
    with pytest.raises(SystemExit) as stop:
        ptq.main(known + arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    assert value in error
    assert not (tmp_path / "out").exists()


def test_a_missing_checkpoint_ends_with_one_line(data, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        ptq.main([str(tmp_path / "none.pt"), "--data", str(data), "--out", str(tmp_path)])
    assert stop.value.code == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: ")
    assert str(tmp_path / "none.pt") in line
