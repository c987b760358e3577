"""Fold BN into convolutions."""

from typing import Any

import pytest
import torch
from torch import nn

from edgehrnet.models import create
from edgehrnet.models.deploy.folding import fold_batchnorm


def trained(dtype, **options):
    """A network with BN statistics as after training."""
    torch.manual_seed(0)
    net: Any = create("edgehrnet18", keypoints=3, pyramid=True, **options)
    for m in net.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.get_buffer("running_mean").normal_(0, 0.2)
            m.get_buffer("running_var").uniform_(0.5, 3)
            nn.init.uniform_(m.weight, 0.5, 1.5)
            nn.init.normal_(m.bias, 0, 0.2)
    nn.init.normal_(net.heads.heatmaps.predict.weight, 0, 0.1)
    return net.to(dtype)


def outputs(net, dtype):
    x = torch.rand(1, 4, 64, 64, generator=torch.Generator().manual_seed(1)).to(dtype)
    with torch.no_grad():
        out = net(x)
    return [out.hf, out.heatmaps, out.offsets, *out.extras.values()]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("options", [{}, {"gate": "coord", "hidden_heads": True, "fpn": "B"}], ids=["plain", "B"])
def test_folding_is_exact_up_to_rounding(dtype, options):
    net = trained(dtype, **options).eval()
    folded = fold_batchnorm(net)
    for before, after in zip(outputs(net, dtype), outputs(folded, dtype), strict=True):
        # The path to an output has fewer than 60 convolutions. Each sums up to 2304 products, with a rounding error of
        # about eps x sqrt(2304).
        allowed = torch.finfo(dtype).eps * 2304**0.5 * 60 * before.abs().max().item()
        assert (before - after).abs().max().item() < allowed
        assert before.std() > 100 * allowed


def test_folded_copy_has_no_norm_and_the_original_is_not_changed():
    net = trained(torch.float32).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    folded = fold_batchnorm(net)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.modules())
    assert all(m.bias is not None for m in folded.modules() if isinstance(m, nn.Conv2d))
    assert not folded.training
    assert net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_folding_twice_changes_nothing():
    once = fold_batchnorm(trained(torch.float32))
    twice = fold_batchnorm(once)
    assert all(
        torch.equal(a, b) for a, b in zip(outputs(once, torch.float32), outputs(twice, torch.float32), strict=True)
    )


def test_folding_keeps_the_memory_layout():
    net = trained(torch.float32).to(memory_format=torch.channels_last)
    weight = fold_batchnorm(net).stem.conv1.conv.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
