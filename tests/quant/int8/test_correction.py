"""Equalization and bias correction: what they change, and that they change nothing else."""

import pytest
import torch
from torch import nn

from edgehrnet.errors import InputError, ModelFileError
from edgehrnet.models import create
from edgehrnet.models.checkpoints.ranges import RangeTable
from edgehrnet.models.deploy.folding import fold_batchnorm
from edgehrnet.models.deploy.frozen import freeze
from edgehrnet.models.layers.blocks import Blur, ConvBNAct, Down, Prediction, initialize_convolutions
from edgehrnet.models.layers.style import Style
from edgehrnet.spec import ModelSpec
from quant.data.documents.corners import validation_scene
from quant.int8.calibration import network_inputs, observe, range_table
from quant.int8.correction import MOST, correct_biases, equalize
from quant.int8.placement import place
from quant.int8.scheme import SCHEMES

STYLE = Style()
OPENVINO = SCHEMES["openvino"]
SPEC = ModelSpec("corners", ("a", "b"), input_size=(64, 64))


def scatter(network):
    """Set BN as after training, with channels of very different ranges."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.get_buffer("running_mean"), -0.2, 0.2)
            nn.init.uniform_(module.get_buffer("running_var"), 0.5, 2.0)
            module.weight.data = torch.exp(torch.randn(len(module.weight)))
            nn.init.uniform_(module.bias, -0.5, 0.5)
    return network.eval()


def ranges(network, first, second):
    """Return the largest weight of each channel between two convolutions, in both of them."""
    into = network.get_submodule(second).folded()[0].detach().abs().amax(dim=(0, 2, 3))
    return network.get_submodule(first).folded()[0].detach().abs().amax(dim=(1, 2, 3)), into


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.first = ConvBNAct(4, 8, 3, STYLE)
        self.down = Down(8, 16, STYLE)
        self.last = ConvBNAct(16, 8, 3, STYLE.linear)
        initialize_convolutions(self)

    def forward(self, x):
        return self.last(self.down(self.first(x)))


class TestEqualize:
    def test_equalizing_keeps_the_output(self):
        network = scatter(create("edgehrnet18", keypoints=2)).double()
        nn.init.normal_(network.heads.heatmaps.predict.weight, std=0.1)
        x = torch.rand(1, 4, 64, 64, dtype=torch.float64)
        with torch.no_grad():
            before = network(x)
            pairs = equalize(network)
            after = network(x)
        assert pairs
        for one, other in ((before.heatmaps, after.heatmaps), (before.hf, after.hf)):
            # Factors cancel up to a rounding each in weights and sums: some 60 layers with sums of up to 2304 terms.
            allowed = torch.finfo(torch.float64).eps * 2304**0.5 * 60 * one.abs().max().item()
            assert (one - other).abs().max().item() <= allowed

    def test_equalizing_makes_weight_ranges_equal(self):
        network = scatter(Net())
        name = ("down.depthwise", "down.pointwise")
        before = ranges(network, *name)
        assert (before[0] / before[1]).max() > 5 * (before[0] / before[1]).min()
        weights = network.down.pointwise.conv.weight.detach().clone()
        assert equalize(network) == [name]
        after = ranges(network, *name)
        moved = (before[0] / before[1]).sqrt()
        free = (moved < MOST) & (moved > 1 / MOST)
        assert free.any()
        torch.testing.assert_close(after[0][free], after[1][free])
        # The product of both ranges is unchanged.
        torch.testing.assert_close(after[0] * after[1], before[0] * before[1])
        assert not torch.equal(weights, network.down.pointwise.conv.weight)
        assert equalize(network) == [name]
        torch.testing.assert_close(ranges(network, *name), after)

    def test_scaling_of_a_zero_channel_is_limited(self):
        network = scatter(Net())
        network.down.depthwise.bn.weight.data[3] = 0
        before = network.down.pointwise.conv.weight.detach().clone()
        equalize(network)
        assert all(bool(value.isfinite().all()) for value in network.state_dict().values())
        torch.testing.assert_close(network.down.pointwise.conv.weight[:, 3], before[:, 3] / MOST)

    def test_default_network_has_the_expected_pairs(self):
        network = create("edgehrnet18", keypoints=2)
        modules = dict(network.named_modules())
        pairs = equalize(network)
        downs = {name for name, module in modules.items() if isinstance(module, Down)}
        # p5 is the only other linear tensor that only a convolution reads.
        assert set(pairs) == {
            *((f"{name}.depthwise", f"{name}.pointwise") for name in downs),
            ("fpn.lateral5", "fpn.smooth5"),
        }
        assert all(isinstance(modules[first].act, nn.Identity) for first, _ in pairs)
        # As an output, it must not change.
        pairs = equalize(create("edgehrnet18", keypoints=2, pyramid=True))
        assert ("fpn.lateral5", "fpn.smooth5") not in pairs
        # A blur has no weights that could be scaled.
        blurred = equalize(create("edgehrnet18", keypoints=2, down="blur"))
        assert not any("blur" in name for pair in blurred for name in pair)
        assert len(blurred) == len(downs) + 1

    @pytest.mark.parametrize("reader", ["convolution", "upsample", "activation"])
    def test_no_pair_where_equalizing_would_change_the_output(self, reader):
        class Illegal(nn.Module):
            def __init__(self):
                super().__init__()
                self.first = ConvBNAct(4, 8, 3, STYLE if reader == "activation" else STYLE.linear)
                self.second = ConvBNAct(8, 8, 3, STYLE)
                self.other = ConvBNAct(8, 8, 3, STYLE) if reader == "convolution" else nn.Identity()
                self.up = nn.Upsample(scale_factor=2) if reader == "upsample" else nn.Identity()

            def forward(self, x):
                x = self.first(x)
                y = self.second(x)
                return (y, self.other(x) if reader == "convolution" else y, self.up(x if reader == "upsample" else y))

        network = scatter(Illegal())
        x = torch.rand(1, 4, 16, 16)
        with torch.no_grad():
            before = network(x)
            assert equalize(network) == []
            assert all(torch.equal(one, other) for one, other in zip(before, network(x), strict=True))


@pytest.fixture(scope="module")
def images():
    return network_inputs([validation_scene(index).image for index in range(3)], SPEC)


def calibrated(network, images, scheme=OPENVINO):
    placement = place(network, scheme)
    return range_table(observe(network, placement.sites, images, SPEC), placement, scheme, SPEC)


def mean_error(network, quantized, images, name):
    """Return how far the mean of a convolution's result is from that of the float network, for each channel."""
    totals = []
    for net in (quantized, fold_batchnorm(network)):
        seen: list[torch.Tensor] = []
        act = net.get_submodule(f"{name}.act")
        handle = act.register_forward_pre_hook(lambda _, x, seen=seen: seen.append(x[0].clone()))
        with torch.no_grad():
            for image in images:
                x = image.permute(0, 3, 1, 2).float() / 255
                net(x)
        handle.remove()
        totals.append(torch.stack([y.mean(dim=(0, 2, 3)) for y in seen]).mean(dim=0))
    return totals[0] - totals[1]


