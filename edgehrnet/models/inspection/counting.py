"""Parameters and multiply-accumulates of a network, part by part; and how published tables count.

`count` gives MACs of convolutions, each run once. What the HRNets' tables call FLOPs, they do not agree on:

* HRNet's README: `count`, over 2^30 (W32 at 256x192: 7,645,003,776 / 2^30 = 7.1 G).
* Lite-HRNet's README: `torchstat`, over 2^20 (Lite-HRNet-18 at 256x192: 215,202,112 / 2^20 = 205.2 M). The paper
  divides that by 1024 once more (0.20 G).
* What Lite-HRNet's own code executes is more than `count`: it runs every path down from branch 0 twice, to add up the
  same result twice (242.3 M in place of 198.6 M).
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from edgehrnet.models.layers.base import KeypointNetwork
from edgehrnet.models.layers.blocks import ConvBNAct, Convolution
from edgehrnet.models.networks.litehrnet import Fusion
from edgehrnet.models.networks.litehrnet_blocks import SpatialWeighting

TOTAL = "total"


@dataclass(frozen=True)
class Cost:
    """Parameters (biases and BN scales included) and MACs of the convolutions (biases not included)."""

    parameters: int = 0
    macs: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.parameters + other.parameters, self.macs + other.macs)


def count(net: KeypointNetwork, size: tuple[int, int] = (256, 512)) -> dict[str, Cost]:
    """Cost of each child of ``net`` for one picture of ``size`` (height, width), and their ``total``.

    One MAC is one multiplication and one addition of a convolution; the fixed `Blur` runs as a
    convolution and counts. Normalization, activations, sums, products with gates or fusion weights and
    interpolation do not count. Nothing is computed: the network is copied without its data, and ``net``
    stays as it is.

    Raises:
        InputError: from the network, for a size it does not accept.

    >>> from edgehrnet.models import create
    >>> count(create("edgehrnet18"))["stem"]
    Cost(parameters=20480, macs=189792256)
    """
    shadow = _shadow(net)
    macs = dict.fromkeys((name for name, _ in shadow.named_children()), 0)
    hooks = [
        layer.register_forward_hook(_adder(macs, part))
        for part, child in shadow.named_children()
        for layer in convolutions(child)
    ]
    _run(shadow, size)
    for hook in hooks:
        hook.remove()
    parts = {
        name: Cost(sum(p.numel() for p in child.parameters()), macs[name]) for name, child in shadow.named_children()
    }
    return {**parts, TOTAL: sum(parts.values(), Cost())}


def torchstat(net: KeypointNetwork, size: tuple[int, int] = (256, 192)) -> int:
    """What Lite-HRNet's README counts for a picture of ``size`` (height, width), before it is divided by 2^20.

    For networks of that family. MACs and the additions of biases; 2 for each value that a BN reads, 1 for each that a
    ReLU reads; for a mean over a map of C channels, C (H + 1) (W + 1); for a nearest interpolation in a fusion, H W,
    without the channels. Sums, products, sigmoids and all that the published code calls as a function are free. A
    module that is called several times counts once, at its last call: the published fusions have one ReLU for all
    branches.

    Raises:
        InputError: from the network, for a size it does not accept.

    >>> from edgehrnet.models import create
    >>> round(torchstat(create("litehrnet18")) / 2**20, 1)
    205.2
    """
    total = 0

    def add(module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> None:
        nonlocal total
        total += _torchstat_of(module, output)

    shadow = _shadow(net)
    for module in shadow.modules():
        module.register_forward_hook(add)
    _run(shadow, size)
    return total


def _torchstat_of(module: nn.Module, output: Any) -> int:
    """The share of one module, without its children's."""
    if isinstance(module, Convolution):
        # A convolution has either a BN or, as do a gate's and the last one, a bias.
        extra = 2 if isinstance(module, ConvBNAct) and isinstance(module.bn, nn.BatchNorm2d) else 1
        return int(output.numel()) * (_work(module) + extra + isinstance(module.act, nn.ReLU))
    if isinstance(module, nn.Upsample) and module.mode == "nearest":
        return int(output[0, 0].numel())
    if isinstance(module, SpatialWeighting):
        _, channels, height, width = output.shape
        return int(channels * (height + 1) * (width + 1))
    return int(output[-1].numel()) if isinstance(module, Fusion) else 0


def _shadow(net: KeypointNetwork) -> KeypointNetwork:
    """A copy without data, in eval mode."""
    return copy.deepcopy(net).to("meta").eval()


def _run(shadow: KeypointNetwork, size: tuple[int, int]) -> None:
    with torch.no_grad():
        shadow(torch.zeros(1, shadow.in_channels, *size, device="meta"))


def convolutions(net: nn.Module) -> list[Convolution | nn.Conv2d]:
    """Every convolution in ``net``, those inside a `Convolution` not twice."""
    units = [module for module in net.modules() if isinstance(module, Convolution)]
    inner = {id(part) for unit in units for part in unit.modules()}
    bare = [module for module in net.modules() if isinstance(module, nn.Conv2d) and id(module) not in inner]
    return [*units, *bare]


def _adder(macs: dict[str, int], part: str) -> Any:
    def add(layer: Convolution | nn.Conv2d, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        macs[part] += output.numel() * _work(layer)

    return add


def _work(layer: Convolution | nn.Conv2d) -> int:
    """MACs for one output value: a kernel is [Co, Ci / groups, kh, kw], and what lies behind Co is the work."""
    part = layer.conv if isinstance(layer, ConvBNAct) else layer
    kernel = part.weight if isinstance(part, nn.Conv2d) else part.folded()[0]
    return int(kernel[0].numel())
