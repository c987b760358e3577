"""Build EdgeHRNet: the parallel branches of HRNet (Wang et al., TPAMI 2020) with lightweight blocks and LiteFPN.

Picture and mask -> stem -> stage 2 -> stage 3 -> stage 4 -> LiteFPN -> heads. Each stage adds a branch with half the
resolution and twice the channels of the one before, and ends with a fusion of every branch into every other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from edgehrnet.models.layers.activations import exchange_activations
from edgehrnet.models.layers.base import KeypointNetwork, check_input
from edgehrnet.models.layers.blocks import (
    Add,
    ConvBNAct,
    Down,
    LiteBlock,
    Up,
    down_chain,
    initialize_convolutions,
    smooth,
)
from edgehrnet.models.layers.fpn import LiteFPN
from edgehrnet.models.layers.heads import AuxiliaryHeads, Heads
from edgehrnet.models.layers.output import Output
from edgehrnet.models.layers.style import Style
from edgehrnet.models.networks.options import Options

IN_CHANNELS = 4
BRANCHES = (32, 64, 128, 256)
FEATURES = 128
BLOCKS = 2


class Stem(nn.Sequential):
    """Two 3x3 convolutions with stride 2 and two LiteBlocks: ``[B, 4, H, W]`` -> ``[B, 32, H/4, W/4]``."""

    def __init__(self, channels: int, style: Style) -> None:
        super().__init__()
        self.conv1 = ConvBNAct(IN_CHANNELS, channels, 3, style, stride=2)
        self.conv2 = ConvBNAct(channels, channels, 3, style, stride=2)
        self.blocks = nn.Sequential(*(LiteBlock(channels, style) for _ in range(BLOCKS)))


class Transition(nn.Module):
    """Keep the branches, and derive a new one with half the resolution from the last.

    In stage 2 the only branch passes through a 1x1 convolution. Later stages keep their branches unchanged, as HRNet
    does if the numbers of channels match.
    """

    def __init__(self, branches: int, style: Style) -> None:
        super().__init__()
        last, new = BRANCHES[branches - 1], BRANCHES[branches]
        self.keep: nn.Module = ConvBNAct(last, last, 1, style) if branches == 1 else nn.Identity()
        self.down = Down(last, new, style)

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        """Map n branches to n + 1 branches, the new one last."""
        return [*(self.keep(x) for x in branches), self.down(branches[-1])]


class CrossResolutionFusion(nn.Module):
    """Sum all branches at the shape of each branch, then smooth each sum with a 3x3 convolution.

    Path ``A12`` upsamples branch 2 to the shape of branch 1: a 1x1 convolution with BN, then one bilinear interpolation
    by 2, 4 or 8. Path ``D31`` downsamples branch 1 to the shape of branch 3 with `down_chain`. No path ends with an
    activation, because the smoothing has one.
    """

    def __init__(self, channels: Sequence[int], style: Style) -> None:
        super().__init__()
        self.paths = nn.ModuleDict()
        for i, target in enumerate(channels):
            for j, source in enumerate(channels):
                if j > i:
                    self.paths[f"A{i + 1}{j + 1}"] = Up(source, target, 2 ** (j - i), style)
                elif j < i:
                    self.paths[f"D{i + 1}{j + 1}"] = down_chain(source, target, i - j, style)
        self.add = nn.ModuleList(Add(style.inplace) for _ in channels)
        self.smooth = nn.ModuleList(smooth(target, style) for target in channels)

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        """Map ``[B, C_i, H_i, W_i]``, highest resolution first, to the same shapes."""
        fused = []
        for i, same in enumerate(branches):
            lower = [self.paths[f"A{i + 1}{j + 1}"](branches[j]) for j in range(i + 1, len(branches))]
            higher = [self.paths[f"D{i + 1}{j + 1}"](branches[j]) for j in range(i)]
            # Add may overwrite its first term. Other sums still need this branch, so it is the last term.
            fused.append(self.smooth[i](self.add[i](*higher, *lower, same)))
        return fused


class HighResolutionModule(nn.Module):
    """Two LiteBlocks on each branch, then `CrossResolutionFusion`."""

    def __init__(self, channels: Sequence[int], style: Style) -> None:
        super().__init__()
        self.branches = nn.ModuleList(nn.Sequential(*(LiteBlock(c, style) for _ in range(BLOCKS))) for c in channels)
        self.fusion = CrossResolutionFusion(channels, style)

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        """Map ``[B, C_i, H_i, W_i]``, highest resolution first, to the same shapes."""
        maps = [blocks(x) for blocks, x in zip(self.branches, branches, strict=True)]
        fused: list[Tensor] = self.fusion(maps)
        return fused


class Stage(nn.Module):
    """Stage n: a transition from n - 1 to n branches, then one or more modules.

    Every module ends with a fusion. Without it, a module would only be more blocks on each branch.
    """

    def __init__(self, branches: int, modules: int, style: Style) -> None:
        super().__init__()
        self.transition = Transition(branches - 1, style)
        channels = BRANCHES[:branches]
        self.hr_modules = nn.ModuleList(HighResolutionModule(channels, style) for _ in range(modules))

    def forward(self, *branches: Tensor) -> tuple[Tensor, ...]:
        """Map n - 1 branches to n branches, highest resolution first."""
        maps: list[Tensor] = self.transition(branches)
        for module in self.hr_modules:
            maps = module(maps)
        return tuple(maps)


class EdgeHRNet(KeypointNetwork):
    """Keypoint network ``edgehrnet18``.

    The input is ``[B, 4, H, W]`` float, contiguous or channels_last: R, G, B in 0..1 and a mask (1 = picture,
    0 = padding), with H and W divisible by 32. It was designed for H x W = 256x512. The output is `Output`.

    Args:
        keypoints: Number K of keypoints, at least 1.
        options: Options of the network.

    Raises:
        InputError: ``keypoints`` is not accepted, or the input of ``forward`` has another shape or dtype.
    """

    def __init__(self, keypoints: int = 17, options: Options | None = None) -> None:
        options = options or Options()
        super().__init__(keypoints, IN_CHANNELS, gives_offsets=True, extra_outputs=options.extra_outputs)
        style = options.style
        self.options = options
        self.stem = Stem(BRANCHES[0], style)
        self.stage2 = Stage(2, options.modules[0], style)
        self.stage3 = Stage(3, options.modules[1], style)
        self.stage4 = Stage(4, options.modules[2], style)
        self.fpn = LiteFPN(BRANCHES, options.fpn, options.fuse, options.gate, style, FEATURES)
        self.heads = Heads(
            FEATURES,
            keypoints,
            style,
            hidden=options.hidden_heads,
            boundary=options.boundary,
            sdf=options.sdf,
        )
        self.auxiliary = AuxiliaryHeads(FEATURES, keypoints, style) if options.auxiliary else None
        exchange_activations(self, options.activations)
        self._initialize()

    def _initialize(self) -> None:
        initialize_convolutions(self)
        self.heads.initialize()
        if self.auxiliary is not None:
            self.auxiliary.initialize()

    def forward(self, x: Tensor) -> Output:
        """Run the network on ``[B, 4, H, W]`` float."""
        check_input(x, self.in_channels)
        branches: tuple[Tensor, ...] = (self.stem(x),)
        for stage in (self.stage2, self.stage3, self.stage4):
            branches = self._run(stage, branches)
        pyramid = self.fpn(*branches)
        maps: dict[str, Tensor] = self.heads(pyramid.hf)
        heatmaps, offsets = maps.pop("heatmaps"), maps.pop("offsets")
        if self.options.pyramid:
            maps.update(p3_td=pyramid.p3_td, p4_td=pyramid.p4_td, p5=pyramid.p5)
        if self.auxiliary is not None:
            maps.update(self.auxiliary(pyramid.p3_td, pyramid.p4_td))
        return Output(pyramid.hf, heatmaps, offsets, maps)

    def _run(self, stage: Stage, branches: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if self.options.checkpointing and self.training and torch.is_grad_enabled():

            def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
                return nullcontext(), unchanged_buffers(stage)

            outputs = checkpoint(stage, *branches, use_reentrant=False, context_fn=contexts)
        else:
            outputs = stage(*branches)
        return cast("tuple[Tensor, ...]", outputs)


@contextmanager
def unchanged_buffers(net: nn.Module) -> Iterator[None]:
    """Let ``net`` work on copies of its buffers within the context, and restore the originals afterwards.

    Gradient checkpointing computes a stage twice. The first forward pass has already updated the running statistics of
    BN, and a second update would count the batch twice.
    """
    kept = [(module, name, buffer) for module in net.modules() for name, buffer in module.named_buffers(recurse=False)]
    for module, name, buffer in kept:
        setattr(module, name, buffer.clone())
    try:
        yield
    finally:
        for module, name, buffer in kept:
            setattr(module, name, buffer)
