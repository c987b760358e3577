"""Blocks, fusions, attention gates and initialization."""

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgehrnet.models import create
from edgehrnet.models.layers.blocks import Add, Blur, ConvBNAct, Down, LiteBlock, Up, down_chain
from edgehrnet.models.layers.fusion import Concatenate, CoordinateAttention, Fuse, SqueezeExcitation, Weighted
from edgehrnet.models.layers.style import Style


def randomize_norms(net):
    """Give every BN random statistics and scales, so that a missing BN changes the result."""
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.get_buffer("running_mean").normal_(0, 0.3)
            m.get_buffer("running_var").uniform_(0.5, 2)
            nn.init.uniform_(m.weight, 0.5, 1.5)
            nn.init.normal_(m.bias, 0, 0.3)
    return net


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_one_by_one_and_upsampling_commute(factor):
    torch.manual_seed(0)
    up = randomize_norms(Up(16, 8, factor, Style())).double().eval()
    x = torch.randn(2, 16, 5, 7, dtype=torch.float64)
    other = up.pointwise(F.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=False))
    assert up(x).shape == (2, 8, 5 * factor, 7 * factor)
    # Both sum the same 16 x 4 products of numbers of order 1: 64 roundings of 2^-53, times 100 as a margin.
    torch.testing.assert_close(up(x), other, rtol=0, atol=64 * 2**-53 * 100)


def test_up_is_one_interpolation_not_several():
    up4: Any = Up(1, 1, 4, Style())
    x = torch.randn(1, 1, 4, 4)
    twice = F.interpolate(F.interpolate(x, scale_factor=2.0, mode="bilinear"), scale_factor=2.0, mode="bilinear")
    assert not torch.allclose(up4.resize(x), twice)
    assert len([m for m in up4.modules() if isinstance(m, nn.Upsample)]) == 1


@pytest.mark.parametrize("kind", ["dw", "avgpool", "blur"])
def test_down_halves_the_resolution(kind):
    style = Style(down=kind)
    assert Down(8, 16, style)(torch.randn(2, 8, 6, 10)).shape == (2, 16, 3, 5)
    assert down_chain(8, 32, 3, style)(torch.randn(2, 8, 16, 8)).shape == (2, 32, 2, 1)


def test_down_chain_ends_linear_and_has_activations_before():
    steps: list[Any] = list(down_chain(8, 32, 3, Style()))
    assert [isinstance(step.pointwise.act, torch.nn.SiLU) for step in steps] == [True, True, False]
    assert [step.pointwise.conv.out_channels for step in steps] == [8, 8, 32]
    assert all(isinstance(step.depthwise.act, torch.nn.Identity) for step in steps)


def test_blur_is_a_fixed_low_pass_filter():
    blur = Blur(3)
    assert list(blur.parameters()) == []
    assert blur.state_dict() == {}
    assert torch.equal(blur.kernel[0, 0] * 16, torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]]))
    stripes = torch.ones(1, 3, 8, 8)
    stripes[..., 1::2] = -1
    assert blur(stripes)[..., 1:-1].abs().max() == 0


def test_lite_block_is_linear_at_its_end_and_adds_its_input():
    block: Any = LiteBlock(8, Style()).eval()
    nn.init.zeros_(block.project.bn.weight)
    x = torch.randn(1, 8, 4, 4)
    before = x.clone()
    assert torch.equal(block(x), before)
    assert torch.equal(x, before), "the input was overwritten"
    assert isinstance(block.project.act, torch.nn.Identity)
    assert block.depthwise.conv.groups == 16


def test_add_in_place_overwrites_only_the_first_term():
    a, b, c = torch.ones(2), torch.ones(2), torch.ones(2)
    assert torch.equal(Add(inplace=True)(a, b, c), torch.full((2,), 3.0))
    assert torch.equal(b, torch.ones(2))
    assert torch.equal(c, torch.ones(2))


def test_weighted_fusion_follows_its_formula():
    fuse = Weighted(2, inplace=True)
    x, y = torch.randn(1, 3, 2, 2), torch.randn(1, 3, 2, 2)
    plus1 = math.log1p(math.e)
    torch.testing.assert_close(fuse.normalized_weights(), torch.full((2,), plus1 / (2 * plus1 + 1e-4)))
    with torch.no_grad():
        fuse.weights.copy_(torch.tensor([-1.0, 2.0]))
    p, q = math.log1p(math.exp(-1)), math.log1p(math.exp(2))
    expected = (p * x + q * y) / (p + q + 1e-4)
    torch.testing.assert_close(fuse(x, y), expected)


