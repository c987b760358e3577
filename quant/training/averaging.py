"""Average the weights of a network: along a training run, or between two checkpoints."""

from __future__ import annotations

import copy

import torch
from torch import nn

from edgehrnet.errors import InputError
from edgehrnet.models.checkpoints import Checkpoint
from edgehrnet.models.deploy.loading import HEADS, without_heads


class Ema:
    """An exponential moving average of a network's float tensors (Polyak averaging)."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move towards the network. Early steps move farther, so that the random start is soon forgotten."""
        rate = 1 - min(self.decay, (1 + step) / (10 + step))
        for slow, fast in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            if slow.dtype.is_floating_point:
                slow.lerp_(fast, rate)
            else:
                slow.copy_(fast)


def average(first: Checkpoint, second: Checkpoint, share: float) -> dict[str, torch.Tensor]:
    """Return the weighted mean of two state dicts.

    Args:
        first: checkpoint with weight ``1 - share``.
        second: checkpoint with weight ``share``. Integer tensors are copied from it.
        share: weight of the second checkpoint, in 0..1.

    Raises:
        InputError: the checkpoints are of different networks, or ``share`` is outside 0..1.
    """
    if not 0 <= share <= 1:
        raise InputError(f"share={share} is outside 0..1; 0 is the first checkpoint, and 1 is the second")
    networks = [(c.variant, c.keypoints, c.options) for c in (first, second)]
    if networks[0] != networks[1]:
        raise InputError(f"cannot average checkpoints of different networks: {networks[0]} and {networks[1]}")
    return {
        name: torch.lerp(first.state[name].float(), end.float(), share) if end.is_floating_point() else end
        for name, end in second.state.items()
    }


def with_common_heads(first: Checkpoint, second: Checkpoint) -> tuple[Checkpoint, Checkpoint]:
    """Return both checkpoints without heads that only one of them has.

    A shipped checkpoint has fewer heads than the one it was trained as.
    """
    lacking = [head for head in HEADS if not (first.options.get(head) and second.options.get(head))]
    return without_heads(first, lacking), without_heads(second, lacking)
