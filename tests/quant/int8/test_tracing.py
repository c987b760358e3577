"""Any convolutional network can be traced: it computes the same, in units that can be quantized."""

import sys
import types

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgehrnet import ModelSpec, Predictor
from edgehrnet.errors import InputError
from edgehrnet.models.deploy.frozen import freeze
from edgehrnet.models.layers.blocks import Add, Convolution
from quant import ptq
from quant.int8.calibration import network_inputs
from quant.int8.importing import import_network
from quant.int8.pipeline import calibrate
from quant.int8.placement import place
from quant.int8.scheme import SCHEMES
from quant.int8.tracing import as_checkpoint, left_float, traced

OPENVINO = SCHEMES["openvino"]
SPEC = ModelSpec(
    "other",
    ("a", "b", "c"),
    input_size=(64, 64),
    channels=3,
    mean=(0.5, 0.5, 0.5),
    std=(0.25, 0.25, 0.25),
    cell_offset=0.0,
    heatmap_values="linear",
    decode="argmax",
    outputs=(("heatmaps", "NCHW"), ("hf", "NHWC")),
)


class Block(nn.Module):
    """A residual block with a ReLU that is called twice, a bias before a BatchNorm, and an in-place sum."""

    def __init__(self, channels):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.conv2, self.bn2 = nn.Conv2d(channels, channels, (1, 3), padding=(0, 1)), nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += x
        return self.relu(y)


