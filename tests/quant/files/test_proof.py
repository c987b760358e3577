"""The certificate is issued for a correct file, and refused for every known silent error."""

import dataclasses
import math
import re
import warnings
from pathlib import Path

import numpy as np
import onnx
import openvino as ov
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn

import runtimes.openvino
from edgehrnet.certificate import digest
from edgehrnet.errors import InputError
from edgehrnet.models import Output
from edgehrnet.models.checkpoints import load_checkpoint
from edgehrnet.models.checkpoints.ranges import RangeTable
from edgehrnet.models.deploy.export_module import Deployed, network_input
from edgehrnet.models.deploy.folding import fold_batchnorm
from edgehrnet.models.deploy.frozen import QuantizeDequantize, freeze
from edgehrnet.models.layers.blocks import Add, Down, Up, initialize_convolutions, smooth
from edgehrnet.models.layers.heads import Heads
from edgehrnet.models.layers.style import Style
from edgehrnet.models.networks.edgehrnet18 import Stem
from edgehrnet.spec import ModelSpec
from quant.data.documents.corners import validation_scene
from quant.files import model_file, proof
from quant.files.model_file import export_file, summary
from quant.files.onnx_file import write_onnx
from quant.files.proof import DISTANCE, PARITY, CertificateError, Reference, certify
from quant.int8.calibration import network_inputs, observe, range_table
from quant.int8.placement import place
from quant.int8.scheme import SCHEMES
from runtimes.base import METADATA_KEY
from runtimes.openvino_graph import executed_layers

CHECKPOINT = Path(__file__).parents[3] / "checkpoints" / "document-corners.pt"
STYLE = Style()
SPEC = ModelSpec(
    "tiny",
    ("a", "b", "c", "d"),
    input_size=(64, 96),
    precision="int8",
    outputs=(("heatmaps", "NCHW"), ("offsets", "NCHW"), ("hf", "NHWC")),
)
COUNT = 12  # convolutions of `Tiny` outside its heads


