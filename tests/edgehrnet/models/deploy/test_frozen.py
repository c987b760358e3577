"""Frozen INT8 networks: quantizers, the arithmetic of rounding, and the exported graph."""

import copy
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional as F

from edgehrnet.errors import ModelFileError
from edgehrnet.models import KeypointNetwork, Output, create
from edgehrnet.models.checkpoints.ranges import RangeTable
from edgehrnet.models.deploy.folding import fold_batchnorm
from edgehrnet.models.deploy.frozen import (
    Int8Convolution,
    QuantizeDequantize,
    attach,
    freeze,
    integer_weights,
    plain_state,
    weight_scale,
)
from edgehrnet.models.layers.blocks import Add, Blur, ConvBNAct, Down, LiteBlock, Prediction, Up
from edgehrnet.models.layers.style import Style
from edgehrnet.spec import ModelSpec
from quant.files.onnx_file import write_onnx
from quant.int8.placement import place
from quant.int8.scheme import SCHEMES

STYLE = Style()


class Tiny(KeypointNetwork):
    """A network with every kind of block and the outputs of a deployed network."""

    def __init__(self):
        super().__init__(2, 4, gives_offsets=True)
        self.stem = nn.Sequential(ConvBNAct(4, 8, 3, STYLE, stride=2), ConvBNAct(8, 8, 3, STYLE, stride=2))
        self.block = LiteBlock(8, STYLE)
        self.down = Down(8, 16, Style(down="blur"))
        self.up = Up(16, 8, 2, STYLE)
        self.add = Add(inplace=True)
        self.smooth = ConvBNAct(8, 8, 3, STYLE)
        self.heatmaps, self.offsets = Prediction(8, 2), Prediction(8, 4)
        nn.init.normal_(self.heatmaps.weight)
        nn.init.normal_(self.offsets.weight)

    def forward(self, x):
        high = self.block(self.stem(x))
        hf = self.smooth(self.add(self.up(self.down(high)), high))
        return Output(hf, self.heatmaps(hf), self.offsets(hf), {})


