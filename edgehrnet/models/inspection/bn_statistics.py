"""Find BN layers with suspicious statistics, and state the usual cause."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

# Below BN's eps, the eps determines the scale of a channel instead of its variance.
TINY_VARIANCE = 1e-5
# Standard deviations between 0 and the mean. 30 of them take 5 of the 11 significant bits of float16.
FAR_MEAN = 30.0
# Scales start at 1. Weight decay reduces those that are not needed to 1e-6 and below.
DEAD_SCALE = 1e-4


@dataclass(frozen=True)
class BNAnomaly:
    """A suspicious statistic of one BN layer."""

    layer: str
    """Name of the BN in the network, or ``*`` for all of them."""

    statistic: str
    """The statistic and its problem, such as ``variance is 0``."""

    affected: int
    """Number of channels with this problem."""

    channels: int
    """Number of channels of the layer."""

    worst: float
    """The most extreme value. It may be NaN or infinite."""

    cause: str
    """The usual cause or consequence."""


@dataclass(frozen=True)
class _Values:
    """Statistics and parameters of one BN, each ``[C]`` in float64."""

    mean: Tensor
    variance: Tensor
    scale: Tensor
    shift: Tensor
    eps: float

    @property
    def distance(self) -> Tensor:
        """The mean in standard deviations. 0 for channels with almost no variance."""
        distance = self.mean.abs() / torch.sqrt(self.variance.clamp(min=0) + self.eps)
        # Without variance the ratio depends on BN's eps only, and another check reports such a variance.
        return torch.where(self.variance >= TINY_VARIANCE, distance, torch.zeros_like(distance))


@dataclass(frozen=True)
class _Check:
    """A check of one statistic."""

    statistic: str
    """See `BNAnomaly.statistic`."""

    values: Callable[[_Values], Tensor]
    """Function that returns the statistic of each channel, ``[C]``."""

    wrong: Callable[[Tensor], Tensor]
    """Function that returns the mask ``[C]`` of channels with the problem."""

    worst: Callable[[Tensor], Tensor]
    """Function that selects the value to report among those with the problem."""

    cause: str
    """See `BNAnomaly.cause`."""


_BROKEN = "training diverged, or the file is damaged; all outputs that depend on it are NaN or infinite"
CHECKS: tuple[_Check, ...] = (
    *(
        _Check(f"{name} is not finite", values, lambda v: ~v.isfinite(), lambda v: v[0], _BROKEN)
        for name, values in (
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
        "the convolution before it has a constant output, since its weights or input are 0; or float16 rounded it to 0",
    ),
    _Check(
        f"variance is below {TINY_VARIANCE:g}",
        lambda bn: bn.variance,
        lambda v: (v > 0) & (v < TINY_VARIANCE),
        torch.min,
        "the input is almost constant: BN's eps sets the gain, up to 316, which amplifies noise and rounding errors",
    ),
    _Check(
        f"mean is over {FAR_MEAN:g} deviations from 0",
        lambda bn: bn.distance,
        lambda v: v > FAR_MEAN,
        torch.max,
        "the input varies little around a large mean: float16 and int8 lose precision to the mean that BN subtracts",
    ),
    _Check(
        f"scale is below {DEAD_SCALE:g}",
        lambda bn: bn.scale.abs(),
        lambda v: v < DEAD_SCALE,
        torch.min,
        "dead channels: the output of BN is its shift for any input; they could be removed",
    ),
)
UNTRAINED = "these are the initial values: the network was not trained, or its statistics were not loaded"


def bn_anomalies(net: nn.Module) -> list[BNAnomaly]:
    """Check the statistics and scales of every BN in a network, and return the suspicious ones by layer.

    A channel may have several anomalies. A network without BN, such as a folded one, has none. If all means are 0 and
    all variances 1, that is the only anomaly, and its layer is ``*``.

    >>> layer = nn.BatchNorm2d(4)
    >>> _ = layer.running_mean.fill_(1.0)
    >>> _ = layer.running_var.copy_(torch.tensor([1.0, 0.0, 2.0, 0.0]))
    >>> [(found.statistic, found.affected, found.channels) for found in bn_anomalies(nn.Sequential(layer))]
    [('variance is 0', 2, 4)]
    """
    layers = {name: _values(layer) for name, layer in net.named_modules() if _has_statistics(layer)}
    if layers and all(bool((bn.mean == 0).all() and (bn.variance == 1).all()) for bn in layers.values()):
        channels = sum(len(bn.mean) for bn in layers.values())
        return [BNAnomaly("*", "means are 0 and variances 1", channels, channels, 1.0, UNTRAINED)]
    anomalies = []
    for name, bn in layers.items():
        for check in CHECKS:
            values = check.values(bn)
            wrong = values[check.wrong(values)]
            if len(wrong):
                worst = float(check.worst(wrong))
                anomalies.append(BNAnomaly(name, check.statistic, len(wrong), len(values), worst, check.cause))
    return anomalies


def _has_statistics(layer: nn.Module) -> bool:
    return isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None and layer.affine


def _values(module: nn.Module) -> _Values:
    layer = cast("nn.BatchNorm2d", module)
    stored = (cast("Tensor", layer.running_mean), cast("Tensor", layer.running_var), layer.weight, layer.bias)
    mean, variance, scale, shift = (value.detach().to("cpu", torch.float64) for value in stored)
    return _Values(mean, variance, scale, shift, layer.eps)
