"""Base class of HRNet and Lite-HRNet: the head, the initialization and the options they share."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import torch
from torch import Tensor, nn

from edgehrnet.decoding.refiners import offset_radius
from edgehrnet.errors import InputError
from edgehrnet.models.layers.activations import checked_activations, exchange_activations
from edgehrnet.models.layers.base import KeypointNetwork, check_input
from edgehrnet.models.layers.heads import Head
from edgehrnet.models.layers.output import Output
from edgehrnet.models.layers.style import Style

RGB = 3
CONVOLUTION_STD = 0.001


@dataclass(frozen=True)
class PublishedOptions:
    """Options of an HRNet or a Lite-HRNet.

    Raises:
        InputError: An option has a value that is not accepted.
    """

    offsets: bool = False
    """Predict three channels per keypoint instead of one: heatmap, x offset and y offset.

    This is the "combined" head of UDP (Huang et al., CVPR 2020).
    """

    inplace: bool = True
    """Overwrite tensors where autograd allows it."""

    activations: dict[str, str] = field(default_factory=dict)
    """Other activation than ReLU of some modules, see `edgehrnet.models.networks.options.Options`."""

    def __post_init__(self) -> None:
        for option in fields(self):
            value = getattr(self, option.name)
            if option.name != "activations" and not isinstance(value, bool):
                raise InputError(f"{option.name}={value!r}: must be True or False")
        object.__setattr__(self, "activations", checked_activations(self.activations))

    @property
    def style(self) -> Style:
        """Choices shared by all blocks: ReLU."""
        return Style("relu", self.inplace)


class PublishedNetwork(KeypointNetwork):
    """Base class of networks that apply one 1x1 convolution with bias to features at a quarter of the resolution.

    The input is ``[B, 3, H, W]`` float: RGB in 0..1, minus ImageNet's mean, divided by its standard deviation, with H
    and W divisible by 32. The output is `Output`.

    Args:
        keypoints: Number K of keypoints, at least 1.
        options: Options of the network.

    Raises:
        InputError: ``keypoints`` is not accepted, or the input of ``forward`` has another shape or dtype.
    """

    head: Head

    def __init__(self, keypoints: int, options: PublishedOptions) -> None:
        super().__init__(keypoints, RGB, gives_offsets=options.offsets)
        self.options = options

    def features(self, x: Tensor) -> Tensor:
        """Map ``[B, 3, H, W]`` to ``[B, C, H/4, W/4]``."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Output:
        """Run the network on ``[B, 3, H, W]`` float."""
        check_input(x, self.in_channels)
        hf = self.features(x)
        maps: Tensor = self.head(hf)
        if not self.gives_offsets:
            return Output(hf, maps, None, {})
        cells = offset_radius((maps.shape[2], maps.shape[3]))
        by_keypoint = torch.unflatten(maps, 1, (self.keypoints, 3))
        return Output(hf, by_keypoint[:, :, 0], by_keypoint[:, :, 1:].flatten(1, 2) * cells, {})

    def _finish(self, channels: int) -> None:
        """Add the head on features with ``channels`` channels, exchange activations, and initialize as published.

        Convolutions are N(0, 0.001) and biases 0. BN starts with scale 1 and shift 0.
        """
        outputs = 3 * self.keypoints if self.gives_offsets else self.keypoints
        self.head = Head(channels, outputs, self.options.style, hidden=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, CONVOLUTION_STD)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.head.initialize()
        exchange_activations(self, self.options.activations)
