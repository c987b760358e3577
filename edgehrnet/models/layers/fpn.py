"""Merge four resolutions in one top-down pass: LiteFPN, after Lin et al., FPN, CVPR 2017, section 3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor, nn

from edgehrnet.models.layers.blocks import ConvBNAct, smooth, upsample
from edgehrnet.models.layers.fusion import Concatenate, Fuse
from edgehrnet.models.layers.style import Style

METHODS = ("A", "B")
SMOOTH_GAMMA = 0.9


class Pyramid(NamedTuple):
    """Outputs of `LiteFPN`. The suffix ``td`` stands for top-down."""

    hf: Tensor
    """High-resolution features ``[B, 128, H/4, W/4]``, which the heads read."""

    p3_td: Tensor
    """Map ``[B, 128, H/8, W/8]`` of the top-down pass."""

    p4_td: Tensor
    """Map ``[B, 128, H/16, W/16]`` of the top-down pass."""

    p5: Tensor
    """Output ``[B, 128, H/32, W/32]`` of the lateral convolution, before smoothing."""


class LiteFPN(nn.Module):
    """Merge four branches into a feature pyramid, from the lowest resolution up.

    A 1x1 convolution, called lateral, first brings each branch to the same number of channels. Its outputs are Hr, P3,
    P4 and P5. S is a 3x3 convolution and Up2 an upsampling by 2::

        P5s   = S5(P5)
        P4_td = S4(fuse(Up2(P5s), P4))
        P3_td = S3(fuse(Up2(P4_td), P3))
        Hf    = S2(fuse(Up2(P3_td), Hr))

    Method B concatenates the two maps in the last line instead of fusing them, without gates. S2 then maps 256 channels
    to 128.

    Args:
        in_channels: Channels of the four branches, highest resolution first.
        method: ``A`` or ``B``.
        fuse: ``add`` or ``weighted``, see `fusion.Fuse`.
        gate: ``none``, ``se`` or ``coord``, see `fusion.Fuse`.
        style: Activation and in-place choice.
        channels: Channels of all outputs.
    """

    def __init__(
        self, in_channels: Sequence[int], method: str, fuse: str, gate: str, style: Style, channels: int = 128
    ) -> None:
        super().__init__()
        c2, c3, c4, c5 = in_channels
        self.lateral2 = ConvBNAct(c2, channels, 1, style.linear)
        self.lateral3 = ConvBNAct(c3, channels, 1, style.linear)
        self.lateral4 = ConvBNAct(c4, channels, 1, style.linear)
        self.lateral5 = ConvBNAct(c5, channels, 1, style.linear)
        # One module per tensor, so that each can have its own quantizer.
        self.up4, self.up3, self.up2 = upsample(2), upsample(2), upsample(2)
        self.smooth5 = smooth(channels, style)
        self.fuse4 = Fuse(channels, fuse, gate, style.inplace)
        self.smooth4 = smooth(channels, style)
        self.fuse3 = Fuse(channels, fuse, gate, style.inplace)
        self.smooth3 = smooth(channels, style)
        self.fuse2: nn.Module
        if method == "B":
            self.fuse2 = Concatenate()
            self.smooth2 = ConvBNAct(2 * channels, channels, 3, style)
        else:
            self.fuse2 = Fuse(channels, fuse, gate, style.inplace)
            self.smooth2 = smooth(channels, style)
        # Each of these three takes a sum, so the top-down pass starts with a smaller scale.
        for layer in (self.smooth4, self.smooth3, self.smooth2):
            nn.init.constant_(layer.get_submodule("bn").get_parameter("weight"), SMOOTH_GAMMA)

    def forward(self, b1: Tensor, b2: Tensor, b3: Tensor, b4: Tensor) -> Pyramid:
        """Map the four branches, highest resolution first, to a `Pyramid`."""
        hr, p3, p4, p5 = self.lateral2(b1), self.lateral3(b2), self.lateral4(b3), self.lateral5(b4)
        p5s = self.smooth5(p5)
        p4_td = self.smooth4(self.fuse4(self.up4(p5s), p4))
        p3_td = self.smooth3(self.fuse3(self.up3(p4_td), p3))
        hf = self.smooth2(self.fuse2(self.up2(p3_td), hr))
        return Pyramid(hf, p3_td, p4_td, p5)
