"""What all keypoint networks have in common: how many channels go in, what comes out, and which input is refused."""

from __future__ import annotations

from torch import Tensor, nn

from edgehrnet.errors import InputError
from edgehrnet.picture.letterbox import check_input_size

CONTENT = {3: "RGB", 4: "RGB + mask"}


class KeypointNetwork(nn.Module):
    """A network from ``[B, in_channels, H, W]`` float, H and W divisible by 32, to `Output`.

    Attributes:
        keypoints: K, the number of heatmaps.
        in_channels: 3 (RGB) or 4 (RGB and a mask: 1 = picture, 0 = padding).
        gives_offsets: whether ``Output.offsets`` is a tensor.
        extra_outputs: the names that ``Output.extras`` holds, in order.
        head_convolutions: those whose output leaves the network and that lie in no `Head`, by module name.

    Raises:
        InputError: K is no whole number of at least 1.
    """

    def __init__(
        self, keypoints: int, in_channels: int, *, gives_offsets: bool, extra_outputs: tuple[str, ...] = ()
    ) -> None:
        super().__init__()
        if isinstance(keypoints, bool) or not isinstance(keypoints, int) or keypoints < 1:
            raise InputError(f"keypoints is a whole number of at least 1, not {keypoints!r}")
        self.keypoints = keypoints
        self.in_channels = in_channels
        self.gives_offsets = gives_offsets
        self.extra_outputs = extra_outputs
        self.head_convolutions: frozenset[str] = frozenset()


def check_input(x: Tensor, channels: int) -> None:
    """Accept ``[B, channels, H, W]`` float with H and W divisible by 32.

    Raises:
        InputError: names what was given and the nearest sizes that are accepted.

    >>> import torch
    >>> check_input(torch.zeros(1, 4, 250, 512), 4)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    edgehrnet.errors.InputError: input size 250x512 (height x width): ... the nearest are 224x512 and 256x512
    """
    if x.dim() != 4 or x.shape[1] != channels:
        raise InputError(f"the input is [B, {channels}, H, W] ({CONTENT[channels]}), not {list(x.shape)}")
    if not x.is_floating_point():
        raise InputError(f"the input is floating point, scaled to 0..1, not {x.dtype}")
    check_input_size((int(x.shape[2]), int(x.shape[3])))
