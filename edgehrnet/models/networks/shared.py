"""The end that HRNet and Lite-HRNet share: one 1x1 convolution on the high-resolution features, linear heights."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from edgehrnet.decoding.refiners import offset_radius
from edgehrnet.errors import InputError
from edgehrnet.models.layers.base import KeypointNetwork, check_input
from edgehrnet.models.layers.heads import Head
from edgehrnet.models.layers.output import Output
from edgehrnet.models.layers.style import Style

RGB = 3
CONVOLUTION_STD = 0.001


@dataclass(frozen=True)
class PublishedOptions:
    """What can be chosen about a Lite-HRNet, and the start of what can be about an HRNet.

    Attributes:
        offsets: three channels for each keypoint in place of one, height and x and y offset (UDP's "combined" head).
        inplace: overwrite tensors where autograd allows it.

    Raises:
        InputError: a value is not one of the accepted ones.
    """

    offsets: bool = False
    inplace: bool = True

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, bool) and not isinstance(value, bool):
                raise InputError(f"{field.name} is True or False, not {value!r}")

    @property
    def style(self) -> Style:
        """The choices shared by all blocks: ReLU."""
        return Style("relu", self.inplace)


class PublishedNetwork(KeypointNetwork):
    """``[B, 3, H, W]`` float -> features of a quarter of the resolution -> one 1x1 with bias -> `Output`.

    The input is RGB in 0..1, less ImageNet's mean, divided by its standard deviation; H and W divisible by 32.

    Args:
        keypoints: K, at least 1.
        options: see `PublishedOptions`.

    Raises:
        InputError: from the constructor for an impossible K, from ``forward`` for an input of another shape or dtype.
    """

    head: Head

    def __init__(self, keypoints: int, options: PublishedOptions) -> None:
        super().__init__(keypoints, RGB, gives_offsets=options.offsets)
        self.options = options

    def features(self, x: Tensor) -> Tensor:
        """``[B, 3, H, W]`` -> ``[B, C, H/4, W/4]``."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Output:
        """``[B, 3, H, W]`` float -> `Output`; see the class."""
        check_input(x, self.in_channels)
        hf = self.features(x)
        maps: Tensor = self.head(hf)
        if not self.gives_offsets:
            return Output(hf, maps, None, {})
        cells = offset_radius((maps.shape[2], maps.shape[3]))
        by_keypoint = torch.unflatten(maps, 1, (self.keypoints, 3))
        return Output(hf, by_keypoint[:, :, 0], by_keypoint[:, :, 1:].flatten(1, 2) * cells, {})

    def _finish(self, channels: int) -> None:
        """Add the head, on features of so many channels, and initialize as published.

        Convolutions N(0, 0.001), biases 0; BN is 1 and 0 from the start.
        """
        outputs = 3 * self.keypoints if self.gives_offsets else self.keypoints
        self.head = Head(channels, outputs, self.options.style, hidden=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, 0.0, CONVOLUTION_STD)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.head.initialize()
