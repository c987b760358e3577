"""Build HRNet for keypoints.

Source: Wang et al., "Deep High-Resolution Representation Learning for Visual Recognition", TPAMI 2020.

Picture -> stem -> bottleneck blocks -> stage 2 -> stage 3 -> stage 4 -> 1x1 convolution. One branch keeps the
resolution of the stem, a quarter of the input's, throughout, and the last convolution reads it. Each stage adds a
branch with half the resolution of the one before.

HRNetV2 (Sun et al., "High-Resolution Representations for Labeling Pixels and Regions", 2019) resizes all four branches
of stage 4 to a quarter of the input, concatenates them and mixes them with a 1x1 convolution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn

from edgehrnet.models.layers.blocks import Add, ConvBNAct, Up, upsample
from edgehrnet.models.layers.style import Style
from edgehrnet.models.networks.shared import RGB, PublishedNetwork, PublishedOptions

STEM = 64
EXPANSION = 4


@dataclass(frozen=True)
class HRNetPlan:
    """Hyperparameters that distinguish one HRNet from another."""

    width: int
    """Channels of the branch with the highest resolution. Each lower branch has twice as many as the one above it."""

    bottlenecks: int = 4
    """Number of bottleneck blocks before stage 2."""

    planes: int = 64
    """Channels inside a bottleneck block."""

    modules: tuple[int, int, int] = (1, 4, 3)
    """Number of high-resolution modules in stages 2, 3 and 4."""

    blocks: int = 4
    """Number of basic blocks on each branch of a module."""

    mixed: bool = False
    """True for HRNetV2, whose head takes all four branches."""

    whole: bool = False
    """True if the last module fuses all branches although the head takes only the first one.

    The networks for classification are built this way.
    """

    @property
    def channels(self) -> tuple[int, int, int, int]:
        """Channels of the four branches, highest resolution first."""
        return self.width, 2 * self.width, 4 * self.width, 8 * self.width


HRNETS: Mapping[str, HRNetPlan] = MappingProxyType(
    {
        "hrnet_w16": HRNetPlan(16),
        "hrnet_w18": HRNetPlan(18),
        "hrnet_w32": HRNetPlan(32),
        "hrnet_w48": HRNetPlan(48),
        "hrnet_w18_small_v1": HRNetPlan(16, bottlenecks=1, planes=32, modules=(1, 1, 1), blocks=2, whole=True),
        "hrnet_w18_small_v2": HRNetPlan(18, bottlenecks=2, modules=(1, 3, 2), blocks=2, whole=True),
        "hrnetv2_w18": HRNetPlan(18, mixed=True),
    }
)


class BasicBlock(nn.Module):
    """Residual block ``relu(x + conv2(conv1(x)))`` with two 3x3 convolutions (He et al., CVPR 2016).

    The output has the shape of the input.
    """

    def __init__(self, channels: int, style: Style) -> None:
        super().__init__()
        self.conv1 = ConvBNAct(channels, channels, 3, style)
        self.conv2 = ConvBNAct(channels, channels, 3, style.linear)
        self.add = Add(style.inplace)
        self.relu = style.make_activation()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, C, H, W]`` to the same shape without changing ``x``."""
        y: Tensor = self.relu(self.add(self.conv2(self.conv1(x)), x))
        return y


