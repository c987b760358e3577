"""Parameters and multiply-accumulates of a network, part by part."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgehrnet.models.blocks import Convolution
from edgehrnet.models.edgehrnet18 import IN_CHANNELS

TOTAL = "total"


@dataclass(frozen=True)
class Cost:
    """Parameters (biases and BN scales included) and MACs of the convolutions (biases not included)."""

    parameters: int = 0
    macs: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.parameters + other.parameters, self.macs + other.macs)


def count(net: nn.Module, size: tuple[int, int] = (256, 512)) -> dict[str, Cost]:
    """Cost of each child of ``net`` for one picture of ``size`` (height, width), and their ``total``.

    One MAC is one multiplication and one addition of a convolution; the fixed `Blur` runs as a
    convolution and counts. Normalisation, activations, sums, products with gates or fusion weights and
    interpolation do not count. Nothing is computed: the network is copied without its data, and ``net``
    stays as it is.

    Raises:
        InputError: from the network, for a size it does not accept.

    >>> from edgehrnet.models import create
    >>> count(create("edgehrnet18"))["stem"]
    Cost(parameters=20480, macs=189792256)
    """
    shadow = copy.deepcopy(net).to("meta").eval()
    macs = dict.fromkeys((name for name, _ in shadow.named_children()), 0)
    hooks = [
        layer.register_forward_hook(_adder(macs, part))
        for part, child in shadow.named_children()
        for layer in convolutions(child)
    ]
    with torch.no_grad():
        shadow(torch.zeros(1, IN_CHANNELS, *size, device="meta"))
    for hook in hooks:
        hook.remove()
    parts = {
        name: Cost(sum(p.numel() for p in child.parameters()), macs[name]) for name, child in shadow.named_children()
    }
    return {**parts, TOTAL: sum(parts.values(), Cost())}


def convolutions(net: nn.Module) -> list[Convolution | nn.Conv2d]:
    """Every convolution in ``net``, those inside a `Convolution` not twice."""
    units = [module for module in net.modules() if isinstance(module, Convolution)]
    inner = {id(part) for unit in units for part in unit.modules()}
    bare = [module for module in net.modules() if isinstance(module, nn.Conv2d) and id(module) not in inner]
    return [*units, *bare]


def _adder(macs: dict[str, int], part: str) -> Any:
    def add(layer: Convolution | nn.Conv2d, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        kernel = layer.weight if isinstance(layer, nn.Conv2d) else layer.folded()[0]
        # A kernel is [Co, Ci / groups, kh, kw]: what lies behind Co is the work for one output value.
        macs[part] += output.numel() * kernel[0].numel()

    return add
