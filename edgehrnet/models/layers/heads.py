"""Predict maps from the high-resolution features (hf), and with auxiliary heads from lower pyramid levels."""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from edgehrnet.models.layers.blocks import ConvBNAct, Prediction
from edgehrnet.models.layers.style import Style

# sigmoid(-2.19) = 0.1. Heatmaps are almost empty, so the initial prediction is low (Lin et al., focal loss, ICCV 2017,
# section 3.3). Otherwise the first training steps only lower the background.
HEATMAP_BIAS = -2.19
PREDICTION_STD = 0.001


class Head(nn.Sequential):
    """A 1x1 convolution with bias, ``[B, Ci, H, W]`` -> ``[B, Co, H, W]``.

    With ``hidden``, a 3x3 convolution to 64 channels comes before it.
    """

    HIDDEN = 64

    def __init__(self, in_channels: int, out_channels: int, style: Style, hidden: bool) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if hidden:
            layers["hidden"] = ConvBNAct(in_channels, self.HIDDEN, 3, style)
            in_channels = self.HIDDEN
        layers["predict"] = Prediction(in_channels, out_channels)
        super().__init__(layers)

    def initialize(self, bias: float = 0.0) -> None:
        """Initialize the weights of the prediction layer to N(0, 0.001) and its bias to ``bias``."""
        predict = self.get_submodule("predict")
        nn.init.normal_(predict.get_parameter("weight"), 0.0, PREDICTION_STD)
        nn.init.constant_(predict.get_parameter("bias"), bias)


class Heads(nn.Module):
    """Predict heatmaps (logits), offsets (cells) and optionally a boundary (logits) and a signed distance field (sdf).

    Args:
        channels: Channels of the features.
        keypoints: Number K of keypoints.
        style: Activation and in-place choice.
        hidden: Add a hidden layer to every head, see `Head`.
        boundary: Add the boundary head.
        sdf: Add the head of the signed distance field.
    """

    def __init__(self, channels: int, keypoints: int, style: Style, *, hidden: bool, boundary: bool, sdf: bool) -> None:
        super().__init__()
        self.heatmaps = Head(channels, keypoints, style, hidden)
        self.offsets = Head(channels, 2 * keypoints, style, hidden)
        self.boundary = Head(channels, 1, style, hidden) if boundary else None
        self.sdf = Head(channels, 1, style, hidden) if sdf else None

    def initialize(self) -> None:
        """Initialize the prediction layers, see `Head.initialize`."""
        self.heatmaps.initialize(HEATMAP_BIAS)
        for head in (self.offsets, self.boundary, self.sdf):
            if head is not None:
                head.initialize()

    def forward(self, hf: Tensor) -> dict[str, Tensor]:
        """Map features ``[B, C, h, w]`` to the maps of all heads by name.

        Returns:
            ``heatmaps`` ``[B, K, h, w]``, ``offsets`` ``[B, 2K, h, w]``, and ``boundary`` and ``sdf``
            ``[B, 1, h, w]`` if the network has these heads.
        """
        maps: dict[str, Tensor] = {"heatmaps": self.heatmaps(hf), "offsets": self.offsets(hf)}
        if self.boundary is not None:
            maps["boundary"] = self.boundary(hf)
        if self.sdf is not None:
            maps["sdf"] = self.sdf(hf)
        return maps


class AuxiliaryHeads(nn.Module):
    """Heatmap heads on the lower pyramid levels, for deep supervision during training."""

    def __init__(self, channels: int, keypoints: int, style: Style) -> None:
        super().__init__()
        self.p3 = Head(channels, keypoints, style, hidden=False)
        self.p4 = Head(channels, keypoints, style, hidden=False)

    def initialize(self) -> None:
        """Initialize the prediction layers, see `Head.initialize`."""
        self.p3.initialize(HEATMAP_BIAS)
        self.p4.initialize(HEATMAP_BIAS)

    def forward(self, p3_td: Tensor, p4_td: Tensor) -> dict[str, Tensor]:
        """Map ``[B, C, H/8, W/8]`` and ``[B, C, H/16, W/16]`` to logits ``aux_p3`` and ``aux_p4`` with K channels."""
        return {"aux_p3": self.p3(p3_td), "aux_p4": self.p4(p4_td)}
