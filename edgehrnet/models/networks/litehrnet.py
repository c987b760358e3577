"""Build Lite-HRNet (Yu et al., CVPR 2021), and the naive Lite-HRNet that the paper compares it with (section 3.1).

Picture -> stem -> stage 2 -> stage 3 -> stage 4 -> iterative head -> 1x1 convolution. Stem and head return a quarter of
the input's resolution. The structure is that of HRNet, with lightweight blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor, nn

from edgehrnet.models.layers.blocks import Add, Down, Up, down_chain
from edgehrnet.models.layers.style import Style
from edgehrnet.models.networks.litehrnet_blocks import ConditionalChannelWeighting, Separable, ShuffleUnits, Stem
from edgehrnet.models.networks.shared import RGB, PublishedNetwork, PublishedOptions

STEM = 32
BLOCKS = 2


@dataclass(frozen=True)
class LitePlan:
    """Hyperparameters that distinguish one Lite-HRNet from another."""

    width: int
    """Channels of the branch with the highest resolution. Each lower branch has twice as many as the one above it."""

    modules: tuple[int, int, int]
    """Number of high-resolution modules in stages 2, 3 and 4."""

    naive: bool = False
    """True for shuffle units instead of conditional channel weighting."""

    @property
    def channels(self) -> tuple[int, int, int, int]:
        """Channels of the four branches, highest resolution first."""
        return self.width, 2 * self.width, 4 * self.width, 8 * self.width


# The number in a name counts layers: 2 for the stem and 2 for each module.
LITE_HRNETS: Mapping[str, LitePlan] = MappingProxyType(
    {
        "litehrnet18": LitePlan(40, (2, 4, 2)),
        "litehrnet30": LitePlan(40, (3, 8, 3)),
        "naive_litehrnet18": LitePlan(30, (2, 4, 2), naive=True),
        "naive_litehrnet30": LitePlan(30, (3, 8, 3), naive=True),
        "wider_naive_litehrnet18": LitePlan(40, (2, 4, 2), naive=True),
        "wider_naive_litehrnet30": LitePlan(40, (3, 8, 3), naive=True),
    }
)


class Fusion(nn.Module):
    """Fuse every branch into every other, in the way that the published weights were trained with.

    It differs from HRNet's fusion. F_ij brings branch j to the shape of branch i. It upsamples with a 1x1 convolution,
    BN and nearest-neighbor interpolation, and downsamples with a `down_chain`::

        y_0 = 2 x_0 + sum over j >= 1 of F_0j(x_j)
        y_i = 2 F_i0(y_0) + x_i + sum over j >= 1, j != i of F_ij(x_j)      for i >= 1
        out_i = relu(y_i)

    The published code adds in place, so that its branch 0 already holds the sum y_0 when the other sums use it.
    """

    def __init__(self, channels: Sequence[int], style: Style) -> None:
        super().__init__()
        self.paths = nn.ModuleDict()
        for i, target in enumerate(channels):
            for j, source in enumerate(channels):
                if j > i:
                    self.paths[f"{i}_{j}"] = Up(source, target, 2 ** (j - i), style, "nearest")
                elif j < i:
                    self.paths[f"{i}_{j}"] = down_chain(source, target, i - j, style)
        self.add = nn.ModuleList(Add(style.inplace) for _ in channels)
        # The other sums use the first sum before its activation, so the activation must not overwrite it.
        self.relu = nn.ModuleList(nn.ReLU(inplace=style.inplace and i > 0) for i in range(len(channels)))

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        """Map ``[B, C_i, H_i, W_i]``, highest resolution first, to the same shapes."""
        first = self.add[0](2 * branches[0], *self._lower(0, branches))
        sums = [first]
        for i in range(1, len(branches)):
            down = self.paths[f"{i}_0"](first)
            sums.append(self.add[i](2 * down, *self._lower(i, branches)))
        return [relu(y) for relu, y in zip(self.relu, sums, strict=True)]

    def _lower(self, i: int, branches: Sequence[Tensor]) -> list[Tensor]:
        """Return all but the first branch, brought to the shape of branch i."""
        return [x if j == i else self.paths[f"{i}_{j}"](x) for j, x in enumerate(branches) if j > 0]


class HighResolutionModule(nn.Module):
    """Two blocks over all branches, then `Fusion`."""

    def __init__(self, channels: Sequence[int], naive: bool, style: Style) -> None:
        super().__init__()
        block = ShuffleUnits if naive else ConditionalChannelWeighting
        self.blocks = nn.ModuleList(block(channels, style) for _ in range(BLOCKS))
        self.fusion = Fusion(channels, style)

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        """Map ``[B, C_i, H_i, W_i]``, highest resolution first, to the same shapes."""
        maps = list(branches)
        for block in self.blocks:
            maps = block(maps)
        fused: list[Tensor] = self.fusion(maps)
        return fused


class Transition(nn.Module):
    """Keep the branches, and derive a new one with half the resolution from the last.

    A branch whose width changes passes through a `Separable`.
    """

    def __init__(self, sources: Sequence[int], channels: Sequence[int], style: Style) -> None:
        super().__init__()
        self.keep = nn.ModuleList(
            nn.Identity() if source == target else Separable(source, target, style)
            for source, target in zip(sources, channels[:-1], strict=True)
        )
        self.new = Down(sources[-1], channels[-1], style)

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        """Map n branches to n + 1 branches, the new one last."""
        return [*(keep(x) for keep, x in zip(self.keep, branches, strict=True)), self.new(branches[-1])]


class Stage(nn.Module):
    """Stage n: a transition from n - 1 to n branches, then modules."""

    def __init__(
        self, sources: Sequence[int], channels: Sequence[int], modules: int, naive: bool, style: Style
    ) -> None:
        super().__init__()
        self.transition = Transition(sources, channels, style)
        self.hr_modules = nn.ModuleList(HighResolutionModule(channels, naive, style) for _ in range(modules))

    def forward(self, branches: Sequence[Tensor]) -> list[Tensor]:
        """Map n - 1 branches to n branches, highest resolution first."""
        maps: list[Tensor] = self.transition(branches)
        for module in self.hr_modules:
            maps = module(maps)
        return maps


class IterativeHead(nn.Module):
    """Merge the branches from the lowest resolution up.

    Each step applies a `Separable` to the width of the next branch, upsamples by 2 and adds that branch. A last
    `Separable` keeps the width. The interpolation is bilinear with align_corners=True, unlike in all other networks.
    """

    def __init__(self, channels: Sequence[int], style: Style) -> None:
        super().__init__()
        upwards = list(reversed(channels))
        targets = [*upwards[1:], upwards[-1]]
        self.projects = nn.ModuleList(Separable(c, t, style) for c, t in zip(upwards, targets, strict=True))
        steps = range(len(channels) - 1)
        self.resize = nn.ModuleList(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True) for _ in steps)
        self.add = nn.ModuleList(Add(style.inplace) for _ in steps)

    def forward(self, branches: Sequence[Tensor]) -> Tensor:
        """Map ``[B, C_i, H_i, W_i]``, highest resolution first, to ``[B, C_0, H_0, W_0]``."""
        *higher, x = branches
        first, *later = self.projects
        y: Tensor = first(x)
        for branch, project, resize, add in zip(reversed(higher), later, self.resize, self.add, strict=True):
            y = project(add(resize(y), branch))
        return y


class LiteHRNet(PublishedNetwork):
    """Lite-HRNet with the hyperparameters of a `LitePlan`.

    See `PublishedNetwork` for its input and output.
    """

    def __init__(self, plan: LitePlan, keypoints: int = 17, options: PublishedOptions | None = None) -> None:
        options = options or PublishedOptions()
        super().__init__(keypoints, options)
        style, channels = options.style, plan.channels
        self.stem = Stem(RGB, STEM, style)
        first, second, third = plan.modules
        self.stage2 = Stage([STEM], channels[:2], first, plan.naive, style)
        self.stage3 = Stage(channels[:2], channels[:3], second, plan.naive, style)
        self.stage4 = Stage(channels[:3], channels, third, plan.naive, style)
        self.iterative_head = IterativeHead(channels, style)
        self._finish(plan.width)

    def features(self, x: Tensor) -> Tensor:
        """Map ``[B, 3, H, W]`` to ``[B, width, H/4, W/4]``."""
        branches: list[Tensor] = [self.stem(x)]
        for stage in (self.stage2, self.stage3, self.stage4):
            branches = stage(branches)
        y: Tensor = self.iterative_head(branches)
        return y
