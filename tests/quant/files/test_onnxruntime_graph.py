"""INT8 files for ONNX Runtime run on integers there, and compute what the fake-quantized network does."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from edgehrnet.certificate import read_certificate
from edgehrnet.errors import InputError
from edgehrnet.models.checkpoints import Checkpoint, load_checkpoint
from edgehrnet.models.deploy.export_module import network_input
from edgehrnet.models.deploy.folding import fold_batchnorm
from edgehrnet.models.deploy.frozen import freeze
from edgehrnet.models.layers.base import KeypointNetwork
from edgehrnet.models.layers.blocks import Add, Down, Up, initialize_convolutions, smooth
from edgehrnet.models.layers.heads import Heads
from edgehrnet.models.layers.output import Output
from edgehrnet.models.layers.style import Style
from edgehrnet.models.networks.edgehrnet18 import Stem
from edgehrnet.spec import ModelSpec
from quant.data.documents.corners import validation_scene
from quant.files.model_file import export_file
from quant.files.onnx_file import write_onnx
from quant.files.onnxruntime_graph import rewrite
from quant.files.proof import DISTANCE, Reference, certify
from quant.int8.calibration import network_inputs, observe, range_table
from quant.int8.pipeline import completed, is_complete
from quant.int8.placement import place
from quant.int8.scheme import SCHEMES
from runtimes.onnx import ONNXRuntime, build

pytest.importorskip("onnxruntime")
CHECKPOINT = Path(__file__).parents[3] / "checkpoints" / "document-corners.pt"
SCHEME = SCHEMES["onnx"]
SPEC = ModelSpec("tiny", ("a", "b", "c", "d"), input_size=(64, 96), precision="int8",
                 outputs=(("heatmaps", "NCHW"), ("offsets", "NCHW"), ("hf", "NHWC")))  # fmt: skip


class Tiny(KeypointNetwork):
    """A stem, two paths down and up again, a sum of three terms, and heads."""

    def __init__(self, activation: str):
        super().__init__(4, 4, gives_offsets=True)
        style = Style(activation)
        self.stem = Stem(16, style)
        self.down, self.up = Down(16, 32, style), Up(32, 16, 2, style)
        self.lower, self.upper = Down(16, 32, style), Up(32, 16, 2, style)
        self.add = Add(inplace=True)
        self.smooth = smooth(16, style)
        self.heads = Heads(16, 4, style, hidden=False, boundary=False, sdf=False)
        initialize_convolutions(self)
        for head in (self.heads.heatmaps, self.heads.offsets):
            nn.init.normal_(head.get_submodule("predict").get_parameter("weight"), std=0.3)

    def forward(self, x):
        x = self.stem(x)
        hf = self.smooth(self.add(self.up(self.down(x)), self.upper(self.lower(x)), x))
        maps = self.heads(hf)
        return Output(hf, maps["heatmaps"], maps["offsets"], {})


@dataclasses.dataclass
class Case:
    """A network, its quantized copy, and its graph before and after `rewrite`."""

    network: KeypointNetwork
    quantized: nn.Module
    expected: int
    pictures: list
    images: list
    plain: Path
    rewritten: Path

    def operations(self, path):
        return [node.op_type for node in onnx.load(path).graph.node]


@pytest.fixture(scope="module", params=["silu", "hardswish"])
def case(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    pictures = [validation_scene(index).image for index in range(4)]
    images = network_inputs(pictures, SPEC)
    torch.manual_seed(0)
    trained = Tiny(request.param)
    with torch.no_grad():
        for _ in range(30):  # so that BNs have seen pictures
            trained(network_input(torch.cat(images), SPEC.mean, SPEC.std))
    network = fold_batchnorm(trained)
    placement = place(network, SCHEME)
    table = range_table(observe(network, placement.sites, images, SPEC), placement, SCHEME, SPEC)
    quantized = freeze(network, table)
    plain, rewritten = folder / "plain.onnx", folder / "rewritten.onnx"
    write_onnx(quantized, SPEC, plain)
    rewritten.write_bytes(plain.read_bytes())
    for name, bias in rewrite(rewritten).items():
        quantized.get_buffer(name.removeprefix("network.")).copy_(torch.from_numpy(bias))
    return Case(network, quantized, len(table.convolutions), pictures, images, plain, rewritten)


def test_onnx_runtime_runs_on_integers_what_the_network_in_torch_computes(case, tmp_path):
    file = tmp_path / "tiny.onnx"
    layers = build(case.rewritten, file, SPEC.to_json())
    certificate = certify(file, layers, Reference(case.network, case.quantized, case.expected), SPEC, case.pictures)
    assert certificate.convolutions_int8 == certificate.convolutions_expected == case.expected
    assert certificate.macs_int8 >= 0.95 * certificate.macs
    assert certificate.kernels == {"QLinearConv": case.expected}
    assert certificate.distance is not None
    assert certificate.distance < DISTANCE
    kinds = {layer.type for layer in layers}
    assert "Add" not in kinds  # every sum runs on integers
    assert "Sigmoid" not in kinds


def test_a_rewritten_graph_computes_the_same(case):
    """Only biases are rounded, which flips the rounding of some values."""
    runs = [ONNXRuntime(path, "cpu", fuse=False) for path in (case.plain, case.rewritten)]
    for image in case.images[:2]:
        before, after = (runtime.run(image.numpy()) for runtime in runs)
        for name, values in before.items():
            noise = np.sqrt(np.mean((values - after[name]) ** 2))
            assert noise < 0.1 * values.std(), name


def test_the_rewritten_graph_is_valid_and_has_no_pass_over_the_picture_in_float(case):
    onnx.checker.check_model(onnx.load(case.rewritten), full_check=True)
    before, after = case.operations(case.plain), case.operations(case.rewritten)
    assert {"Cast", "Div"} <= set(before)
    assert not {"Cast", "Div", "HardSwish", "Sigmoid"} & set(after) - {"HardSwish"}
    assert after.count("HardSwish") == before.count("HardSwish") % 2  # only that of hf, which stays float
    assert after.count("MatMul") == 1  # the heads


class TestEarlierCheckpoints:
    def test_the_shipped_ranges_are_completed_and_kept(self):
        checkpoint = load_checkpoint(CHECKPOINT)
        if is_complete(checkpoint.table("onnx")):
            pytest.skip("the shipped checkpoint has all ranges")
        spec = ModelSpec.from_dict(checkpoint.spec)
        images = network_inputs([validation_scene(0).image], spec.replace(input_size=(64, 128)))
        before, after = checkpoint.table("onnx"), completed(checkpoint, "onnx", images).table("onnx")
        assert is_complete(after)
        assert after.sites.items() > before.sites.items()
        assert set(after.convolutions) == set(before.convolutions)

    def test_a_build_says_what_to_type(self, noise_pictures, checkpoint_model, tmp_path):
        checkpoint = load_checkpoint(checkpoint_model.path)
        old = earlier(checkpoint)
        with pytest.raises(InputError, match=r"quant\.export"):
            export_file(old, tmp_path / "m.onnx", pictures=noise_pictures, target="onnx", precision="int8")
        assert read_certificate(tmp_path / "m.onnx") is None


def earlier(checkpoint: Checkpoint) -> Checkpoint:
    """Return the checkpoint as an earlier version would have stored it: with OpenVINO's ranges for ONNX Runtime."""
    table = dataclasses.replace(checkpoint.table("openvino"), target="onnx")
    return dataclasses.replace(checkpoint, quantization={**checkpoint.quantization, "onnx": table})