class Tiny(nn.Module):
    """A stem, one step down and up again, and heads: errors of the large network also appear in this one."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.stem = Stem(16, STYLE)
        self.down, self.up = Down(16, 32, STYLE), Up(32, 16, 2, STYLE)
        self.add = Add(inplace=True)
        self.smooth = smooth(16, STYLE)
        self.heads = Heads(16, 4, STYLE, hidden=False, boundary=False, sdf=False)
        initialize_convolutions(self)
        for head in (self.heads.heatmaps, self.heads.offsets):
            nn.init.normal_(head.get_submodule("predict").get_parameter("weight"), std=0.3)

    def forward(self, x):
        x = self.stem(x)
        hf = self.smooth(self.add(self.up(self.down(x)), x))
        maps = self.heads(hf)
        return Output(hf, maps["heatmaps"], maps["offsets"], {})


def network_of(seed, images):
    """A network whose BNs have seen pictures; weights are random, and activations of a usual size."""
    network = Tiny(seed)
    with torch.no_grad():
        for _ in range(30):
            network(network_input(torch.cat(images), SPEC.mean, SPEC.std))
    return fold_batchnorm(network)


def table_of(network, images, target="openvino"):
    placement = place(network, SCHEMES[target])
    return range_table(observe(network, placement.sites, images, SPEC), placement, SCHEMES[target], SPEC)


@dataclasses.dataclass
class Case:
    """A network with its ranges, the pictures, and the honest graph of its INT8 form."""

    network: nn.Module
    table: RangeTable
    quantized: nn.Module
    pictures: list
    images: list
    graph: Path
    folder: Path

    @property
    def reference(self):
        return Reference(self.network, self.quantized, len(self.table.convolutions))

    def build(self, graph, name):
        """Build an engine file from a graph file, and return it with the layers that it runs."""
        out = self.folder / f"{name}.xml"
        return out, runtimes.openvino.build(graph, out, SPEC.to_json(), half=True)

    def export(self, network, name):
        path = self.folder / f"{name}.onnx"
        write_onnx(network, SPEC, path)
        return self.build(path, name)

    def refusal(self, built, reference=None):
        file, layers = built
        with pytest.raises(CertificateError) as error:
            certify(file, layers, reference or self.reference, SPEC, self.pictures)
        print(f"\nrefused: {error.value}")
        return str(error.value)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate")
    pictures = [validation_scene(index).image for index in range(6)]
    images = network_inputs(pictures, SPEC)
    network = network_of(0, images)
    table = table_of(network, images)
    assert len(table.convolutions) == COUNT
    quantized = freeze(network, table)
    graph = folder / "honest.onnx"
    write_onnx(quantized, SPEC, graph)
    return Case(network, table, quantized, pictures, images, graph, folder)


@pytest.fixture(scope="module")
def honest(case):
    return case.build(case.graph, "honest")


@pytest.fixture(scope="module")
def in_float(case):
    return case.export(case.network, "float")


def numbers(message):
    """Return the numbers of a message in order, without those inside names."""
    return re.findall(r"(?<![\w.])\d+(?:\.\d+)?(?![\w.])", message)


def counts(message):
    """Return the first numbers: INT8 convolutions, all convolutions, and INT8 convolutions expected."""
    return numbers(message)[:3]


def limits(message):
    """Return the exceeded limits of a message without counts. Each limit follows the measured number."""
    return numbers(message)[1::2]


class TestIssued:
    def test_certifies_a_network_that_runs_as_quantized(self, case, honest):
        out, layers = honest
        certificate = certify(out, layers, case.reference, SPEC, case.pictures)
        assert certificate.convolutions_int8 == certificate.convolutions_expected == COUNT
        assert certificate.convolutions == COUNT + 2  # the heads
        assert certificate.parity is not None
        assert certificate.parity < PARITY
        assert certificate.distance is not None
        assert certificate.distance < DISTANCE
        assert certificate.sqnr_db is not None
        assert certificate.sqnr_db > 25
        assert certificate.pictures == len(case.pictures)
        assert certificate.precision == "int8"
        assert (certificate.file, certificate.digest) == (out.name, digest(out))
        assert certificate.bytes == out.stat().st_size + out.with_suffix(".bin").stat().st_size
        assert certificate.engine.startswith("openvino ")
        # Heads: 1x1, 16 channels to 4 and 8, on a quarter of the resolution.
        assert certificate.macs - certificate.macs_int8 == 16 * 12 * 16 * 24
        assert set(certificate.versions) >= {"torch", "openvino"}

    def test_numbers_follow_their_definitions(self, case, honest):
        """Numbers are rms differences of heatmap probabilities between engine, fake-quantized and float network."""
        out, layers = honest
        certificate = certify(out, layers, case.reference, SPEC, case.pictures)
        runtime = runtimes.load(out, "cpu")
        try:
            engine = [torch.from_numpy(runtime.run(image.numpy())["heatmaps"]).sigmoid() for image in case.images]
        finally:
            runtime.close()
        with torch.no_grad():
            inputs = [network_input(image, SPEC.mean, SPEC.std) for image in case.images]
            exact, fake = ([net(x).heatmaps.sigmoid() for x in inputs] for net in (case.network, case.quantized))

        def rms(one, other):
            return math.sqrt(float((torch.cat(one).double() - torch.cat(other).double()).square().mean()))

        assert certificate.parity == pytest.approx(rms(engine, exact) / rms(fake, exact), abs=1e-3)
        assert certificate.distance == pytest.approx(rms(engine, fake) / rms(fake, exact), abs=1e-3)
        signal = rms(exact, [torch.zeros_like(heat) for heat in exact])
        assert certificate.sqnr_db == pytest.approx(20 * math.log10(signal / rms(engine, exact)), abs=0.01)


class Narrow(nn.Module):
    """Round activations to [-127, 127], one level less than the 256 of int8."""

    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, x):
        return torch.fake_quantize_per_tensor_affine(x, self.scale, 0, -127, 127)


def build_from_torch(case, network, name):
    """Convert the graph of torch with its fake-quantize operators to OpenVINO, without ONNX in between."""
    image = torch.zeros((1, *SPEC.input_size, 4), dtype=torch.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = ov.convert_model(torch.export.export(Deployed(network, SPEC.mean, SPEC.std).eval(), (image,)))
    for port, (output, _) in zip(model.outputs, SPEC.outputs, strict=True):
        port.tensor.set_names({output})
    model.reshape(list(image.shape))
    model.set_rt_info(SPEC.to_json(), [METADATA_KEY])
    out = case.folder / f"{name}.xml"
    ov.save_model(model, out, compress_to_fp16=True)
    settings = runtimes.openvino._settings("CPU")
    return out, executed_layers(ov.Core().compile_model(out, "CPU", settings))


class TestActivationsWith255Levels:
    def test_255_levels_are_refused_by_their_error(self, case):
        """In torch, 255 levels are as good as 256. In the engine, every convolution is INT8, but results are wrong."""
        table = table_of(case.network, case.images, "tensorrt")
        full = freeze(case.network, table)
        narrow = freeze(case.network, table)
        for name, module in list(narrow.named_modules()):
            if isinstance(module, QuantizeDequantize):
                narrow.set_submodule(name, Narrow(module.scale * 127.5 / 127))
        with torch.no_grad():
            inputs = [network_input(image, SPEC.mean, SPEC.std) for image in case.images]
            noises = [
                math.sqrt(sum(float((net(x).heatmaps - case.network(x).heatmaps).square().sum()) for x in inputs))
                for net in (narrow, full)
            ]
        assert noises[0] < 1.1 * noises[1]
        message = case.refusal(
            build_from_torch(case, narrow, "narrow"), dataclasses.replace(case.reference, quantized=narrow)
        )
        assert limits(message) == [str(PARITY), str(DISTANCE)]

    def test_256_levels_are_certified(self, case):
        out, layers = build_from_torch(case, case.quantized, "levels")
        certificate = certify(out, layers, case.reference, SPEC, case.pictures)
        assert certificate.convolutions_int8 == COUNT


def with_clip(graph, out):
    """Store weights in float, and quantize, clip and dequantize them in the graph, as the exporter of torch does."""
    model = onnx.load(graph)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes, clipped = [], 0
    for node in model.graph.node:
        weight = stored.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if weight is None or weight.data_type != onnx.TensorProto.INT8 or len(weight.dims) != 4:
            nodes.append(node)
            continue
        name, whole = weight.name, numpy_helper.to_array(weight)
        scale = numpy_helper.to_array(stored[node.input[1]])
        model.graph.initializer.remove(weight)
        values = whole.astype(np.float32) * scale[:, None, None, None]
        ends = [numpy_helper.from_array(np.array(end, np.int8), f"{name}_{end}") for end in (-127, 127)]
        model.graph.initializer.extend([numpy_helper.from_array(values, f"{name}_float"), *ends])
        nodes += [
            helper.make_node("QuantizeLinear", [f"{name}_float", *node.input[1:]], [f"{name}_whole"], axis=0),
            helper.make_node("Clip", [f"{name}_whole", *(end.name for end in ends)], [name]),
            node,
        ]
        clipped += 1
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save(model, out)
    return clipped


class TestConvolutionsInFloat:
    def test_a_clip_in_the_weights_is_refused_by_count(self, case):
        """Its outputs are right, so that only the count reveals it."""
        path = case.folder / "clip.onnx"
        assert with_clip(case.graph, path) == COUNT
        message = case.refusal(case.build(path, "clip"))
        # Three of the convolutions in float are named, and the others are counted. No limit is exceeded.
        assert numbers(message) == ["0", str(COUNT + 2), str(COUNT), str(COUNT + 2 - 3)]

    def test_missing_quantizers_are_refused_by_count(self, case):
        gone = ["stem.conv1", "add"]
        sites = {site: value for site, value in case.table.sites.items() if site not in gone}
        unplaced = freeze(case.network, dataclasses.replace(case.table, sites=sites))
        message = case.refusal(case.export(unplaced, "unplaced"))
        # The readers: stem.conv2 and smooth.
        assert counts(message) == [str(COUNT - 2), str(COUNT + 2), str(COUNT)]

    def test_a_float_engine_is_refused_by_count(self, case, in_float):
        message = case.refusal(in_float)
        assert counts(message) == ["0", str(COUNT + 2), str(COUNT)]

    def test_an_integer_engine_is_refused_for_a_float_file(self, case, honest):
        message = case.refusal(honest, Reference(case.network, None, 0))
        assert counts(message) == [str(COUNT), str(COUNT + 2), "0"]


class TestFusedOperations:
    @pytest.mark.parametrize(
        ("fused", "as_written", "accepted"),
        [(0.7, 0.2, True), (0.7, 0.7, False), (1.2, 0.2, False), (0.5, 0.7, True)],
    )
    def test_an_onnx_file_that_is_right_as_written_may_be_fused(self, case, monkeypatch, fused, as_written, accepted):
        measured = proof.compare

        def compare(*args, fuse=True):
            return {**measured(*args, fuse=fuse), "distance": fused if fuse else as_written}

        path = case.folder / "fused.onnx"
        layers = runtimes.onnx.build(case.graph, path, SPEC.to_json())
        reference = dataclasses.replace(case.reference, requires_int8=False)
        monkeypatch.setattr(proof, "compare", compare)
        monkeypatch.setattr(proof, "float64_twin", lambda *_: (1.0, 0.0))
        if accepted:
            assert certify(path, layers, reference, SPEC, case.pictures).distance == fused
        else:
            assert limits(case.refusal((path, layers), reference)) == [str(DISTANCE)]

    def test_an_onnx_file_runs_as_written(self, case):
        """Fusing changes rounding, but both are close to torch."""
        path = case.folder / "written.onnx"
        runtimes.onnx.build(case.graph, path, SPEC.to_json())
        results = [proof.compare(path, case.reference, SPEC, case.pictures, fuse=fuse) for fuse in (True, False)]
        assert results[0] != results[1]
        assert all(float(result["distance"] or math.inf) < DISTANCE for result in results)


class TestNumbers:
    def test_other_weights_are_refused(self, case):
        other = network_of(1, case.images)
        message = case.refusal(case.export(freeze(other, table_of(other, case.images)), "other"))
        assert limits(message) == [str(PARITY), str(DISTANCE)]

    def test_other_ranges_are_refused(self, case, honest):
        """The correct engine is too far from a network with one range four times as wide."""
        scale, zero = case.table.sites["add"]
        table = dataclasses.replace(case.table, sites={**case.table.sites, "add": (4 * scale, zero)})
        message = case.refusal(honest, dataclasses.replace(case.reference, quantized=freeze(case.network, table)))
        assert limits(message) == [str(DISTANCE)]

    def test_distance_is_unlimited_where_engines_may_round_less(self, case, honest):
        scale, zero = case.table.sites["add"]
        table = dataclasses.replace(case.table, sites={**case.table.sites, "add": (4 * scale, zero)})
        reference = dataclasses.replace(case.reference, quantized=freeze(case.network, table), limits_distance=False)
        out, layers = honest
        certificate = certify(out, layers, reference, SPEC, case.pictures)
        assert certificate.distance is not None
        assert certificate.distance > DISTANCE
        assert certificate.parity is not None
        assert certificate.parity < 1

    def test_a_network_without_rounding_is_refused(self, case, honest):
        """Without rounding in torch, the error of the engine has no reference."""
        message = case.refusal(honest, dataclasses.replace(case.reference, quantized=case.network))
        assert "inf" in message

    def test_a_float_file_has_neither_parity_nor_distance(self, case, in_float):
        out, layers = in_float
        certificate = certify(out, layers, Reference(case.network, None, 0), SPEC, case.pictures)
        assert (certificate.parity, certificate.distance) == (None, None)
        assert certificate.macs_int8 == certificate.convolutions_int8 == 0
        # Weights in 16 bits: 11 bits are 2^-12 of a weight, 66 dB and more than that after averaging.
        assert certificate.sqnr_db is not None
        assert certificate.sqnr_db > 55


def test_a_refused_file_is_not_kept(case, tmp_path, monkeypatch):
    monkeypatch.setattr("quant.files.proof.PARITY", 0.0)
    monkeypatch.setattr("quant.files.model_file.deployable", lambda checkpoint: case.network)
    monkeypatch.setattr("quant.files.model_file.deployed_spec", lambda *_: SPEC)
    monkeypatch.setattr("quant.files.model_file.golden_pair", lambda *_: None)
    monkeypatch.setattr(
        "quant.files.model_file.write_onnx",
        lambda _network, _spec, path, _dtype: path.write_bytes(case.graph.read_bytes()),
    )
    checkpoint = dataclasses.replace(load_checkpoint(CHECKPOINT), quantization={"openvino": case.table})
    with pytest.raises(CertificateError, match=r"^corners\.xml.* 0$"):
        export_file(checkpoint, tmp_path / "corners.xml", precision="int8", pictures=case.pictures)
    assert list(tmp_path.iterdir()) == []


def test_keypoints_that_are_never_confident_are_not_measured(case, honest, monkeypatch):
    file, layers = honest
    measured = certify(file, layers, case.reference, SPEC, case.pictures)
    monkeypatch.setattr(proof, "CONFIDENCE_THRESHOLD", 1.1)
    certificate = certify(file, layers, case.reference, SPEC, case.pictures)
    drifts = (certificate.drift_median_px, certificate.drift_mean_px, certificate.drift_max_px)
    assert drifts == (None, None, None)
    assert (" px " in summary(file, certificate), " px " in summary(file, measured)) == (False, True)


def test_a_file_that_is_mostly_noise_is_refused(case, honest, monkeypatch):
    file, layers = honest
    found = certify(file, layers, case.reference, SPEC, case.pictures).sqnr_db
    assert found is not None
    monkeypatch.setattr(proof, "LEAST_SQNR", found + 1)
    assert f"{found:.1f} dB" in case.refusal(honest)


def test_a_picture_in_which_nothing_is_found_is_no_self_check(case, monkeypatch):
    points, maps = np.zeros((4, 2)), np.full((4, 16, 24), 1e-9, np.float32)
    maps[:, 3, 3] = 2e-9  # too small for the 16 bits in which maps are stored
    monkeypatch.setattr(model_file, "predict_torch", lambda *arguments: (points, np.zeros(4), maps))
    with pytest.raises(InputError, match="2e-09"):
        model_file.golden_pair(case.network, SPEC, case.pictures[0])
