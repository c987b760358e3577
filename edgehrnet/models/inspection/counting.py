"""Count parameters and multiply-accumulates (MACs) of a network.

`count` counts the MACs of convolutions, each run once. The tables of the published networks call their counts FLOPs,
and count in different ways:

* HRNet's README has the same count divided by 2^30. For W32 at 256x192, 7,645,003,776 / 2^30 = 7.1 G.
* Lite-HRNet's README also counts biases, BN, ReLU and more, and divides by 2^20. For Lite-HRNet-18 at 256x192 it has
  205.2 M, where `count` gives 198.6 M MACs. The paper divides by 1024 once more (0.20 G).
* Lite-HRNet's code executes 242.3 M MACs, because it runs every path down from branch 0 twice and adds the equal
  results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edgehrnet.models.inspection.components import meta_copy
from edgehrnet.models.layers.base import KeypointNetwork
from edgehrnet.models.layers.blocks import Convolution

TOTAL = "total"


@dataclass(frozen=True)
class Cost:
    """Parameters and MACs of a network or of a part of it."""

    parameters: int = 0
    """Number of parameters, including biases and BN."""

    macs: int = 0
    """Multiply-accumulates of the convolutions, without biases."""

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.parameters + other.parameters, self.macs + other.macs)


def count(net: KeypointNetwork, size: tuple[int, int] = (256, 512)) -> dict[str, Cost]:
    """Return the cost of each child of a network for one picture, and their ``total``.

    One MAC is one multiplication and one addition of a convolution. The fixed `Blur` counts, because it runs as a
    convolution. Normalization, activations, sums, products with gates or fusion weights and interpolation do not count.
    No values are computed, and ``net`` is not changed.

    Args:
        net: The network.
        size: (height, width) of the input.

    Raises:
        InputError: The network does not accept this size.

    >>> from edgehrnet.models import create
    >>> count(create("edgehrnet18"))["stem"]
    Cost(parameters=20480, macs=189792256)
    """
    traced = meta_copy(net)
    macs = dict.fromkeys((name for name, _ in traced.named_children()), 0)
    for name, child in traced.named_children():
        for layer in convolutions(child):
            layer.register_forward_hook(_adder(macs, name))
    with torch.no_grad():
        traced(torch.zeros(1, net.in_channels, *size, device="meta"))
    costs = {name: Cost(sum(p.numel() for p in child.parameters()), macs[name]) for name, child in net.named_children()}
    return {**costs, TOTAL: sum(costs.values(), Cost())}


def convolutions(net: nn.Module) -> list[Convolution | nn.Conv2d]:
    """Return every `Convolution` in a network, and every other ``nn.Conv2d`` that is not inside of one."""
    units = [module for module in net.modules() if isinstance(module, Convolution)]
    inner = {id(module) for unit in units for module in unit.modules()}
    bare = [module for module in net.modules() if isinstance(module, nn.Conv2d) and id(module) not in inner]
    return [*units, *bare]


def kernel_of(layer: nn.Module) -> Tensor:
    """Return the weights ``[Co, Ci / groups, kh, kw]`` of one of the `convolutions`.

    One output value takes as many MACs as there are weights per output channel.
    """
    return layer.folded()[0] if isinstance(layer, Convolution) else layer.get_parameter("weight")


def _adder(macs: dict[str, int], name: str) -> Callable[..., None]:
    def add(layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        macs[name] += output.numel() * kernel_of(layer)[0].numel()

    return add