class TestBiasCorrection:
    @pytest.mark.parametrize("kind", ["bn", "folded"])
    def test_correction_removes_an_added_error(self, images, kind):
        network = scatter(Net())
        if kind == "folded":
            network = fold_batchnorm(network)
        table = calibrated(network, images)
        # Weights of 3 bits shift means by far more than weights of 8 bits.
        table = RangeTable(table.target, table.activations, 3, table.adds, table.sites, table.convolutions)
        before = {name: mean_error(network, freeze(network, table), images, name) for name in table.convolutions}
        float_network = fold_batchnorm(network)
        shifts = correct_biases(network, table, images, SPEC)
        assert set(shifts) == set(table.convolutions)
        # Compare with the float network before its biases were changed.
        corrected = freeze(network, table)
        for name in table.convolutions:
            after = mean_error(float_network, corrected, images, name)
            # The correction of all pictures is not that of each picture, so a small error remains.
            assert after.abs().max() < 0.1 * max(before[name].abs().max(), 0.1), name
        assert max(float(error.abs().max()) for error in before.values()) > 0.1
        assert max(float(shift.abs().max()) for shift in shifts.values()) > 0.1

    def test_exact_network_is_not_corrected(self, images):
        """Correct one convolution of bytes whose weights need no rounding."""
        unit = ConvBNAct(4, 8, 3, STYLE.linear)
        network = nn.Sequential(unit).eval()
        weight = torch.randint(-126, 127, (8, 4, 3, 3)).float()
        weight[:, 0, 0, 0] = 127
        unit.conv.weight.data = weight / 128
        unit.bn.eps = 0.0  # so that folding divides by 1
        table = RangeTable("openvino", "uint8", 8, "identity", {"0.input": (1 / 255, 0)}, ("0",))
        shifts = correct_biases(network, table, images, SPEC)
        # Bytes come back with a rounding of float32 each, sums of 36 products of up to 1.
        assert shifts["0"].abs().max() <= 36 * 2**-22

    def test_only_biases_change(self, images):
        network = scatter(Net())
        before = {name: value.clone() for name, value in network.state_dict().items()}
        shifts = correct_biases(network, calibrated(network, images), images, SPEC)
        changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
        assert changed == {f"{name}.bn.bias" for name in shifts}
        for name, shift in shifts.items():
            torch.testing.assert_close(network.state_dict()[f"{name}.bn.bias"], before[f"{name}.bn.bias"] - shift)
        assert not any(module._forward_pre_hooks for module in network.modules())

    def test_every_bias_has_a_shift(self, images):
        """A prediction has a bias and a blur has none. Returned shifts are those that were applied."""
        prediction = Prediction(8, 2)
        network = nn.Sequential(ConvBNAct(4, 8, 3, STYLE), Blur(8), prediction).eval()
        nn.init.normal_(prediction.weight)
        table = calibrated(network, images)
        assert set(table.convolutions) == {"0", "1", "2"}
        shifts = correct_biases(network, table, images, SPEC)
        assert set(shifts) == {"0", "2"}
        torch.testing.assert_close(prediction.bias.detach(), -shifts["2"])

    def test_correction_is_deterministic(self, images):
        networks = [scatter(Net()) for _ in range(2)]
        for network in networks:
            correct_biases(network, calibrated(network, images), images, SPEC)
        first, second = (network.state_dict() for network in networks)
        assert all(torch.equal(value, second[name]) for name, value in first.items())

    def test_refuses_no_pictures_and_a_wrong_table(self, images):
        network = scatter(Net())
        table = calibrated(network, images)
        with pytest.raises(InputError):
            correct_biases(network, table, [], SPEC)
        other = nn.ModuleDict({"first": network.first, "down": network.down})
        with pytest.raises((ModelFileError, AttributeError), match="last"):
            correct_biases(other, table, images, SPEC)