class Other(nn.Module):
    """A network that is not from this project."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2))
        self.block = Block(8)
        self.up, self.norm = nn.ConvTranspose2d(8, 8, 4, 2, 1), nn.BatchNorm2d(8)
        self.down = nn.Conv2d(8, 8, 3, 2, 1)
        self.wide = nn.Conv2d(8, 8, 3, padding=2, dilation=2)
        self.final = nn.Conv2d(8, 3, 1)

    def forward(self, x):
        y = self.block(self.stem(x))
        y = self.down(F.relu(self.norm(self.up(y))))
        return self.final(torch.cat([y[:, :4], self.wide(y)[:, 4:]], dim=1))


def build():
    """A network with random weights, and BatchNorm statistics as after training."""
    torch.manual_seed(0)
    network = Other().train()
    with torch.no_grad():
        for _ in range(10):
            network(torch.randn(4, 3, 64, 64))
    return network.eval()


@pytest.fixture(scope="module")
def other():
    return build()


@pytest.fixture(scope="module")
def network(other):
    return traced(other, 3)


def test_traced_network_has_the_same_output(other, network):
    x = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        expected, found = other(x), network(x)
    # The same operations; a bias moved into a mean rounds once more: eps 6e-8 times values of up to 3, a few layers.
    torch.testing.assert_close(found.heatmaps, expected, atol=1e-5, rtol=0)
    assert found.hf.shape == (2, 8, 16, 24)


def test_units_keep_their_names(network):
    units = {name for name, module in network.named_modules() if isinstance(module, Convolution)}
    assert units == {f"graph.{name}" for name in ("stem.0", "block.conv1", "block.conv2", "down", "final")}
    assert sum(isinstance(module, Add) for module in network.modules()) == 1


def test_left_float_lists_modules_with_reasons(network):
    placement = place(network, OPENVINO)
    assert set(placement.convolutions) == {f"graph.{name}" for name in ("stem.0", "block.conv1", "block.conv2", "down")}
    found = {part.name.removeprefix("graph."): part.reason for part in left_float(network, placement)}
    assert found == {
        "up": "only Conv2d is quantized",
        "norm": "does not follow a convolution, or follows one whose output has other readers",
        "wide": "is dilated",
        "final": "its output is the network's output",
    }
    kept = place(network, OPENVINO, ["graph.stem.0.input"])
    assert {part.name: part.reason for part in left_float(network, kept)}[
        "graph.stem.0"
    ] == "kept in float for accuracy"


def test_quantized_network_is_close_to_float(network):
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(8)]
    images = network_inputs(pictures, SPEC)
    checkpoint = calibrate(as_checkpoint(network, SPEC), images, [OPENVINO])
    rounded = freeze(network, checkpoint.table("openvino"))
    x = torch.rand(2, 3, 64, 64) * 4 - 2
    with torch.no_grad():
        exact, found = network(x).heatmaps, rounded(x).heatmaps
    # A step of 1/255 of the range rounds by 0.3 of it (rms), about 1/200 of the signal; four layers add up to 1/100.
    error = (found - exact).square().mean().sqrt() / exact.std()
    assert 1e-4 < error < 0.05


def test_ptq_builds_files_from_a_function(tmp_path, monkeypatch, capsys):
    module = types.ModuleType("somebody_s")
    vars(module)["build"] = build
    monkeypatch.setitem(sys.modules, "somebody_s", module)
    (tmp_path / "spec.json").write_text(SPEC.to_json())
    arguments = ["--data", "synthetic:document-corners", "--calibration", "8", "--out", str(tmp_path)]
    # The dilated convolution has half of the MACs.
    assert ptq.main(["somebody_s:build", "--spec", str(tmp_path / "spec.json"), *arguments]) == 3
    printed, said = capsys.readouterr()
    (line,) = [line for line in said.splitlines() if "other-int8.xml" in line]
    assert "--allow-float" in line
    assert "4 of " in printed
    assert "in int8: 4 convolutions; in float:" in printed
    # 8 * 8 * 3 * 3 weights on a map of 16 x 16 cells.
    assert "graph.wide   Conv2d           147,456  is dilated" in printed
    assert not list(tmp_path.glob("*.pt"))
    with Predictor(tmp_path / "other-int8.xml") as predictor:
        assert predictor.spec.keypoints == ("a", "b", "c")
        assert predictor.info()["input"]["channels"] == 3
        hf = predictor(np.zeros((40, 60, 3), np.uint8)).hf
        assert hf is not None
        assert hf.shape == (1, 8, 16, 16)


def two():
    return Two()


class Two(nn.Module):
    """Two outputs, by name."""

    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 8, 3, 4, 1), nn.Conv2d(8, 3, 1)

    def forward(self, x):
        y = self.stem(x)
        return {"first": self.head(y), "second": self.head(y.relu())}


@pytest.mark.parametrize(
    ("options", "rc", "printed"),
    [
        ([], 0, "heatmaps are second"),
        (["--output", "first"], 0, "in int8: 1 convolutions"),
        (["--output", "third"], 2, "'third'"),
    ],
)
def test_ptq_takes_an_output_by_name(tmp_path, monkeypatch, capsys, options, rc, printed):
    module = types.ModuleType("somebody_s")
    vars(module).update(two=two)
    monkeypatch.setitem(sys.modules, "somebody_s", module)
    (tmp_path / "spec.json").write_text(SPEC.to_json())
    arguments = ["somebody_s:two", "--spec", str(tmp_path / "spec.json"), "--data", "synthetic:document-corners"]
    arguments += ["--calibration", "4", "--out", str(tmp_path), *options]
    if rc:
        with pytest.raises(SystemExit) as caught:
            ptq.main(arguments)
        assert caught.value.code == rc
    else:
        assert ptq.main(arguments) == 0
    captured = capsys.readouterr()
    assert printed in (captured.err if rc else captured.out)


def test_wrong_stride_is_named(network):
    with pytest.raises(InputError, match=r"stride=8.* 4"):
        as_checkpoint(network, SPEC.replace(stride=8))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nobody.at:home", "--spec", "SPEC"], "'nobody.at:home'"),
        (["math:pi", "--spec", "SPEC"], "'math:pi'"),
        (["builtins:dict", "--spec", "SPEC"], "torch.nn.Module"),
        (["math:pi"], "--spec"),
        (["math:pi", "--spec", "missing.json"], "missing.json"),
    ],
)
def test_ptq_names_the_wrong_argument(tmp_path, capsys, arguments, named):
    (tmp_path / "spec.json").write_text(SPEC.to_json())
    given = [str(tmp_path / "spec.json") if text == "SPEC" else text for text in arguments]
    with pytest.raises(SystemExit) as caught:
        ptq.main([*given, "--data", "synthetic:document-corners", "--out", str(tmp_path)])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert named in line


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


@pytest.mark.parametrize(
    ("module", "keypoints", "value"),
    [
        (Branching(), 3, "Branching"),
        (nn.Conv2d(3, 5, 1), 3, r"\[1, 5, 64, 64\]"),
        (nn.Sequential(nn.Conv2d(3, 3, 1), nn.Flatten()), 3, r"\[1, 12288\]"),
        (nn.Conv2d(4, 3, 1), 3, r"\[1, 3, 64, 64\]"),
    ],
)
def test_untraceable_networks_are_refused(module, keypoints, value):
    with pytest.raises(InputError, match=value):
        traced(module, keypoints)


def test_a_network_that_returns_its_input_is_refused():
    with pytest.raises(InputError):
        traced(nn.Identity(), 3)


def test_shared_convolution_is_duplicated():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.last = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return self.last(self.conv(self.conv(x)))

    module = Shared()
    network, x = traced(module, 3), torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(network(x).heatmaps, module(x), atol=1e-6, rtol=1e-5)
    assert len(place(network, OPENVINO).convolutions) == 2


def test_import_network_calls_a_class(monkeypatch):
    module = types.ModuleType("somebody_s")
    vars(module)["Other"] = Other
    monkeypatch.setitem(sys.modules, "somebody_s", module)
    assert isinstance(import_network("somebody_s:Other"), Other)
