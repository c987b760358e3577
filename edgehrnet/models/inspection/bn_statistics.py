"""Statistics of BatchNorm that look wrong, what that usually means, and in which layer it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

# A channel whose variance is below BN's eps is scaled by eps rather than by what it is like.
TINY_VARIANCE = 1e-5
# Deviations between zero and the mean. 30 of them cost 5 of the 11 bits that float16 has.
FAR_MEAN = 30.0
# Against 1, where every scale starts; weight decay takes what is not needed to 1e-6 and below.
DEAD_SCALE = 1e-4


@dataclass(frozen=True)
class Finding:
    """Something that looks wrong in the statistics of one BN.

    Attributes:
        layer: the BN's name in the network.
        statistic: which one, and what about it.
        channels: how many are affected.
        of: how many there are.
        worst: the value that is farthest off, not a number where that is the finding.
        meaning: what it usually means.
    """

    layer: str
    statistic: str
    channels: int
    of: int
    worst: float
    meaning: str


@dataclass(frozen=True)
class _Values:
    """Of one BN, each ``[C]`` in float64."""

    mean: Tensor
    variance: Tensor
    scale: Tensor
    shift: Tensor
    eps: float

    @property
    def distance(self) -> Tensor:
        """The mean, in deviations; 0 where it makes no sense."""
        distance = self.mean.abs() / torch.sqrt(self.variance.clamp(min=0) + self.eps)
        # Without variation, BN's eps is all there is to measure by, and the variance is reported already.
        return torch.where(self.variance >= TINY_VARIANCE, distance, torch.zeros_like(distance))


@dataclass(frozen=True)
class _Check:
    """``values``: what is looked at, ``[C]``; ``wrong``: where it is; ``worst``: which of the wrong ones is named."""

    statistic: str
    values: Callable[[_Values], Tensor]
    wrong: Callable[[Tensor], Tensor]
    worst: Callable[[Tensor], Tensor]
    meaning: str


_BROKEN = "training diverged, or the file is damaged; every output that depends on it is lost"
CHECKS: tuple[_Check, ...] = (
    *(
        _Check(f"{name} is not finite", look, lambda v: ~v.isfinite(), lambda v: v[0], _BROKEN)
        for name, look in (
            ("mean", lambda bn: bn.mean),
            ("variance", lambda bn: bn.variance),
            ("scale", lambda bn: bn.scale),
            ("shift", lambda bn: bn.shift),
        )
    ),
    _Check(
        "variance is below 0",
        lambda bn: bn.variance,
        lambda v: v < 0,
        torch.min,
        "the file is damaged, or was averaged with weights that do not sum to 1",
    ),
    _Check(
        "variance is 0",
        lambda bn: bn.variance,
        lambda v: v == 0,
        torch.min,
        "the convolution before gives one value everywhere: its weights are 0, or its input is; or float16 lost it",
    ),
    _Check(
        f"variance is below {TINY_VARIANCE:g}",
        lambda bn: bn.variance,
        lambda v: (v > 0) & (v < TINY_VARIANCE),
        torch.min,
        "hardly anything arrives: BN's eps sets the gain, up to 316, and noise or rounding is blown up with it",
    ),
    _Check(
        f"mean is over {FAR_MEAN:g} deviations from 0",
        lambda bn: bn.distance,
        lambda v: v > FAR_MEAN,
        torch.max,
        "almost constant on a large pedestal: float16 and int8 spend their digits on what BN subtracts",
    ),
    _Check(
        f"scale is below {DEAD_SCALE:g}",
        lambda bn: bn.scale.abs(),
        lambda v: v < DEAD_SCALE,
        torch.min,
        "dead channels: BN gives its shift whatever arrives; they could be cut out",
    ),
)
UNTRAINED = "as a new network has them: it was not trained, or its statistics were not loaded"


def bn_findings(net: nn.Module) -> list[Finding]:
    """Look at the statistics and scales of every BN in ``net``; return what looks wrong, layer by layer.

    One channel may be in several findings. A network without BN, such as a folded one, has none. If all means are 0 and
    all variances 1, that is the only finding, of the layer ``*``.

    >>> layer = nn.BatchNorm2d(4)
    >>> _ = layer.running_mean.fill_(1.0)
    >>> _ = layer.running_var.copy_(torch.tensor([1.0, 0.0, 2.0, 0.0]))
    >>> [(found.statistic, found.channels, found.of) for found in bn_findings(nn.Sequential(layer))]
    [('variance is 0', 2, 4)]
    """
    layers = {name: _values(layer) for name, layer in net.named_modules() if _has_statistics(layer)}
    if layers and all(bool((bn.mean == 0).all() and (bn.variance == 1).all()) for bn in layers.values()):
        channels = sum(len(bn.mean) for bn in layers.values())
        return [Finding("*", "means are 0 and variances 1", channels, channels, 1.0, UNTRAINED)]
    findings = []
    for name, bn in layers.items():
        for check in CHECKS:
            values = check.values(bn)
            wrong = values[check.wrong(values)]
            if len(wrong):
                worst = float(check.worst(wrong))
                findings.append(Finding(name, check.statistic, len(wrong), len(values), worst, check.meaning))
    return findings


def _has_statistics(layer: nn.Module) -> bool:
    return isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None and layer.affine


def _values(module: nn.Module) -> _Values:
    layer = cast("nn.BatchNorm2d", module)
    stored = (cast("Tensor", layer.running_mean), cast("Tensor", layer.running_var), layer.weight, layer.bias)
    mean, variance, scale, shift = (value.detach().to("cpu", torch.float64) for value in stored)
    return _Values(mean, variance, scale, shift, layer.eps)
