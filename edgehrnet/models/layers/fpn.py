"""LiteFPN: one top-down pass over the four resolutions (after Lin et al., FPN, CVPR 2017)."""

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
    """The maps of `LiteFPN`, ``[B, 128, H/s, W/s]`` with s = 4, 8, 16, 32; ``p5`` is the bare lateral."""

    hf: Tensor
    p3_td: Tensor
    p4_td: Tensor
    p5: Tensor


class LiteFPN(nn.Module):
    """Lateral 1x1, then from the lowest resolution up: upsample, fuse, smooth.

    ``P5s = S5(P5)``, ``P4_td = S4(fuse(Up2(P5s), P4))``, ``P3_td = S3(fuse(Up2(P4_td), P3))``, and
    ``Hf = S2(fuse(Up2(P3_td), Hr))`` (method A) or, in method B, S2 is a 3x3 256 -> 128 on the
    concatenation of both, which is neither added nor weighted and therefore not gated.

    Args:
        in_channels: of the four branches, highest resolution first.
        method: one of `METHODS`.
        fuse: ``add`` or ``weighted``.
        gate: ``none``, ``se`` or ``coord``.
        style: activation and in-place choice.
        channels: of all outputs.
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
        # One for each tensor, lest a quantizer of one of them serve three.
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
        # The top-down pass starts a little damped: each of these three receives a sum.
        for layer in (self.smooth4, self.smooth3, self.smooth2):
            nn.init.constant_(layer.get_submodule("bn").get_parameter("weight"), SMOOTH_GAMMA)

    def forward(self, b1: Tensor, b2: Tensor, b3: Tensor, b4: Tensor) -> Pyramid:
        """The four branches, highest resolution first -> `Pyramid`."""
        hr, p3, p4, p5 = self.lateral2(b1), self.lateral3(b2), self.lateral4(b3), self.lateral5(b4)
        p5s = self.smooth5(p5)
        p4_td = self.smooth4(self.fuse4(self.up4(p5s), p4))
        p3_td = self.smooth3(self.fuse3(self.up3(p4_td), p3))
        hf = self.smooth2(self.fuse2(self.up2(p3_td), hr))
        return Pyramid(hf, p3_td, p4_td, p5)
