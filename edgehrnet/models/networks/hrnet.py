"""HRNet: high resolution all the way, one more branch of half the resolution in each stage (Wang et al., TPAMI 2020).

Image -> stem (1/4) -> 4 bottlenecks -> stage 2 -> stage 3 -> stage 4 -> branch of 1/4 -> 1x1. HRNetV2 brings all four
branches of stage 4 to 1/4, concatenates and mixes them (Sun et al., 2019).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn

from edgehrnet.errors import InputError, nearest
from edgehrnet.models.layers.blocks import Add, ConvBNAct, Up, upsample
from edgehrnet.models.layers.style import Style
from edgehrnet.models.networks.shared import RGB, PublishedNetwork, PublishedOptions

STEM = 64
EXPANSION = 4
REFUSED = ("avg", "concat")


@dataclass(frozen=True)
class HRNetPlan:
    """What distinguishes one HRNet from another.

    Attributes:
        width: channels of the branch of 1/4; each lower branch has twice as many.
        bottlenecks, planes: how many blocks come before stage 2, and how wide they are inside.
        modules: of stages 2, 3 and 4.
        blocks: on each branch of a module.
        mixed: HRNetV2's end, on all branches.
        whole: the last module fuses all branches though the head reads one, as in the trunks for classification.
    """

    width: int
    bottlenecks: int = 4
    planes: int = 64
    modules: tuple[int, int, int] = (1, 4, 3)
    blocks: int = 4
    mixed: bool = False
    whole: bool = False

    @property
    def channels(self) -> tuple[int, int, int, int]:
        """Of the four branches, highest resolution first."""
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


@dataclass(frozen=True)
class HRNetOptions(PublishedOptions):
    """What can be chosen about an HRNet.

    Attributes:
        offsets: three channels for each keypoint in place of one, height and x and y offset (UDP's "combined" head).
        inplace: overwrite tensors where autograd allows it.
        fuse: how a module joins its branches; ``sum`` is all there is.

    Raises:
        InputError: a value is not one of the accepted ones.
    """

    fuse: str = "sum"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fuse in REFUSED:
            raise InputError(
                f"fuse={self.fuse!r}: the literature names it, nobody has published code for it, and no checkpoint was "
                "trained with it; HRNet's fusion is 'sum'"
            )
        if self.fuse != "sum":
            raise InputError(f"fuse={self.fuse!r} is not known: {nearest(str(self.fuse), ['sum'])}")


class BasicBlock(nn.Module):
    """``relu(x + conv(conv(x)))``, both 3x3 C -> C (He et al., CVPR 2016); shape kept."""

    def __init__(self, channels: int, style: Style) -> None:
        super().__init__()
        self.conv1 = ConvBNAct(channels, channels, 3, style)
        self.conv2 = ConvBNAct(channels, channels, 3, style.linear)
        self.add = Add(style.inplace)
        self.relu = style.make_activation()

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` -> the same shape; ``x`` is left unchanged."""
        y: Tensor = self.relu(self.add(self.conv2(self.conv1(x)), x))
        return y


class Bottleneck(nn.Module):
    """``relu(shortcut(x) + conv(conv(conv(x))))``: 1x1 Ci -> P, 3x3 P -> P, 1x1 P -> 4P (He et al., CVPR 2016).

    The shortcut is a 1x1 + BN where Ci is not 4P.
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
        """``[B, Ci, H, W]`` -> ``[B, 4P, H, W]``; ``x`` is left unchanged."""
        y: Tensor = self.relu(self.add(self.conv3(self.conv2(self.conv1(x))), self.shortcut(x)))
        return y


def strided_chain(in_channels: int, out_channels: int, steps: int, style: Style) -> nn.Sequential:
    """``steps`` 3x3 of stride 2 + BN: all but the last keep the channels and have the activation."""
    inner = [ConvBNAct(in_channels, in_channels, 3, style, stride=2) for _ in range(steps - 1)]
    return nn.Sequential(*inner, ConvBNAct(in_channels, out_channels, 3, style.linear, stride=2))


class Fusion(nn.Module):
    """Each branch becomes ``relu`` of the sum of all branches, brought to its shape.

    Up: 1x1 + BN, then one interpolation; down: `strided_chain`. path ``i_j`` brings branch j to branch i.

    Args:
        channels: of the branches, highest resolution first.
        outputs: how many branches come out, the highest resolutions.
        mode: of the interpolation, see `blocks.upsample`.
        style: activation and in-place choice.
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
        """Maps ``[B, C_i, H_i, W_i]``, highest resolution first -> the first ``outputs`` of the same shapes."""
        return [self.relu[i](self.add[i](*self._terms(i, branches))) for i in range(len(self.add))]

    def _terms(self, i: int, branches: Sequence[Tensor]) -> list[Tensor]:
        """What branch i sums up, highest resolution first, in which order it is published."""
        terms = [x if j == i else self.paths[f"{i}_{j}"](x) for j, x in enumerate(branches)]
        if i == 0:
            # Add overwrites its first term, and the own branch is not fresh; two terms can be swapped to the last bit.
            terms[0], terms[1] = terms[1], terms[0]
        return terms


class HighResolutionModule(nn.Module):
    """Some `BasicBlock` on each branch, then `Fusion`."""

    def __init__(self, channels: Sequence[int], blocks: int, outputs: int, mode: str, style: Style) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(BasicBlock(c, style) for _ in range(blocks))) for c in channels)
        self.fusion = Fusion(channels, outputs, mode, style)

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        """Maps ``[B, C_i, H_i, W_i]``, highest resolution first -> those that the fusion gives."""
        fused: list[Tensor] = self.fusion([blocks(x) for blocks, x in zip(self.branches, branches, strict=True)])
        return fused


