"""Fake-quantize modules in training compute the same as the frozen network, and have the right gradients."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgehrnet.models import create
from edgehrnet.models.deploy.folding import fold_batchnorm
from edgehrnet.models.deploy.frozen import attach, freeze, integer_weights, plain_state
from edgehrnet.models.layers.blocks import Add, ConvBNAct, Down, LiteBlock, Prediction, Up, initialize_convolutions
from edgehrnet.models.layers.style import Style
from edgehrnet.spec import ModelSpec
from quant.data.documents.corners import validation_scene
from quant.int8.calibration import network_inputs, observe, range_table
from quant.int8.fake_quantize import (
    LearnedQuantizer,
    copy_quantizers,
    insert,
    learned_table,
    quantizer_name,
    quantizers,
    set_ranges,
    stop_observers,
)
from quant.int8.placement import place
from quant.int8.scheme import SCHEMES
from quant.int8.torch_ao import FakeQuantize
from quant.training.averaging import Ema

STYLE = Style(inplace=False)
UNSIGNED, SIGNED = SCHEMES["openvino"], SCHEMES["tensorrt"]
SPEC = ModelSpec("corners", ("a", "b"), input_size=(64, 64))


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = ConvBNAct(4, 8, 3, STYLE, stride=2)
        self.block = LiteBlock(8, STYLE)
        self.down, self.up = Down(8, 16, STYLE), Up(16, 8, 2, STYLE)
        self.add = Add(inplace=False)
        self.smooth = ConvBNAct(8, 8, 3, STYLE)
        self.last = ConvBNAct(8, 2, 1, STYLE.linear)

    def forward(self, x):
        x = self.block(self.first(x))
        return self.last(self.smooth(self.add(self.up(self.down(x)), x)))


@pytest.fixture(scope="module")
def images():
    return network_inputs([validation_scene(index).image for index in range(3)], SPEC)


@pytest.fixture(scope="module")
def x(images):
    return torch.cat(images).permute(0, 3, 1, 2).float() / 255


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    network = Net()
    initialize_convolutions(network)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.get_buffer("running_mean"), -0.2, 0.2)
            nn.init.uniform_(module.get_buffer("running_var"), 0.5, 2.0)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return network.eval()


def calibrated(network, images, scheme=UNSIGNED):
    placement = place(network, scheme)
    return placement, range_table(observe(network, placement.sites, images, SPEC), placement, scheme, SPEC)


def fake_quantized(network, images, scheme=UNSIGNED, *, learned=False, ranges=True):
    placement, table = calibrated(network, images, scheme)
    quantized = copy.deepcopy(network)
    insert(quantized, placement, scheme, learned=learned)
    if ranges:
        set_ranges(quantized, table)
    return quantized, table


def rms(x):
    return float(x.double().square().mean().sqrt())


SCHEMES_HERE = [UNSIGNED, SIGNED, UNSIGNED.replace(weight_bits=7), UNSIGNED.replace(adds="all")]
NAMES = ["unsigned", "signed", "7 bits", "all adds"]


class TestAgainstTheFrozenNetwork:
    @pytest.mark.parametrize("learned", [False, True], ids=["observed", "learned"])
    @pytest.mark.parametrize("scheme", SCHEMES_HERE, ids=NAMES)
    def test_fake_quantized_equals_frozen_in_eval(self, network, images, x, scheme, learned):
        quantized, table = fake_quantized(network, images, scheme, learned=learned)
        stop_observers(quantized)
        with torch.no_grad():
            seen, expected, exact = quantized.eval()(x), freeze(network, table)(x), network(x)
        # Weights are folded in float32 here, in float64 there: they differ in the last bit, 2^-24. A number that
        # close to a tie, some 1 in 2^24 / 128 / sqrt(number of terms), is rounded to the other side, and what reads
        # it is off by a step times a weight. All others are equal up to float32 sums: rare flips, small elsewhere.
        assert rms(seen - expected) < 0.1 * rms(expected - exact)
        close = (seen - expected).abs() < 1e-4 * exact.abs().max()
        assert close.float().mean() > 0.9

    def test_one_wrong_range_makes_the_networks_differ(self, network, images, x):
        """The bound of the test above fails if one site has another range."""
        quantized, table = fake_quantized(network, images)
        stop_observers(quantized)
        quantized.block.expand.quantize_output.scale.mul_(1.1)
        with torch.no_grad():
            seen, expected, exact = quantized.eval()(x), freeze(network, table)(x), network(x)
        assert rms(seen - expected) > 0.1 * rms(expected - exact)

    @pytest.mark.parametrize("bits", [8, 7])
    def test_fake_quantized_weights_equal_stored_weights(self, network, images, bits):
        quantized, _ = fake_quantized(network, images, UNSIGNED.replace(weight_bits=bits))
        for name in ("first", "block.depthwise", "down.pointwise"):
            weight = network.get_submodule(name).folded()[0].detach()
            whole, scale = integer_weights(weight, bits)
            seen = quantized.get_submodule(name).quantize_weight(weight)
            # The observer follows with a + (b - a), which may miss b by its last bit.
            torch.testing.assert_close(seen, whole * scale[:, None, None, None], rtol=1e-6, atol=0)
            assert (seen / scale[:, None, None, None]).abs().max() == pytest.approx(2 ** (bits - 1) - 1)

    def test_float_weights_are_not_changed(self, network, images):
        quantized, _ = fake_quantized(network, images)
        state = plain_state(quantized)
        assert list(state) == list(network.state_dict())
        assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


class TestSwitches:
    @pytest.mark.parametrize("learned", [False, True], ids=["observed", "learned"])
    @pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
    def test_nothing_is_rounded_until_ranges_are_set(self, network, images, x, learned, training):
        quantized, table = fake_quantized(network, images, learned=learned, ranges=False)
        plain = copy.deepcopy(network).train(training)
        before = {name: value.clone() for name, value in quantized.state_dict().items() if "quantize_" in name}
        quantized.train(training)
        with torch.no_grad():
            # Weights are scaled there and back again: 1e-5 covers the roundings of nine layers in float32.
            torch.testing.assert_close(quantized(x), plain(x), rtol=1e-4, atol=1e-5 * float(plain(x).abs().max()))
        for name, value in quantized.state_dict().items():
            if "quantize_" in name:
                assert torch.equal(value, before[name]), name  # no observer watches
        set_ranges(quantized, table)
        with torch.no_grad():
            assert rms(quantized.eval()(x) - network(x)) > 1e-3 * rms(network(x))

    @pytest.mark.parametrize("scheme", [UNSIGNED, SIGNED], ids=NAMES[:2])
    def test_ranges_start_as_they_were_calibrated(self, network, images, scheme):
        quantized, table = fake_quantized(network, images, scheme)
        for site, (scale, zero) in table.sites.items():
            module = quantized.get_submodule(quantizer_name(site))
            assert float(module.scale) == pytest.approx(scale)
            assert int(module.zero_point) == zero
            # The observer continues from the same range.
            own_scale, own_zero = module.activation_post_process.calculate_qparams()
            assert float(own_scale) == pytest.approx(scale, rel=1e-5)
            assert int(own_zero) == zero

    def test_ranges_follow_values_until_observers_stop(self, network, images, x):
        quantized, table = fake_quantized(network, images)
        quantizer = quantized.block.expand.quantize_output
        scale = float(quantizer.scale)
        assert scale == pytest.approx(table.sites["block.expand"][0])
        with torch.no_grad():
            quantizer(torch.tensor([0.0, 1000.0]))
        grown = float(quantizer.scale)
        # The averaging constant of torch is 0.01, and the new range ends at 1000.
        assert grown == pytest.approx(0.99 * scale + 0.01 * 1000 / 255, rel=0.02)
        stop_observers(quantized)
        weights = quantized.block.expand.quantize_weight
        before = weights.scale.clone()
        with torch.no_grad():
            quantizer(torch.tensor([0.0, 1e6]))
            quantized.block.expand.conv.weight.mul_(2)
            quantized.train()(x)
        assert float(quantizer.scale) == grown
        assert torch.allclose(weights.scale, 2 * before)  # follows the weights

    def test_every_site_of_the_network_has_its_quantizer(self):
        network = create("edgehrnet18", keypoints=2)
        placement = place(network, UNSIGNED)
        insert(network, placement, UNSIGNED)
        found = quantizers(network)
        assert {quantizer_name(site) for site in placement.sites} | {
            f"{name}.quantize_weight" for name in placement.convolutions
        } == set(found)
        assert len(found) == 112 + 126


def unit_with(weight_bits=8):
    """One convolution with a weight quantizer that is on, activations in float."""
    torch.manual_seed(0)
    unit = ConvBNAct(4, 6, 3, STYLE.linear)
    nn.init.uniform_(unit.bn.get_parameter("weight"), -1.5, 1.5)
    nn.init.uniform_(unit.bn.get_buffer("running_var"), 0.1, 4.0)
    nn.init.uniform_(unit.bn.get_buffer("running_mean"), -1, 1)
    scheme, network = UNSIGNED.replace(weight_bits=weight_bits), nn.Sequential(unit)
    insert(network, place(network, scheme), scheme)
    quantizer = unit.quantize_weight
    assert isinstance(quantizer, FakeQuantize)
    quantizer.enable_fake_quant()
    quantizer.enable_observer()
    return unit


def on_grid(weight, bits=8):
    whole, scale = integer_weights(weight.detach(), bits)
    return whole * scale[:, None, None, None]


class TestConvolutionsWhileTraining:
    def test_weights_on_the_grid_change_nothing(self):
        unit = unit_with()
        bn = unit.bn
        # Powers of two and whole numbers: every step of folding is exact.
        bn.eps = 0.125
        bn.running_var.fill_(0.125)
        bn.weight.data.fill_(2.0)
        whole = torch.randint(-126, 127, unit.conv.weight.shape).float()
        whole[:, 0, 0, 0] = 127
        unit.conv.weight.data = whole / 1024
        plain = without_quantizers(unit)
        plain.bn.eps = bn.eps
        x = torch.randn(3, 4, 8, 8)
        for training in (True, False):
            torch.testing.assert_close(unit.train(training)(x), plain.train(training)(x), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(unit.bn.running_mean, plain.bn.running_mean)
        torch.testing.assert_close(unit.bn.running_var, plain.bn.running_var)

    @pytest.mark.parametrize("bits", [8, 4])
    def test_bn_uses_the_batch_statistics_of_rounded_folded_weights(self, bits):
        unit = unit_with(bits).train()
        x = torch.randn(3, 4, 8, 8)
        scale = unit.bn.weight / torch.sqrt(unit.bn.running_var + unit.bn.eps)
        weight = on_grid(unit.conv.weight * scale[:, None, None, None], bits) / scale[:, None, None, None]
        convolved = F.conv2d(x, weight.detach(), None, 1, 1)
        mean, var = unit.bn.running_mean.clone(), unit.bn.running_var.clone()
        expected = F.batch_norm(convolved, mean, var, unit.bn.weight, unit.bn.bias, True, 0.1, unit.bn.eps)
        torch.testing.assert_close(unit(x), expected, rtol=1e-4, atol=1e-5)
        # Running statistics are those of the convolution before folding.
        torch.testing.assert_close(unit.bn.running_mean, mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(unit.bn.running_var, var, rtol=1e-4, atol=1e-5)

    def test_fixed_statistics_give_the_folded_convolution(self):
        unit = unit_with().train()
        unit.bn.eval()
        mean = unit.bn.running_mean.clone()
        x = torch.randn(3, 4, 8, 8)
        weight, bias = unit.folded()
        expected = F.conv2d(x, on_grid(weight), bias, 1, 1)
        torch.testing.assert_close(unit(x), expected, rtol=1e-4, atol=1e-5)
        assert torch.equal(unit.bn.running_mean, mean)
        # The deployed network computes the same.
        table = calibrated_unit(unit)
        frozen = freeze(nn.Sequential(without_quantizers(unit)), table)
        torch.testing.assert_close(unit(x), frozen(x), rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("fixed", [False, True], ids=["batch", "fixed"])
    def test_gradients_pass_the_rounding(self, fixed):
        unit = unit_with().train()
        unit.bn.train(not fixed)
        plain = without_quantizers(unit).train()
        plain.bn.train(not fixed)
        x, direction = torch.randn(3, 4, 8, 8), torch.randn(3, 6, 8, 8)
        for module in (unit, plain):
            (module(x) * direction).sum().backward()
        for name in ("conv.weight", "bn.weight", "bn.bias"):
            seen, expected = unit.get_parameter(name).grad, plain.get_parameter(name).grad
            # Rounding passes gradients unchanged. 8-bit weights differ by up to half a step of 1/127.
            assert rms(seen - expected) < 0.05 * rms(expected) + 1e-6, name

    @pytest.mark.parametrize("fixed", [False, True], ids=["batch", "fixed"])
    def test_a_channel_that_bn_switches_off_stays_finite(self, fixed):
        unit = unit_with().train()
        unit.bn.train(not fixed)
        unit.bn.weight.data[2] = 0
        y = unit(torch.randn(3, 4, 8, 8))
        y.square().sum().backward()
        assert bool(y.isfinite().all())
        torch.testing.assert_close(y[:, 2], unit.bn.bias[2].expand_as(y[:, 2]))
        assert all(bool(parameter.grad.isfinite().all()) for parameter in unit.parameters())


def without_quantizers(unit):
    plain = ConvBNAct(4, 6, 3, STYLE.linear)
    plain.load_state_dict(plain_state(unit))
    return plain


def calibrated_unit(unit):
    """A table that rounds weights alone."""
    _, table = calibrated(nn.Sequential(without_quantizers(unit)).eval(), [torch.zeros(1, 8, 8, 4, dtype=torch.uint8)])
    return type(table)(table.target, table.activations, 8, table.adds, {}, table.convolutions)


def learned(scale=0.5, zero=10.0, scheme=UNSIGNED):
    quantizer = LearnedQuantizer(scheme)
    quantizer.scale.data.fill_(scale)
    quantizer.zero_point.data.fill_(zero)
    quantizer.enabled.fill_(True)
    return quantizer


class TestLearnedQuantizer:
    def test_gradients_match_the_lsq_paper(self):
        """LSQ (eq. 3) and LSQ+ (eq. 5 and 6), scaled by 1 / sqrt(N * last)."""
        quantizer = learned()
        # Below the range (-5), inside (0.7 steps off, exactly on it), above (122.5).
        x = torch.tensor([-7.0, 0.35, 2.0, -0.1, 200.0], requires_grad=True)
        weight = torch.tensor([1.0, 2.0, 3.0, 5.0, 7.0])
        (quantizer(x) * weight).sum().backward()
        factor = 1 / math.sqrt(5 * 255)
        inside = np.array([0.35, 2.0, -0.1]) / 0.5
        own = np.r_[0 - 10, np.rint(inside) - inside, 255 - 10]
        assert float(quantizer.scale.grad) == pytest.approx(float((own * weight.numpy()).sum()) * factor, rel=1e-5)
        # A larger zero point moves clipped values by one step down.
        assert float(quantizer.zero_point.grad) == pytest.approx(-0.5 * (1 + 7) * factor, rel=1e-5)
        assert x.grad is not None
        assert x.grad.tolist() == [0, 2, 3, 5, 0]

    def test_symmetric_scheme_trains_no_zero_point(self):
        quantizer = learned(0.5, 0.0, SIGNED)
        quantizer(torch.randn(9, requires_grad=True)).sum().backward()
        assert quantizer.scale.grad is not None
        assert not quantizer.zero_point.requires_grad
        assert quantizer(torch.tensor([-900.0, 900.0])).tolist() == [-64.0, 63.5]

    def test_training_finds_the_range_of_its_input(self):
        torch.manual_seed(0)
        x = F.silu(torch.randn(4096) * 2)
        quantizer = learned(0.2, 100.0)
        optimizer = torch.optim.Adam(quantizer.parameters(), lr=1e-3)
        errors = []
        for _ in range(300):
            loss = (quantizer(x) - x).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            errors.append(float(loss.detach()))
        assert errors[-1] < 0.1 * errors[0]

    @pytest.mark.parametrize(
        ("scale", "zero", "expected"),
        [
            (-0.5, 10.0, (0.5, 10)),
            (0.5, 10.4, (0.5, 10)),
            (0.5, -3.0, (0.5, 0)),
            (0.5, 300.0, (0.5, 255)),
            (0.0, 0.0, (torch.finfo(torch.float32).eps, 0)),
        ],
    )
    def test_learned_range_is_stored_as_applied(self, scale, zero, expected):
        """Wherever an optimizer takes the parameters, the range has a positive scale and a zero point in the limits."""
        quantizer = learned(scale, zero)
        assert quantizer.range() == pytest.approx(expected)
        step, offset = quantizer.range()
        with torch.no_grad():
            seen = quantizer(torch.tensor([-1e9, 0.0, 1e9]))
        assert seen.tolist() == pytest.approx([(0 - offset) * step, 0.0, (255 - offset) * step])

    def test_learned_table_has_the_learned_ranges(self, network, images):
        quantized, table = fake_quantized(network, images, learned=True)
        again = learned_table(quantized, table)
        assert again.sites.keys() == table.sites.keys()
        for site, (scale, zero) in table.sites.items():
            found_scale, found_zero = again.sites[site]
            assert found_scale == pytest.approx(scale)
            assert found_zero == zero
        quantized.block.expand.quantize_output.scale.data.fill_(-0.25)
        quantized.block.expand.quantize_output.zero_point.data.fill_(-7.0)
        moved = learned_table(quantized, table)
        assert moved.sites["block.expand"] == (0.25, 0)
        assert (moved.target, moved.convolutions) == (table.target, table.convolutions)
        assert type(moved).from_plain("openvino", moved.to_plain()).sites.keys() == table.sites.keys()

    def test_disabled_quantizer_is_identity_with_gradients(self):
        quantizer = LearnedQuantizer(UNSIGNED)
        x = torch.randn(5, requires_grad=True)
        y = quantizer(x)
        assert torch.equal(y, x)
        y.sum().backward()
        assert quantizer.scale.grad == 0
        assert quantizer.zero_point.grad == 0
        assert x.grad is not None
        assert x.grad.tolist() == [1] * 5


class TestAverage:
    @pytest.mark.parametrize("learned", [False, True], ids=["observed", "learned"])
    def test_copied_quantizers_have_equal_ranges_and_no_observers(self, network, images, x, learned):
        quantized, _ = fake_quantized(network, images, learned=learned)
        ema = Ema(quantized, 0.5)
        with torch.no_grad():
            quantized.train()(2 * x)  # its observers follow
            for parameter in quantized.parameters():
                parameter.mul_(1.01)
        ema.update(quantized, 0)
        copy_quantizers(quantized, ema.network)
        theirs, own = quantizers(quantized), quantizers(ema.network)
        assert theirs.keys() == own.keys()
        for name, module in own.items():
            for part in ("scale", "zero_point"):
                assert torch.equal(module.state_dict()[part], theirs[name].state_dict()[part]), (name, part)
        before = {name: module.state_dict()["scale"].clone() for name, module in own.items()}
        with torch.no_grad():
            ema.network(100 * x)
        assert all(torch.equal(module.state_dict()["scale"], before[name]) for name, module in own.items())
        watching = [module for module in theirs.values() if isinstance(module, FakeQuantize)]
        assert all(bool(module.observer_enabled) for module in watching)  # observers of the trained network continue
        # The copy rounds too.
        with torch.no_grad():
            plain = copy.deepcopy(network)
            plain.load_state_dict(plain_state(ema.network))
            assert rms(ema.network(x) - plain.eval()(x)) > 1e-3 * rms(plain(x))

    def test_weight_averaging_handles_all_buffer_shapes(self, network, images):
        """No buffer changes its shape when ranges are set."""
        quantized, table = fake_quantized(network, images, ranges=False)
        ema = Ema(quantized, 0.5)
        shapes = [value.shape for value in quantized.state_dict().values()]
        set_ranges(quantized, table)
        with torch.no_grad():
            quantized.train()(torch.rand(2, 4, 32, 32))
        assert [value.shape for value in quantized.state_dict().values()] == shapes
        ema.update(quantized, 0)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float32])
def test_autocast_and_rounding_agree(network, images, x, kind):
    """Under autocast, a convolution returns bfloat16, which a quantizer has to accept."""
    for learned_ranges in (False, True):
        quantized, _ = fake_quantized(network, images, learned=learned_ranges)
        with torch.autocast("cpu", kind, enabled=kind != torch.float32):
            y = quantized.train()(x)
        y.float().sum().backward()
        assert bool(y.isfinite().all())
        assert quantized.first.conv.weight.grad is not None


def test_prediction_layers_can_be_quantized():
    prediction = Prediction(8, 2)
    network = nn.Sequential(ConvBNAct(4, 8, 3, STYLE), prediction).eval()
    nn.init.normal_(prediction.weight)
    placement, table = calibrated(network, [torch.zeros(1, 8, 8, 4, dtype=torch.uint8)])
    assert set(placement.convolutions) == {"0", "1"}
    quantized = copy.deepcopy(network)
    insert(quantized, placement, UNSIGNED)
    set_ranges(quantized, table)
    stop_observers(quantized)
    x = torch.rand(1, 4, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(quantized(x), freeze(network, table)(x), rtol=1e-4, atol=1e-4)


def test_folded_networks_can_be_trained(network, images, x):
    """Networks without BN get quantizers at the same sites."""
    folded = fold_batchnorm(network)
    quantized, table = fake_quantized(folded, images)
    stop_observers(quantized)
    with torch.no_grad():
        seen, expected = quantized.train()(x), freeze(folded, table)(x)
    assert rms(seen - expected) < 0.1 * rms(expected - folded(x).detach())
    attach(folded, "first", nn.Identity())  # the original has none