class Bottleneck(nn.Module):
    """Bottleneck block (He et al., CVPR 2016): three convolutions plus a shortcut, then ReLU.

    A 1x1 convolution maps Ci channels to P, a 3x3 convolution keeps P, and a 1x1 convolution maps P to 4P. P is
    ``planes``. The shortcut is the identity if Ci equals 4P, otherwise a 1x1 convolution with BN.
    """

    def __init__(self, in_channels: int, planes: int, style: Style) -> None:
        super().__init__()
        channels = EXPANSION * planes
        self.conv1 = ConvBNAct(in_channels, planes, 1, style)
        self.conv2 = ConvBNAct(planes, planes, 3, style)
        self.conv3 = ConvBNAct(planes, channels, 1, style.linear)
        same = in_channels == channels
        self.shortcut = nn.Identity() if same else ConvBNAct(in_channels, channels, 1, style.linear)
        self.add = Add(style.inplace)
        self.relu = style.make_activation()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, Ci, H, W]`` to ``[B, 4P, H, W]`` without changing ``x``."""
        y: Tensor = self.relu(self.add(self.conv3(self.conv2(self.conv1(x))), self.shortcut(x)))
        return y


def strided_chain(in_channels: int, out_channels: int, steps: int, style: Style) -> nn.Sequential:
    """Chain ``steps`` 3x3 convolutions with stride 2 and BN.

    All but the last keep the number of channels and end with the activation. The last one changes the number of
    channels to ``out_channels`` and has no activation.
    """
    inner = [ConvBNAct(in_channels, in_channels, 3, style, stride=2) for _ in range(steps - 1)]
    return nn.Sequential(*inner, ConvBNAct(in_channels, out_channels, 3, style.linear, stride=2))


class Fusion(nn.Module):
    """Sum all branches at the shape of each branch, then apply ReLU.

    Path ``i_j`` brings branch j to the shape of branch i. It upsamples with a 1x1 convolution, BN and one
    interpolation, and downsamples with a `strided_chain`.

    Args:
        channels: Channels of the branches, highest resolution first.
        outputs: Number of branches to return, starting with the highest resolution.
        mode: Interpolation mode of `blocks.upsample`.
        style: Activation and in-place choice.
    """

    def __init__(self, channels: Sequence[int], outputs: int, mode: str, style: Style) -> None:
        super().__init__()
        self.paths = nn.ModuleDict()
        for i, target in enumerate(channels[:outputs]):
            for j, source in enumerate(channels):
                if j > i:
                    self.paths[f"{i}_{j}"] = Up(source, target, 2 ** (j - i), style, mode)
                elif j < i:
                    self.paths[f"{i}_{j}"] = strided_chain(source, target, i - j, style)
        self.add = nn.ModuleList(Add(style.inplace) for _ in range(outputs))
        self.relu = nn.ModuleList(style.make_activation() for _ in range(outputs))

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        """Map ``[B, C_i, H_i, W_i]``, highest resolution first, to the first ``outputs`` of these shapes."""
        return [self.relu[i](self.add[i](*self._terms(i, branches))) for i in range(len(self.add))]

    def _terms(self, i: int, branches: Sequence[Tensor]) -> list[Tensor]:
        """Return the terms summed into branch i, in the published order."""
        terms = [x if j == i else self.paths[f"{i}_{j}"](x) for j, x in enumerate(branches)]
        if i == 0:
            # Add overwrites its first term, and other sums still need branch 0. Swapping the first two terms gives the
            # same sum bit for bit.
            terms[0], terms[1] = terms[1], terms[0]
        return terms


class HighResolutionModule(nn.Module):
    """A sequence of `BasicBlock` on each branch, then `Fusion`."""

    def __init__(self, channels: Sequence[int], blocks: int, outputs: int, mode: str, style: Style) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(BasicBlock(c, style) for _ in range(blocks))) for c in channels)
        self.fusion = Fusion(channels, outputs, mode, style)

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        """Map ``[B, C_i, H_i, W_i]``, highest resolution first, to the outputs of the fusion."""
        fused: list[Tensor] = self.fusion([blocks(x) for blocks, x in zip(self.branches, branches, strict=True)])
        return fused


class Transition(nn.Module):
    """Keep the branches, and derive a new one with half the resolution from the last.

    A branch whose width changes passes through a 3x3 convolution.
    """

    def __init__(self, sources: Sequence[int], channels: Sequence[int], style: Style) -> None:
        super().__init__()
        self.keep = nn.ModuleList(
            nn.Identity() if source == target else ConvBNAct(source, target, 3, style)
            for source, target in zip(sources, channels[:-1], strict=True)
        )
        self.new = ConvBNAct(sources[-1], channels[-1], 3, style, stride=2)

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        """Map n branches to n + 1 branches, the new one last."""
        return [*(keep(x) for keep, x in zip(self.keep, branches, strict=True)), self.new(branches[-1])]


class Stage(nn.Module):
    """Stage n: a transition from n - 1 to n branches, then modules. The last module returns ``outputs`` branches."""

    def __init__(
        self, sources: Sequence[int], channels: Sequence[int], modules: int, outputs: int, plan: HRNetPlan, style: Style
    ) -> None:
        super().__init__()
        mode = "bilinear" if plan.mixed else "nearest"
        self.transition = Transition(sources, channels, style)
        given = [*[len(channels)] * (modules - 1), outputs]
        self.hr_modules = nn.ModuleList(
            HighResolutionModule(channels, plan.blocks, count, mode, style) for count in given
        )

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        """Map n - 1 branches to the branches that the last module returns, highest resolution first."""
        maps: list[Tensor] = self.transition(branches)
        for module in self.hr_modules:
            maps = module(maps)
        return maps


class Mix(nn.Module):
    """Mix all branches, at the end of HRNetV2.

    All branches are resized to the size of the first one and concatenated. A 1x1 convolution with BN and activation
    follows.
    """

    def __init__(self, channels: Sequence[int], style: Style) -> None:
        super().__init__()
        self.resize = nn.ModuleList(upsample(2**i) for i in range(1, len(channels)))
        self.conv = ConvBNAct(sum(channels), sum(channels), 1, style, bias=True)

    def forward(self, branches: Sequence[Tensor]) -> Tensor:
        """Map ``[B, C_i, H_i, W_i]``, highest resolution first, to ``[B, sum(C_i), H_0, W_0]``."""
        first, *lower = branches
        resized = [resize(x) for resize, x in zip(self.resize, lower, strict=True)]
        y: Tensor = self.conv(torch.cat([first, *resized], dim=1))
        return y


class HRNet(PublishedNetwork):
    """HRNet or HRNetV2 with the hyperparameters of an `HRNetPlan`.

    See `PublishedNetwork` for its input and output.
    """

    def __init__(self, plan: HRNetPlan, keypoints: int = 17, options: PublishedOptions | None = None) -> None:
        options = options or PublishedOptions()
        super().__init__(keypoints, options)
        style, channels = options.style, plan.channels
        self.stem = nn.Sequential()
        self.stem.add_module("conv1", ConvBNAct(RGB, STEM, 3, style, stride=2))
        self.stem.add_module("conv2", ConvBNAct(STEM, STEM, 3, style, stride=2))
        wide = EXPANSION * plan.planes
        inputs = [STEM, *[wide] * (plan.bottlenecks - 1)]
        self.layer1 = nn.Sequential(*(Bottleneck(width, plan.planes, style) for width in inputs))
        first, second, third = plan.modules
        self.stage2 = Stage([wide], channels[:2], first, 2, plan, style)
        self.stage3 = Stage(channels[:2], channels[:3], second, 3, plan, style)
        self.stage4 = Stage(channels[:3], channels, third, 4 if plan.mixed or plan.whole else 1, plan, style)
        self.mix = Mix(channels, style) if plan.mixed else None
        self._finish(sum(channels) if plan.mixed else plan.width)

    def features(self, x: Tensor) -> Tensor:
        """Map ``[B, 3, H, W]`` to ``[B, C, H/4, W/4]``. C is the width, or 15 times the width in HRNetV2."""
        branches: list[Tensor] = [self.layer1(self.stem(x))]
        for stage in (self.stage2, self.stage3, self.stage4):
            branches = stage(branches)
        if self.mix is None:
            return branches[0]
        mixed: Tensor = self.mix(branches)
        return mixed
