"""``python -m quant.qat``: from a float checkpoint to INT8 files, what it prints, and what it refuses."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from edgehrnet.certificate import read_certificate
from edgehrnet.models import create
from edgehrnet.models.checkpoints import build_model, load_checkpoint, save_checkpoint
from edgehrnet.spec import ModelSpec
from quant import qat
from quant.data.documents.corners import validation_scene
from quant.int8.fake_quantize import quantizer_name

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
CHECKPOINT = ROOT / "checkpoints" / "document-corners.pt"
NAMES = ("top-left", "top-right", "bottom-right", "bottom-left")
COUNT = 6
ARGUMENTS = ["--steps", 2, "--batch", 2, "--sizes", "64x64", "--workers", 0, "--validate-every", 2,
             "--validate-count", 2, "--calibration", 2]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A labeled folder of small synthetic documents."""
    folder = tmp_path_factory.mktemp("data") / "corners"
    folder.mkdir()
    lines = [
        ",".join(["scorer", *["me"] * 8]),
        ",".join(["bodyparts", *(name for name in NAMES for _ in "xy")]),
        ",".join(["coords", *"xy" * 4]),
    ]
    scenes = [scene for scene in map(validation_scene, range(20)) if scene.visible.all()][:COUNT]
    for index, scene in enumerate(scenes):
        Image.fromarray(scene.image).reduce(4).save(folder / f"{index}.png")
        lines.append(",".join([f"{index}.png", *(f"{value / 4:.2f}" for value in scene.corners.ravel())]))
    (folder / "CollectedData.csv").write_text("\n".join(lines) + "\n")
    return str(folder)


def save_untrained(path, keypoints=4):
    torch.manual_seed(0)
    network = create("edgehrnet18", keypoints=keypoints)
    names = NAMES if keypoints == 4 else tuple(f"point {index}" for index in range(keypoints))
    spec = ModelSpec("corners", names, input_size=(64, 64))
    save_checkpoint(path, "edgehrnet18", {"keypoints": keypoints}, network.state_dict(), spec.to_dict(), {})
    return str(path)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    return save_untrained(tmp_path_factory.mktemp("untrained") / "random.pt")


@pytest.fixture
def built(monkeypatch):
    """Build no engine file, and note what would be built."""
    asked = []

    def build(*arguments):
        asked.append(arguments)
        return []

    monkeypatch.setattr(qat, "save_and_build", build)
    return asked


def run(untrained, data, out, *more):
    arguments = [untrained, "--data", data, "--out", out, *ARGUMENTS, *more]
    assert qat.main([str(argument) for argument in arguments]) == 0


def test_a_trained_checkpoint_becomes_a_file_that_runs(data, tmp_path, capsys, monkeypatch):
    # Rounding flips, multiplied by a hundred layers, reach 0.67 on these small blurred pictures.
    monkeypatch.setattr("quant.files.proof.DISTANCE", 1.0)
    trained = load_checkpoint(CHECKPOINT)
    spec = ModelSpec.from_dict(trained.spec).replace(name="small", input_size=(64, 128))
    path = tmp_path / "small.pt"
    save_checkpoint(path, trained.variant, {"keypoints": 4, **trained.options}, trained.state, spec.to_dict(), {})
    out = tmp_path / "out"
    reads, load = [], torch.load

    def counted(file, **options):
        reads.append(Path(getattr(file, "name", file)))
        return load(file, **options)

    monkeypatch.setattr(torch, "load", counted)
    # Without --sizes, the input size is the checkpoint's. Distillation needs the float network too.
    arguments = ["--steps", 2, "--batch", 2, "--workers", 0, "--validate-count", 2, "--calibration", COUNT,
                 "--distillation", 1.0]  # fmt: skip
    assert qat.main([str(a) for a in (path, "--data", data, "--out", out, *arguments)]) == 0
    assert reads.count(path) == 1
    names = {"last.pt", "ema.pt", "log.jsonl", "settings.json", "small.pt", "small-int8.xml", "small-int8.bin",
             "small-int8.certificate.json"}  # fmt: skip
    assert {path.name for path in out.iterdir()} == names
    made = load_checkpoint(out / "small.pt")
    assert made.quantization.keys() == {"openvino", "onnx", "tensorrt"}
    assert {zero for _, zero in made.table("tensorrt").sites.values()} == {0}
    assert ModelSpec.from_dict(made.spec).input_size == (64, 128)
    assert made.training["step"] == 2
    assert load_checkpoint(out / "ema.pt").quantization == {}
    # The weights changed, but by no more than two steps at a small learning rate can.
    before = build_model(trained).state_dict()
    moved = [
        float((value.float() - before[name]).abs().max())
        for name, value in made.state.items()
        if name.endswith(".conv.weight")
    ]
    assert 0 < max(moved) < 0.01
    certificate = read_certificate(out / "small-int8.xml")
    assert certificate is not None
    assert certificate.convolutions_int8 == len(made.table("openvino").convolutions) == 126
    text = capsys.readouterr().out
    for part in ("4 keypoints", "64x128", str(out), "simulated INT8", "PCK 1%", "126 of 129 convolutions"):
        assert part in text


def test_learned_ranges_are_kept_for_their_target(untrained, data, built, tmp_path):
    run(untrained, data, tmp_path, "--lsq", "--weight-bits", 7, "--learning-rate", 1e-2)
    ((made, _, name, targets, *_),) = built
    assert (name, targets) == ("corners", ["openvino"])
    state = torch.load(tmp_path / "last.pt", weights_only=True)["ema"]
    for site, (scale, zero) in made.table("openvino").sites.items():
        assert scale == pytest.approx(float(state[f"{quantizer_name(site)}.scale"].abs())), site
        assert zero == round(float(state[f"{quantizer_name(site)}.zero_point"]))
    other = made.table("onnx").sites
    assert any(other[site] != value for site, value in made.table("openvino").sites.items())
    assert {table.weight_bits for table in made.quantization.values()} == {7}


def test_another_activation_is_trained_and_named(untrained, data, built, tmp_path):
    run(untrained, data, tmp_path, "--activation", "hardswish", "--name", "hs")
    ((made, _, name, *_),) = built
    assert name == "hs"
    assert made.options["activation"] == "hardswish"
    kinds = {type(module) for module in build_model(made).modules()}
    assert nn.Hardswish in kinds
    assert nn.SiLU not in kinds


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        (["--weight", "peek=5"], "peek"),
        (["--epochs", "1"], "--epochs"),
        (["--data", "nowhere"], "nowhere"),
        (["--sizes", "100x64"], "100x64"),
        (["--weight-bits", "12"], "weight_bits=12"),
        (["--recovery", "5"], "recovery=5"),
        (["--observers", "2"], "observers=2.0"),
        (["--device", "cuda:99"], "cuda:99"),
        (["--resume"], "--resume"),
    ],
)
def test_bad_input_ends_with_one_line(untrained, data, tmp_path, capsys, arguments, value):
    known = [untrained, "--data", data, "--out", tmp_path / "out", *ARGUMENTS]
    with pytest.raises(SystemExit) as stop:
        qat.main([str(argument) for argument in (*known, *arguments)])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert value in line


def test_other_keypoints_end_with_one_line(data, tmp_path, capsys):
    three = save_untrained(tmp_path / "three.pt", keypoints=3)
    with pytest.raises(SystemExit) as stop:
        qat.main([three, "--data", data, "--out", str(tmp_path)])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert f"{three} has 3: " in line
