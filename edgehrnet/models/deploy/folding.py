"""Fold every batch normalization (BN) into the convolution before it."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn

from edgehrnet.models.layers.blocks import ConvBNAct

Network = TypeVar("Network", bound=nn.Module)


@torch.no_grad()
def fold_batchnorm(model: Network) -> Network:
    """Return a copy of ``model`` in eval mode in which every `ConvBNAct` has a bias and no BN.

    The weights are computed in float64 and rounded once to their dtype, see `ConvBNAct.folded`. ``model`` is not
    changed. Folding twice gives the same result as folding once.

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
            # A placeholder keeps the names of all layers the same as in the trained network.
            block.bn = nn.Identity()
    return folded