@pytest.mark.parametrize("kind", ["add", "weighted"])
@pytest.mark.parametrize("gate", ["none", "se", "coord"])
def test_fuse_applies_a_separate_gate_to_each_input(kind, gate):
    fuse: Any = Fuse(16, kind, gate, inplace=True).eval()
    x, y = torch.randn(2, 16, 4, 6), torch.randn(2, 16, 4, 6)
    weights = [1.0, 1.0] if kind == "add" else fuse.combine.normalized_weights()
    expected = weights[0] * fuse.gates[0](x) + weights[1] * fuse.gates[1](y)
    torch.testing.assert_close(fuse(x.clone(), y), expected)


def test_squeeze_excitation_multiplies_each_channel_by_one_factor():
    x = torch.rand(2, 16, 4, 6) + 0.5
    factor = SqueezeExcitation(16)(x) / x
    torch.testing.assert_close(factor, factor[:, :, :1, :1].expand_as(factor))
    assert factor.min() > 0
    assert factor.max() < 1


def test_coordinate_attention_multiplies_rows_and_columns_by_factors():
    torch.manual_seed(0)
    x = torch.rand(2, 16, 4, 6) + 0.5
    log_factor = (CoordinateAttention(16).eval()(x) / x).log()
    rows, columns = log_factor[..., :1], log_factor[..., :1, :]
    torch.testing.assert_close(log_factor, rows + columns - log_factor[..., :1, :1], atol=1e-5, rtol=0)
    assert rows.std() > 1e-4
    assert columns.std() > 1e-4


def test_coordinate_attention_treats_rows_and_columns_alike():
    gate = CoordinateAttention(16).eval()
    swapped = CoordinateAttention(16).eval()
    swapped.load_state_dict(gate.state_dict())
    swapped.rows, swapped.columns = swapped.columns, swapped.rows
    x = torch.rand(1, 16, 4, 6)
    torch.testing.assert_close(gate(x), swapped(x.transpose(2, 3)).transpose(2, 3))


def test_initial_norm_scales():
    net = create("edgehrnet18", hidden_heads=True, gate="coord")
    reduced = {f"fpn.smooth{n}.bn" for n in (2, 3, 4)}
    for name, module in net.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            expected = 0.9 if name in reduced else 1.0
            assert torch.equal(module.weight, torch.full_like(module.weight, expected)), name
            assert not module.bias.any()
            assert module.eps == 1e-5


def test_initial_weights_are_kaiming_normal_per_group():
    torch.manual_seed(0)
    net = create("edgehrnet18")
    checked = 0
    for name, conv in net.named_modules():
        if isinstance(conv, nn.Conv2d) and conv.weight.numel() >= 4096 and "heads" not in name:
            fan_out = conv.kernel_size[0] ** 2 * conv.out_channels // conv.groups
            # The relative error of the standard deviation of n normal numbers is 1/sqrt(2n). 5 of these are allowed.
            allowed = 5 / math.sqrt(2 * conv.weight.numel())
            assert conv.weight.detach().std() * math.sqrt(fan_out / 2) == pytest.approx(1, abs=allowed), name
            checked += conv.groups > 1
    assert checked > 0, "no depthwise convolution was large enough to be checked"


@pytest.mark.parametrize("hidden", [False, True])
def test_initial_head_weights_and_biases(hidden):
    net: Any = create("edgehrnet18", hidden_heads=hidden, boundary=True, sdf=True, auxiliary=True)
    for name in ("heads.heatmaps", "auxiliary.p3", "auxiliary.p4"):
        bias = net.get_submodule(name).predict.bias
        assert torch.equal(bias, torch.full_like(bias, -2.19))
    for name in ("heads.offsets", "heads.boundary", "heads.sdf"):
        assert not net.get_submodule(name).predict.bias.any()
    weight = net.heads.offsets.predict.weight.detach()
    assert weight.std() == pytest.approx(0.001, rel=5 / math.sqrt(2 * weight.numel()))


def test_concatenate_stacks_channels():
    assert Concatenate()(torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 3, 3)).shape == (1, 4, 3, 3)


def test_linear_style_has_no_activation():
    assert isinstance(ConvBNAct(1, 1, 1, Style().linear).act, torch.nn.Identity)
