"""Interpolate two checkpoints of the same network (weight averaging)."""

from __future__ import annotations

import torch

from edgehrnet.errors import InputError
from edgehrnet.models.checkpoints import Checkpoint
from edgehrnet.models.deploy.loading import HEADS, without_heads


def average(first: Checkpoint, second: Checkpoint, share: float) -> dict[str, torch.Tensor]:
    """Return the state that is ``share`` (0..1) of the way from the first checkpoint's to the second's.

    Integer tensors are the second's. Raises InputError for checkpoints of two networks, or another share.
    """
    if not 0 <= share <= 1:
        raise InputError(f"share={share}: between 0, all of the first checkpoint, and 1, all of the second")
    networks = [(c.variant, c.keypoints, c.options) for c in (first, second)]
    if networks[0] != networks[1]:
        raise InputError(f"two networks, {networks[0]} and {networks[1]}; averaged are checkpoints of one")
    return {
        name: torch.lerp(first.state[name].float(), end.float(), share) if end.is_floating_point() else end
        for name, end in second.state.items()
    }


def alike(first: Checkpoint, second: Checkpoint) -> tuple[Checkpoint, Checkpoint]:
    """Return both without the heads that one of the two lacks; a shipped checkpoint has fewer than its training had."""
    lacking = [head for head in HEADS if not (first.options.get(head) and second.options.get(head))]
    return without_heads(first, lacking), without_heads(second, lacking)
