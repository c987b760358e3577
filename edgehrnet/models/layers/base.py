"""Base class of all keypoint networks, and the check of their input."""

from __future__ import annotations

from torch import Tensor, nn

from edgehrnet.errors import InputError
from edgehrnet.picture.letterbox import check_input_size

CONTENT = {3: "RGB", 4: "RGB + mask"}


class KeypointNetwork(nn.Module):
    """Base class of networks that map ``[B, in_channels, H, W]`` float to `Output`, H and W divisible by 32.

    Raises:
        InputError: ``keypoints`` is not a whole number of at least 1.
    """

    keypoints: int
    """Number K of keypoints, one heatmap each."""

    in_channels: int
    """3 (RGB) or 4 (RGB and a mask: 1 = picture, 0 = padding)."""

    gives_offsets: bool
    """True if ``Output.offsets`` is a tensor, False if it is None."""

    extra_outputs: tuple[str, ...]
    """Names in ``Output.extras``, in order."""

    head_convolutions: frozenset[str]
    """Module names of convolutions that produce network outputs and are not part of a `Head`."""

    trace_size: tuple[int, int] | None
    """The only input size (height, width) at which the network is known to run. None if there are many."""

    def __init__(
        self, keypoints: int, in_channels: int, *, gives_offsets: bool, extra_outputs: tuple[str, ...] = ()
    ) -> None:
        super().__init__()
        if isinstance(keypoints, bool) or not isinstance(keypoints, int) or keypoints < 1:
            raise InputError(f"keypoints={keypoints!r}: must be a whole number of at least 1")
        self.keypoints = keypoints
        self.in_channels = in_channels
        self.gives_offsets = gives_offsets
        self.extra_outputs = extra_outputs
        self.head_convolutions = frozenset()
        self.trace_size = None


def check_input(x: Tensor, channels: int) -> None:
    """Check that ``x`` is ``[B, channels, H, W]`` float with H and W divisible by 32.

    Raises:
        InputError: ``x`` has another shape or dtype. The message names the nearest sizes that are accepted.

    >>> import torch
    >>> check_input(torch.zeros(1, 4, 250, 512), 4)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    edgehrnet.errors.InputError: input size 250x512 (height x width): ... the nearest are 224x512 and 256x512
    """
    if x.dim() != 4 or x.shape[1] != channels:
        raise InputError(f"the input has shape {list(x.shape)}; expected [B, {channels}, H, W] ({CONTENT[channels]})")
    if not x.is_floating_point():
        raise InputError(f"the input has dtype {x.dtype}; expected floating point, scaled to 0..1")
    check_input_size((int(x.shape[2]), int(x.shape[3])))
