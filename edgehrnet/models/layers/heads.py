"""Prediction heads on the high-resolution features, and auxiliary ones on the pyramid."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from edgehrnet.models.layers.blocks import ConvBNAct, Prediction
from edgehrnet.models.layers.style import Style

# sigmoid(-2.19) = 0.1: heatmaps are almost empty, so start by predicting little (Lin et al., focal loss,
# ICCV 2017), or the first steps only push the background down.
HEATMAP_BIAS = -2.19
PREDICTION_STD = 0.001


class Head(nn.Sequential):
    """1x1 with bias, ``[B, Ci, H, W]`` -> ``[B, Co, H, W]``; optionally a hidden 3x3 Ci -> 64 before it."""

    HIDDEN = 64

    def __init__(self, in_channels: int, out_channels: int, style: Style, hidden: bool) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if hidden:
            layers["hidden"] = ConvBNAct(in_channels, self.HIDDEN, 3, style)
            in_channels = self.HIDDEN
        layers["predict"] = Prediction(in_channels, out_channels)
        super().__init__(layers)

    def initialize(self, bias: float = 0.0) -> None:
        """Weights of the prediction N(0, 0.001), its bias constant."""
        predict = self.get_submodule("predict")
        nn.init.normal_(predict.get_parameter("weight"), 0.0, PREDICTION_STD)
        nn.init.constant_(predict.get_parameter("bias"), bias)


class Heads(nn.Module):
    """Heatmaps (logits), offsets (cells) and, on request, boundary (logits) and signed distance field.

    ``[B, C, h, w]`` -> a dict with ``heatmaps`` ``[B, K, h, w]``, ``offsets`` ``[B, 2K, h, w]`` and
    ``boundary``, ``sdf`` ``[B, 1, h, w]`` where present.
    """

    def __init__(self, channels: int, keypoints: int, style: Style, *, hidden: bool, boundary: bool, sdf: bool) -> None:
        super().__init__()
        self.heatmaps = Head(channels, keypoints, style, hidden)
        self.offsets = Head(channels, 2 * keypoints, style, hidden)
        self.boundary = Head(channels, 1, style, hidden) if boundary else None
        self.sdf = Head(channels, 1, style, hidden) if sdf else None

    def initialize(self) -> None:
        """Initialize the prediction layers: see `Head.initialize`."""
        self.heatmaps.initialize(HEATMAP_BIAS)
        for head in (self.offsets, self.boundary, self.sdf):
            if head is not None:
                head.initialize()

    def forward(self, hf: Tensor) -> dict[str, Tensor]:
        """The maps of all heads by name; see the class."""
        maps: dict[str, Tensor] = {"heatmaps": self.heatmaps(hf), "offsets": self.offsets(hf)}
        if self.boundary is not None:
            maps["boundary"] = self.boundary(hf)
        if self.sdf is not None:
            maps["sdf"] = self.sdf(hf)
        return maps


class AuxiliaryHeads(nn.Module):
    """Heatmap logits on the lower pyramid levels, for deep supervision: ``aux_p3``, ``aux_p4``."""

    def __init__(self, channels: int, keypoints: int, style: Style) -> None:
        super().__init__()
        self.p3 = Head(channels, keypoints, style, hidden=False)
        self.p4 = Head(channels, keypoints, style, hidden=False)

    def initialize(self) -> None:
        """Initialize the prediction layers: see `Head.initialize`."""
        self.p3.initialize(HEATMAP_BIAS)
        self.p4.initialize(HEATMAP_BIAS)

    def forward(self, p3_td: Tensor, p4_td: Tensor) -> dict[str, Tensor]:
        """``[B, C, H/8, W/8]`` and ``[B, C, H/16, W/16]`` -> ``aux_p3``, ``aux_p4`` with K channels."""
        return {"aux_p3": self.p3(p3_td), "aux_p4": self.p4(p4_td)}
