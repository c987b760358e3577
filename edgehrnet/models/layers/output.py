"""What every keypoint network of the package returns."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Output(NamedTuple):
    """Outputs of a network, all NCHW, in the floating dtype of the input.

    Attributes:
        hf: the high-resolution features that the last layer reads, ``[B, C, H/4, W/4]`` (C = 128 for edgehrnet18).
        heatmaps: one map per keypoint, ``[B, K, H/4, W/4]``, any real number: logits in EdgeHRNet (sigmoid gives
            0..1), in the published networks heights already (1 at a keypoint, 0 far from it).
        offsets: ``[B, 2K, H/4, W/4]`` in heatmap cells, channel 2k = dx and 2k + 1 = dy of keypoint k;
            None where a network has no offset head.
        extras: what was asked for on top, by name: ``boundary`` (logits) and ``sdf``
            ``[B, 1, H/4, W/4]``; ``p3_td``, ``p4_td``, ``p5`` ``[B, 128, H/s, W/s]`` with s = 8, 16, 32;
            ``aux_p3``, ``aux_p4`` ``[B, K, H/s, W/s]`` (logits) with s = 8, 16.
    """

    hf: Tensor
    heatmaps: Tensor
    offsets: Tensor | None
    extras: dict[str, Tensor]
