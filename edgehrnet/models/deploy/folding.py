"""Folding BN into the convolution before it."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

from edgehrnet.models.layers.blocks import ConvBNAct

Network = TypeVar("Network", bound=nn.Module)


@torch.no_grad()
def fold_batchnorm(model: Network) -> Network:
    """An eval copy of ``model`` in which every `ConvBNAct` is a convolution with bias and no BN.

    See `ConvBNAct.folded`; computed in float64 and rounded once to the dtype of the weights. ``model`` stays as it
    is; folding twice changes nothing.

    >>> from edgehrnet.models import create
    >>> any(isinstance(m, nn.BatchNorm2d) for m in fold_batchnorm(create("edgehrnet18")).modules())
    False
    """
    folded = copy.deepcopy(model).eval()
    for block in folded.modules():
        if isinstance(block, ConvBNAct) and isinstance(block.bn, nn.BatchNorm2d):
            kind = block.conv.weight.dtype
            layout = block.conv.weight.is_contiguous(memory_format=torch.channels_last)
            weight, bias = block.folded(torch.float64)
            assert bias is not None
            weight = weight.contiguous(memory_format=torch.channels_last if layout else torch.contiguous_format)
            block.conv.weight = nn.Parameter(weight.to(kind))
            block.conv.bias = nn.Parameter(bias.to(kind))
            # A placeholder, so that the names of all layers stay those of the trained network.
            block.bn = nn.Identity()
    return folded
