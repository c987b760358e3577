"""Folding BN into the convolution before it."""

from __future__ import annotations

import copy
from typing import TypeVar, cast

import torch
from torch import nn

from edgehrnet.models.blocks import ConvBNAct

Network = TypeVar("Network", bound=nn.Module)


def fold_batchnorm(model: Network) -> Network:
    """An eval copy of ``model`` in which every `ConvBNAct` is a convolution with bias and no BN.

    ``y = g (W x - m) / s + b`` is ``(g/s) W x + (b - g m / s)`` with ``s = sqrt(var + eps)``: the same
    function, and the zero padding stays exact, because W acts on the padded input in both. The factors
    are computed in float64 and rounded once to the dtype of the weights. ``model`` stays as it is;
    folding twice changes nothing.

    >>> from edgehrnet.models import create
    >>> any(isinstance(m, nn.BatchNorm2d) for m in fold_batchnorm(create("edgehrnet18")).modules())
    False
    """
    folded = copy.deepcopy(model).eval()
    for block in folded.modules():
        if isinstance(block, ConvBNAct) and isinstance(block.bn, nn.BatchNorm2d):
            block.conv = _fold(cast("nn.Conv2d", block.conv), block.bn)
            # A placeholder, so that the names of all layers stay those of the trained network.
            block.bn = nn.Identity()
    return folded


@torch.no_grad()
def _fold(conv: nn.Conv2d, bn: nn.BatchNorm2d) -> nn.Conv2d:
    mean, variance = cast("torch.Tensor", bn.running_mean), cast("torch.Tensor", bn.running_var)
    scale = bn.weight.double() / torch.sqrt(variance.double() + bn.eps)
    shift = bn.bias.double() - mean.double() * scale
    weight = conv.weight.double() * scale[:, None, None, None]
    layout = torch.channels_last if conv.weight.is_contiguous(memory_format=torch.channels_last) else None
    weight = weight.to(conv.weight.dtype)
    conv.weight = nn.Parameter(weight.contiguous(memory_format=layout) if layout else weight)
    conv.bias = nn.Parameter(shift.to(conv.weight.dtype))
    return conv
