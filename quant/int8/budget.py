"""Choose sites to leave in float, so that a share of the multiply-accumulates (MACs) at most runs in float."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from edgehrnet.models.layers.blocks import Convolution
from edgehrnet.spec import ModelSpec

MINOR = 0.01  # share of the noise below which a site is not worth leaving in float


def within_budget(
    noise: Mapping[str, float],
    readers: Mapping[str, Sequence[str]],
    macs: Mapping[str, int],
    total: int,
    budget: float,
) -> list[str]:
    """Choose sites to leave in float, noisiest first, whose convolutions have at most a share of the MACs.

    Args:
        noise: Noise power of each site.
        readers: Convolutions that read each site, and then run in float too.
        macs: MACs of each convolution.
        total: MACs of the network.
        budget: Share of ``total``, 0..1.

    >>> within_budget({"a": 8, "b": 4, "c": 2}, {"a": "x", "b": "y", "c": "z"}, {"x": 9, "y": 2, "z": 3}, 100, 0.05)
    ['b', 'c']
    """
    chosen, left = [], budget * total
    for site in sorted(noise, key=lambda name: -noise[name]):
        cost = sum(macs[name] for name in readers[site])
        if noise[site] >= MINOR * sum(noise.values()) and cost <= left:
            chosen.append(site)
            left -= cost
    return chosen


def multiply_accumulates(network: nn.Module, spec: ModelSpec) -> tuple[dict[str, int], int]:
    """Return the MACs of each `Convolution` by its name, and of the whole network, for one input of the spec's size."""
    network, found = copy.deepcopy(network), dict[str, int]()

    def count(name: str, module: nn.Module, _inputs: object, output: Tensor) -> None:
        assert isinstance(module, Convolution)
        found[name] = output[0].numel() * module.folded()[0][0].numel()

    for name, module in network.named_modules():
        if isinstance(module, Convolution):
            module.register_forward_hook(partial(count, name))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.zeros(1, spec.channels, *spec.input_size))
    return found, counter.get_total_flops() // 2
