"""Define the return type of every keypoint network."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Output(NamedTuple):
    """Outputs of a network, all NCHW, in the floating dtype of the input."""

    hf: Tensor
    """High-resolution features that the heads read, ``[B, C, H/4, W/4]``, with C = 128 for edgehrnet18."""

    heatmaps: Tensor
    """One map per keypoint, ``[B, K, H/4, W/4]``, any real number.

    EdgeHRNet returns logits, whose sigmoid is in 0..1. The published networks return the activation itself, which is
    about 1 at a keypoint and 0 far from it.
    """

    offsets: Tensor | None
    """Offsets ``[B, 2K, H/4, W/4]`` in heatmap cells, or None if the network has no offset head.

    Channel 2k is dx and channel 2k + 1 is dy of keypoint k.
    """

    extras: dict[str, Tensor]
    """Outputs that options ask for, by name.

    - ``boundary`` (logits) and ``sdf``: ``[B, 1, H/4, W/4]``
    - ``p3_td``, ``p4_td``, ``p5``: ``[B, 128, H/s, W/s]`` with s = 8, 16, 32
    - ``aux_p3``, ``aux_p4`` (logits): ``[B, K, H/s, W/s]`` with s = 8, 16
    """