def table_of(network, target="openvino", bits=8):
    """Invented ranges, all different. The heads stay float."""
    scheme = SCHEMES[target]
    placement = place(network, scheme)
    keep = [site for site, readers in placement.sites.items() if {"heatmaps", "offsets"} & set(readers)]
    placement = place(network, scheme, keep)
    zero = 0 if scheme.symmetric else 100
    sites = {site: (0.02 + 1e-3 * index, zero) for index, site in enumerate(placement.sites)}
    return RangeTable(target, scheme.activations, bits, scheme.adds, sites, placement.convolutions)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = Tiny()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.get_buffer("running_mean"), -0.5, 0.5)
            nn.init.uniform_(module.get_buffer("running_var"), 0.5, 2.0)
            nn.init.uniform_(module.weight, -1.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return network.eval()


class Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return x * self.factor


class TestAttach:
    def test_quantizers_before_and_after_a_module(self):
        network = nn.Sequential(Times(1), Times(10))
        attach(network, "1.input", Times(3))
        attach(network, "1", Times(5))
        x = torch.ones(2)
        assert network(x).tolist() == [150, 150]
        assert x.tolist() == [1, 1]
        assert {name for name, _ in network.named_modules()} >= {"1.quantize_input", "1.quantize_output"}

    def test_first_of_several_inputs_is_quantized(self):
        network = nn.ModuleDict({"add": Add(inplace=False)})
        attach(network, "add.input", Times(3))
        assert network["add"](torch.ones(1), torch.ones(1)).item() == 4

    @pytest.mark.parametrize("site", ["1", "1.input"])
    def test_second_quantizer_at_a_site_is_refused(self, site):
        network = nn.Sequential(Times(1), Times(10))
        attach(network, site, Times(3))
        with pytest.raises(ModelFileError, match=f"'{site}'"):
            attach(network, site, Times(3))
        assert network(torch.ones(1)).item() == 30

    @pytest.mark.parametrize("site", ["2", "2.input", "1.act"])
    def test_quantizer_of_an_unknown_module_is_refused(self, site):
        with pytest.raises(ModelFileError, match=f"'{site}'"):
            attach(nn.Sequential(Times(1), Times(10)), site, Times(3))

    def test_copied_network_has_separate_quantizers(self):
        network = nn.Sequential(Times(1), Times(10))
        attach(network, "1", Times(3))
        copied: Any = copy.deepcopy(network)
        copied[1].quantize_output.factor = 7
        assert (network(torch.ones(1)).item(), copied(torch.ones(1)).item()) == (30, 70)


def quantized(x, scale, zero_point, limits=(0, 255)):
    """ONNX's QuantizeLinear and DequantizeLinear in float32, with ties to even."""
    scale = np.float32(scale)
    whole = np.clip(np.rint(x.astype(np.float32) * (np.float32(1) / scale)) + zero_point, *limits)
    return ((whole - zero_point) * scale).astype(np.float32)


class TestQuantizeDequantize:
    @pytest.mark.parametrize(
        ("kind", "scale", "zero_point"),
        [("uint8", 0.0173, 31), ("uint8", 1 / 255, 0), ("uint8", 0.5, 255), ("int8", 0.0173, 0), ("int8", 2.5, 0)],
    )
    def test_rounding_equals_numpy(self, kind, scale, zero_point):
        limits = {"uint8": (0, 255), "int8": (-128, 127)}[kind]
        x = (np.random.default_rng(0).normal(size=20_000) * scale * 150).astype(np.float32)
        y = QuantizeDequantize(scale, zero_point, kind)(torch.from_numpy(x)).numpy()
        np.testing.assert_array_equal(y, quantized(x, scale, zero_point, limits))
        assert len(np.unique(y)) > 100

    def test_ties_are_rounded_to_even(self):
        x = torch.tensor([0.25, 0.75, 1.25, 1.75, -0.25, -0.75])  # Half steps, exact in binary.
        assert QuantizeDequantize(0.5, 10, "uint8")(x).tolist() == [0.0, 1.0, 1.0, 2.0, 0.0, -1.0]

    def test_values_out_of_range_are_clipped_and_zero_is_exact(self):
        rounded = QuantizeDequantize(0.5, 10, "uint8")
        assert rounded(torch.tensor([-9.0, 0.0, 900.0])).tolist() == [-5.0, 0.0, 122.5]
        assert QuantizeDequantize(0.5, 0, "int8")(torch.tensor([-900.0, 900.0])).tolist() == [-64.0, 63.5]

    def test_uint8_values_are_kept(self):
        x = torch.arange(256) / 255
        y = QuantizeDequantize(1 / 255, 0, "uint8")(x)
        torch.testing.assert_close(y, x, rtol=2**-23, atol=0)  # k * (1/255) has one rounding more than k / 255.


class TestIntegerWeights:
    @pytest.mark.parametrize(("bits", "limit"), [(8, 127), (7, 63), (4, 7), (2, 1)])
    def test_largest_weight_becomes_the_limit(self, bits, limit):
        torch.manual_seed(0)
        weight = torch.randn(16, 8, 3, 3) * torch.logspace(-4, 3, 16)[:, None, None, None]
        whole, scale = integer_weights(weight, bits)
        assert (whole.dtype, whole.shape, scale.shape) == (torch.int8, weight.shape, (16,))
        assert whole.int().abs().amax(dim=(1, 2, 3)).tolist() == [limit] * 16
        largest = weight.flatten(1).abs().argmax(dim=1)
        signs = weight.flatten(1).gather(1, largest[:, None]).sign()[:, 0]
        assert torch.equal(whole.flatten(1).gather(1, largest[:, None])[:, 0].float(), signs * limit)
        torch.testing.assert_close(scale * limit, weight.abs().amax(dim=(1, 2, 3)), rtol=1e-6, atol=0)
        # Half a step, plus the float32 rounding of the quotient, at most 127 halves of its last place.
        error = (whole * scale[:, None, None, None] - weight).abs()
        assert bool((error <= scale[:, None, None, None] * (0.5 + limit * 2**-22)).all())

    def test_channel_of_zeros_stays_zero(self):
        weight = torch.zeros(2, 3, 1, 1)
        weight[1] = 1
        whole, scale = integer_weights(weight, 8)
        assert not whole[0].any()
        assert bool((scale > 0).all())
        assert bool(scale.isfinite().all())
        assert whole[1].flatten().tolist() == [127] * 3

    def test_minus_128_is_never_used(self):
        whole, _ = integer_weights(torch.tensor([[[[-1.0, 0.999]]]]), 8)
        assert whole.flatten().tolist() == [-127, 127]

    def test_scale_is_the_largest_weight_divided_by_the_limit(self):
        weight = torch.tensor([[[[1.0]]], [[[-2.0]]]])
        torch.testing.assert_close(weight_scale(weight, 8), torch.tensor([1 / 127, 2 / 127]))
        torch.testing.assert_close(weight_scale(weight, 7), torch.tensor([1 / 63, 2 / 63]))


@pytest.mark.parametrize(
    "unit",
    [
        ConvBNAct(8, 12, 3, STYLE, stride=2),
        ConvBNAct(8, 8, 3, STYLE.linear, groups=8),
        ConvBNAct(8, 6, 1, Style("hardswish")),
        Blur(8),
        Prediction(8, 3),
    ],
    ids=["dense", "depthwise", "pointwise", "blur", "prediction"],
)
@pytest.mark.parametrize("bits", [8, 7])
def test_int8_convolution_computes_with_its_stored_weights(unit, bits):
    torch.manual_seed(0)
    for parameter in unit.parameters():
        nn.init.normal_(parameter)
    unit.eval()
    stored = Int8Convolution(unit, bits)
    weight, bias = unit.folded()
    rounded = torch.from_numpy(stored.weight.numpy().astype(np.float32) * stored.scale.numpy()[:, None, None, None])
    assert stored.weight.dtype == torch.int8
    x = torch.randn(2, 8, 9, 10)
    with torch.no_grad():
        expected = unit.act(F.conv2d(x, rounded, bias, unit.stride, unit.padding, groups=unit.groups))
        assert torch.equal(stored(x), expected)
        # It is close to the float convolution, because every weight has an error of at most half a step.
        step = stored.scale * 0.5
        bound = F.conv2d(x.abs(), torch.ones_like(weight) * step[:, None, None, None], None, unit.stride,
                         unit.padding, groups=unit.groups)  # fmt: skip
        # SiLU's slope is at most 1.1, hardswish's 1.5.
        assert bool(((stored(x) - unit(x)).abs() <= 1.5 * bound + 1e-4).all())
    assert not list(stored.parameters())


class TestFreeze:
    def test_float_network_is_not_changed(self, network):
        before = {name: value.clone() for name, value in network.state_dict().items()}
        x = torch.rand(1, 4, 32, 32)
        with torch.no_grad():
            out = network(x).heatmaps
            frozen = freeze(network, table_of(network))
            again = network(x).heatmaps
        assert torch.equal(out, again)
        assert network.state_dict().keys() == before.keys()
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
        assert not frozen.training
        assert {parameter.data_ptr() for parameter in frozen.parameters()}.isdisjoint(
            parameter.data_ptr() for parameter in network.parameters()
        )

    def test_exactly_the_sites_and_convolutions_of_the_table_are_quantized(self, network):
        table = table_of(network)
        frozen = freeze(network, table)
        rounds = [module for module in frozen.modules() if isinstance(module, QuantizeDequantize)]
        # Scales are rounded to float32.
        wanted = sorted((float(np.float32(scale)), zero) for scale, zero in table.sites.values())
        assert sorted((r.scale, r.zero_point) for r in rounds) == wanted
        stored = {name for name, module in frozen.named_modules() if isinstance(module, Int8Convolution)}
        assert stored == set(table.convolutions)
        assert isinstance(frozen.heatmaps, Prediction)

    def test_first_convolution_equals_its_arithmetic(self, network):
        """Input and weights are quantized, the bias is float, and the output is quantized after SiLU."""
        table = table_of(network)
        x = torch.rand(1, 4, 32, 32)
        weight, bias = fold_batchnorm(network).stem[0].folded()
        whole, scale = integer_weights(weight, 8)
        first, second = table.sites["stem.0.input"], table.sites["stem.0"]
        with torch.no_grad():
            read = torch.from_numpy(quantized(x.numpy(), *first))
            y = F.silu(F.conv2d(read, whole * scale[:, None, None, None], bias, 2, 1)).numpy()
            seen = freeze(network, table).stem[0](x).numpy()
        np.testing.assert_array_equal(seen, quantized(y, *second))

    def test_seven_bits_have_limit_63(self, network):
        whole = freeze(network, table_of(network, bits=7)).stem[0].weight
        assert whole.abs().max() == 63

    @pytest.mark.parametrize("name", ["stem.7", "stem", "stem.0.conv", ""])
    def test_unknown_convolution_of_the_table_is_refused(self, network, name):
        table = RangeTable("openvino", "uint8", 8, "identity", {}, (name,))
        with pytest.raises(ModelFileError, match=f"'openvino'.*'{name}'"):
            freeze(network, table)

    def test_unknown_site_of_the_table_is_refused(self, network):
        table = RangeTable("openvino", "uint8", 8, "identity", {"stem.7": (0.1, 0)}, ())
        with pytest.raises(ModelFileError, match=r"'stem\.7'"):
            freeze(network, table)

    def test_empty_table_keeps_the_network_float(self, network):
        empty = freeze(network, RangeTable("openvino", "uint8", 8, "identity", {}, ()))
        x = torch.rand(1, 4, 32, 32)
        with torch.no_grad():
            assert torch.equal(empty(x).heatmaps, fold_batchnorm(network)(x).heatmaps)


class TestPlainState:
    def test_state_without_quantizers_fits_a_float_network(self, network):
        plain = copy.deepcopy(network)
        attach(plain, "block.add", nn.BatchNorm2d(8))
        attach(plain, "stem.0.input", nn.BatchNorm2d(4))
        plain.stem[0].quantize_weight = nn.BatchNorm2d(8)
        assert len(plain.state_dict()) > len(network.state_dict())
        state = plain_state(plain)
        assert list(state) == list(network.state_dict())
        fresh = Tiny()
        fresh.load_state_dict(state)
        assert torch.equal(fresh.smooth.conv.weight, network.smooth.conv.weight)

    def test_state_of_a_float_network_is_complete(self):
        network = create("edgehrnet18", keypoints=4)
        assert list(plain_state(network)) == list(network.state_dict())


@pytest.fixture(scope="module", params=["openvino", "tensorrt"])
def exported(request, network, tmp_path_factory):
    """A table, the network frozen with it, and its ONNX graph."""
    path = tmp_path_factory.mktemp("quantized") / "tiny.onnx"
    table = table_of(network, request.param)
    frozen = freeze(network, table)
    outputs = (("heatmaps", "NCHW"), ("offsets", "NCHW"), ("hf", "NHWC"))
    write_onnx(frozen, ModelSpec("tiny", ("a", "b"), input_size=(32, 64), outputs=outputs), path)
    return table, frozen, onnx.load(path)


@pytest.mark.slow
class TestExported:
    def test_graph_is_valid(self, exported):
        _, _, model = exported
        onnx.checker.check_model(model, full_check=True)

    def test_graph_has_one_quantizer_per_site(self, exported):
        table, _, model = exported
        values = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        values |= {
            node.output[0]: numpy_helper.to_array(node.attribute[0].t)
            for node in model.graph.node
            if node.op_type == "Constant"
        }
        rounds = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
        found = sorted((float(values[node.input[1]]), int(values[node.input[2]])) for node in rounds)
        assert found == sorted((float(np.float32(scale)), zero) for scale, zero in table.sites.values())
        assert {values[node.input[2]].dtype for node in rounds} == {np.dtype(table.activations)}

    def test_weights_are_stored_as_int8_and_dequantized(self, exported):
        table, frozen, model = exported
        initializers = {tensor.name: tensor for tensor in model.graph.initializer}
        made_by = {name: node for node in model.graph.node for name in node.output}
        weights = []
        for node in model.graph.node:
            if node.op_type == "Conv" and node.input[1] in made_by:
                dequantize = made_by[node.input[1]]
                assert dequantize.op_type == "DequantizeLinear"
                tensor = initializers[dequantize.input[0]]
                assert tensor.data_type == onnx.TensorProto.INT8
                assert [a.i for a in dequantize.attribute if a.name == "axis"] in ([0], [])
                assert list(initializers[dequantize.input[1]].dims) == list(tensor.dims)[:1]
                weights.append(numpy_helper.to_array(tensor))
        assert len(weights) == len(table.convolutions)
        stored = [module.weight.numpy() for module in frozen.modules() if isinstance(module, Int8Convolution)]
        assert sorted(w.tobytes() for w in weights) == sorted(w.tobytes() for w in stored)

    def test_graph_has_no_clip_and_no_other_quantizers(self, exported):
        table, _, model = exported
        kinds = [node.op_type for node in model.graph.node]
        assert "Clip" not in kinds
        assert kinds.count("QuantizeLinear") == len(table.sites)
        assert kinds.count("DequantizeLinear") == len(table.sites) + len(table.convolutions)
        assert kinds.count("BatchNormalization") == 0
