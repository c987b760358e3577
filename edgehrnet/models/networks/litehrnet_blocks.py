"""Blocks of Lite-HRNet (Yu et al., CVPR 2021, section 3).

Each block splits the channels into halves, processes one half and interleaves both. Splitting and interleaving are
plain functions rather than modules, because they only move values.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgehrnet.models.layers.blocks import ConvBNAct, Down
from edgehrnet.models.layers.style import Style


def join(left: Tensor, right: Tensor) -> Tensor:
    """Interleave the channels of two maps ``[B, C, H, W]`` to ``[B, 2C, H, W]`` (Zhang et al., ShuffleNet, CVPR 2018).

    >>> join(torch.tensor([[[[1]], [[2]]]]), torch.tensor([[[[3]], [[4]]]])).flatten()
    tensor([1, 3, 2, 4])
    """
    return torch.unflatten(torch.cat([left, right], dim=1), 1, (2, -1)).transpose(1, 2).flatten(1, 2)


class Separable(nn.Sequential):
    """Depthwise separable convolution at the same resolution.

    A depthwise 3x3 convolution with BN comes first, then a 1x1 convolution from Ci to Co channels with BN and the
    activation of the style. `Down` is the counterpart that halves the resolution.
    """

    def __init__(self, in_channels: int, out_channels: int, style: Style) -> None:
        depthwise = ConvBNAct(in_channels, in_channels, 3, style.linear, groups=in_channels)
        super().__init__(OrderedDict(depthwise=depthwise, pointwise=ConvBNAct(in_channels, out_channels, 1, style)))


class Stem(nn.Module):
    """Reduce the resolution to a quarter: a 3x3 convolution with stride 2, then a `Down` on each half of the channels.

    In the right half, a 1x1 convolution first doubles the number of channels, and the `Down` halves it again.
    """

    def __init__(self, in_channels: int, channels: int, style: Style) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = ConvBNAct(in_channels, channels, 3, style, stride=2)
        self.left = Down(half, half, style)
        self.expand = ConvBNAct(half, channels, 1, style)
        self.right = Down(channels, half, style)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, Ci, H, W]`` to ``[B, C, H/4, W/4]``."""
        left, right = self.conv1(x).chunk(2, dim=1)
        return join(self.left(left), self.right(self.expand(right)))


class CrossResolutionWeighting(nn.Module):
    """Multiply every channel of every branch by weights computed from all branches (section 3.2).

    All branches are averaged to the lowest resolution and concatenated. Two 1x1 convolutions follow, to an eighth of
    the channels with ReLU, and back with a sigmoid. The resulting weights have the lowest resolution. Those of each
    branch are resized to its shape by nearest-neighbor interpolation and multiplied with it.
    """

    RATIO = 8

    def __init__(self, channels: Sequence[int], style: Style) -> None:
        super().__init__()
        self.channels = list(channels)
        total = sum(channels)
        self.conv1 = ConvBNAct(total, total // self.RATIO, 1, style)
        self.conv2 = ConvBNAct(total // self.RATIO, total, 1, style.sigmoid)

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        """Map ``[B, C_i, H_i, W_i]``, each with half the resolution of the one before, to the same shapes."""
        # Fixed factors instead of tensor sizes give the same values bit for bit if sizes are divisible, and leave no
        # traced sizes in an exported graph.
        factors = [2**step for step in range(len(branches) - 1, 0, -1)]
        *higher, lowest = branches
        pooled = [F.avg_pool2d(x, factor) for x, factor in zip(higher, factors, strict=True)]
        weights = self.conv2(self.conv1(torch.cat([*pooled, lowest], dim=1))).split(self.channels, dim=1)
        resized = [
            F.interpolate(weight, scale_factor=float(factor), mode="nearest")
            for weight, factor in zip(weights[:-1], factors, strict=True)
        ]
        return [x * weight for x, weight in zip(branches, [*resized, weights[-1]], strict=True)]


class SpatialWeighting(nn.Module):
    """Multiply every channel by a gate computed from the means of all channels, without BN.

    ``x * sigmoid(W2 relu(W1 mean(x)))``, where the mean is over all cells of a channel.
    """

    RATIO = 4

    def __init__(self, channels: int, style: Style) -> None:
        super().__init__()
        hidden = channels // self.RATIO
        self.conv1 = ConvBNAct(channels, hidden, 1, style, bias=True, norm=False)
        self.conv2 = ConvBNAct(hidden, channels, 1, style.sigmoid, bias=True, norm=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, C, H, W]`` to the same shape without changing ``x``."""
        gate: Tensor = self.conv2(self.conv1(x.mean(dim=(2, 3), keepdim=True)))
        return x * gate


class ConditionalChannelWeighting(nn.Module):
    """Block over all branches in which weights that depend on the input replace the 1x1 convolutions (section 3.2).

    In each branch, half of the channels pass unchanged. The others pass through `CrossResolutionWeighting`, a depthwise
    3x3 convolution with BN and without activation, and `SpatialWeighting`.
    """

    def __init__(self, channels: Sequence[int], style: Style) -> None:
        super().__init__()
        halves = [width // 2 for width in channels]
        self.across = CrossResolutionWeighting(halves, style)
        self.depthwise = nn.ModuleList(ConvBNAct(half, half, 3, style.linear, groups=half) for half in halves)
        self.spatial = nn.ModuleList(SpatialWeighting(half, style) for half in halves)

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        """Map ``[B, C_i, H_i, W_i]``, highest resolution first, to the same shapes."""
        kept, processed = zip(*(x.chunk(2, dim=1) for x in branches), strict=True)
        weighted = self.across(processed)
        changed = [
            spatial(depthwise(x)) for spatial, depthwise, x in zip(self.spatial, self.depthwise, weighted, strict=True)
        ]
        return [join(left, right) for left, right in zip(kept, changed, strict=True)]


class ShuffleUnit(nn.Module):
    """Shuffle unit (Ma et al., ShuffleNet V2, ECCV 2018).

    A 1x1 convolution, a depthwise 3x3 convolution and another 1x1 convolution process half of the channels. The other
    half passes unchanged.
    """

    def __init__(self, channels: int, style: Style) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = ConvBNAct(half, half, 1, style)
        self.depthwise = ConvBNAct(half, half, 3, style.linear, groups=half)
        self.conv2 = ConvBNAct(half, half, 1, style)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, C, H, W]`` to the same shape without changing ``x``."""
        left, right = x.chunk(2, dim=1)
        return join(left, self.conv2(self.depthwise(self.conv1(right))))


class ShuffleUnits(nn.Module):
    """One `ShuffleUnit` on each branch."""

    def __init__(self, channels: Sequence[int], style: Style) -> None:
        super().__init__()
        self.units = nn.ModuleList(ShuffleUnit(width, style) for width in channels)

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        """Map ``[B, C_i, H_i, W_i]``, highest resolution first, to the same shapes."""
        return [unit(x) for unit, x in zip(self.units, branches, strict=True)]