class Transition(nn.Module):
    """Keep the branches, through a 3x3 where the width changes, and start one of half the resolution from the last."""

    def __init__(self, sources: Sequence[int], channels: Sequence[int], style: Style) -> None:
        super().__init__()
        self.keep = nn.ModuleList(
            nn.Identity() if source == target else ConvBNAct(source, target, 3, style)
            for source, target in zip(sources, channels[:-1], strict=True)
        )
        self.new = ConvBNAct(sources[-1], channels[-1], 3, style, stride=2)

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        """n maps -> n + 1 maps, the new one last."""
        return [*(keep(x) for keep, x in zip(self.keep, branches, strict=True)), self.new(branches[-1])]


class Stage(nn.Module):
    """Stage n: a transition from n - 1 to n branches, then modules; the last one gives ``outputs`` branches."""

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
        """n - 1 maps -> n maps, or as many as the last module gives, highest resolution first."""
        maps: list[Tensor] = self.transition(branches)
        for module in self.hr_modules:
            maps = module(maps)
        return maps


class Mix(nn.Module):
    """HRNetV2's end: all branches brought to the first one's size, concatenated, and one 1x1 + BN + activation."""

    def __init__(self, channels: Sequence[int], style: Style) -> None:
        super().__init__()
        self.resize = nn.ModuleList(upsample(2**i) for i in range(1, len(channels)))
        self.conv = ConvBNAct(sum(channels), sum(channels), 1, style, bias=True)

    def forward(self, branches: Sequence[Tensor]) -> Tensor:
        """Maps ``[B, C_i, H_i, W_i]``, highest resolution first -> ``[B, sum(C_i), H_0, W_0]``."""
        first, *lower = branches
        resized = [resize(x) for resize, x in zip(self.resize, lower, strict=True)]
        y: Tensor = self.conv(torch.cat([first, *resized], dim=1))
        return y


class HRNet(PublishedNetwork):
    """A network of the family, as its `HRNetPlan` says; see `PublishedNetwork`."""

    def __init__(self, plan: HRNetPlan, keypoints: int = 17, options: HRNetOptions | None = None) -> None:
        options = options or HRNetOptions()
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
        """``[B, 3, H, W]`` -> ``[B, C, H/4, W/4]``, C the width, or 15 times the width in HRNetV2."""
        branches: list[Tensor] = [self.layer1(self.stem(x))]
        for stage in (self.stage2, self.stage3, self.stage4):
            branches = stage(branches)
        if self.mix is None:
            return branches[0]
        mixed: Tensor = self.mix(branches)
        return mixed
