"""The blocks of Lite-HRNet (Yu et al., CVPR 2021): cheap ones, which split the channels, work on half, and shuffle.

All that is between the two halves of a `Stem`, a `ShuffleUnit` or a `ConditionalChannelWeighting` are bare functions:
they move values and compute none.
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
    """Two maps ``[B, C, H, W]`` -> ``[B, 2C, H, W]`` with their channels in turn (Zhang et al., ShuffleNet, 2018).

    >>> join(torch.tensor([[[[1]], [[2]]]]), torch.tensor([[[[3]], [[4]]]])).flatten()
    tensor([1, 3, 2, 4])
    """
    return torch.unflatten(torch.cat([left, right], dim=1), 1, (2, -1)).transpose(1, 2).flatten(1, 2)


class Separable(nn.Sequential):
    """Depthwise 3x3 + BN, then 1x1 Ci -> Co + BN with the activation of the style; size kept. See also `Down`."""

    def __init__(self, in_channels: int, out_channels: int, style: Style) -> None:
        depthwise = ConvBNAct(in_channels, in_channels, 3, style.linear, groups=in_channels)
        super().__init__(OrderedDict(depthwise=depthwise, pointwise=ConvBNAct(in_channels, out_channels, 1, style)))


class Stem(nn.Module):
    """3x3 stride 2, then both halves to half the resolution: ``[B, Ci, H, W]`` -> ``[B, C, H/4, W/4]``.

    The left half through a `Down`, the right one through a 1x1 to twice its channels and a `Down`.
    """

    def __init__(self, in_channels: int, channels: int, style: Style) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = ConvBNAct(in_channels, channels, 3, style, stride=2)
        self.left = Down(half, half, style)
        self.expand = ConvBNAct(half, channels, 1, style)
        self.right = Down(channels, half, style)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, Ci, H, W]`` -> ``[B, C, H/4, W/4]``."""
        left, right = self.conv1(x).chunk(2, dim=1)
        return join(self.left(left), self.right(self.expand(right)))


class CrossResolutionWeighting(nn.Module):
    """Weigh every channel of every branch, at each place of the lowest resolution, by what all branches hold there.

    All branches averaged to the lowest resolution, concatenated, 1x1 to an eighth + ReLU, 1x1 + sigmoid; each branch's
    part, brought to its size (nearest), is what the branch is multiplied with.
    """

    RATIO = 8

    def __init__(self, channels: Sequence[int], style: Style) -> None:
        super().__init__()
        self.channels = list(channels)
        total = sum(channels)
        self.conv1 = ConvBNAct(total, total // self.RATIO, 1, style)
        self.conv2 = ConvBNAct(total // self.RATIO, total, 1, style.sigmoid)

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        """Maps ``[B, C_i, H_i, W_i]``, each of half the one before's resolution -> the same shapes."""
        # Fixed factors, not the sizes of tensors: the same to the last bit where sizes are divisible, and no engine
        # stumbles over a size that was traced.
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
    """Weigh every channel by a gate from its mean: ``x * sigmoid(W2 relu(W1 mean(x)))``, without BN; shape kept."""

    RATIO = 4

    def __init__(self, channels: int, style: Style) -> None:
        super().__init__()
        hidden = channels // self.RATIO
        self.conv1 = ConvBNAct(channels, hidden, 1, style, bias=True, norm=False)
        self.conv2 = ConvBNAct(hidden, channels, 1, style.sigmoid, bias=True, norm=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` -> the same shape; ``x`` is left unchanged."""
        gate: Tensor = self.conv2(self.conv1(x.mean(dim=(2, 3), keepdim=True)))
        return x * gate


class ConditionalChannelWeighting(nn.Module):
    """One block over all branches, in which weights that depend on the picture stand in for 1x1 convolutions.

    Of each branch, half the channels pass; the others are weighed across resolutions, go through a depthwise 3x3 + BN
    without activation, and are weighed by their means.
    """

    def __init__(self, channels: Sequence[int], style: Style) -> None:
        super().__init__()
        halves = [width // 2 for width in channels]
        self.across = CrossResolutionWeighting(halves, style)
        self.depthwise = nn.ModuleList(ConvBNAct(half, half, 3, style.linear, groups=half) for half in halves)
        self.spatial = nn.ModuleList(SpatialWeighting(half, style) for half in halves)

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        """Maps ``[B, C_i, H_i, W_i]``, highest resolution first -> the same shapes."""
        kept, given = zip(*(x.chunk(2, dim=1) for x in branches), strict=True)
        weighed = self.across(given)
        changed = [
            spatial(depthwise(x)) for spatial, depthwise, x in zip(self.spatial, self.depthwise, weighed, strict=True)
        ]
        return [join(left, right) for left, right in zip(kept, changed, strict=True)]


class ShuffleUnit(nn.Module):
    """Half the channels pass, the others go through 1x1, depthwise 3x3, 1x1 (Ma et al., ShuffleNetV2, 2018).

    Shape kept.
    """

    def __init__(self, channels: int, style: Style) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = ConvBNAct(half, half, 1, style)
        self.depthwise = ConvBNAct(half, half, 3, style.linear, groups=half)
        self.conv2 = ConvBNAct(half, half, 1, style)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` -> the same shape; ``x`` is left unchanged."""
        left, right = x.chunk(2, dim=1)
        return join(left, self.conv2(self.depthwise(self.conv1(right))))


class ShuffleUnits(nn.Module):
    """One `ShuffleUnit` on each branch."""

    def __init__(self, channels: Sequence[int], style: Style) -> None:
        super().__init__()
        self.units = nn.ModuleList(ShuffleUnit(width, style) for width in channels)

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        """Maps ``[B, C_i, H_i, W_i]``, highest resolution first -> the same shapes."""
        return [unit(x) for unit, x in zip(self.units, branches, strict=True)]
