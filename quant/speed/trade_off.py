"""Rank the sites of activations by the time that they save for the drift that they cause, and draw the trade-off."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from tqdm import tqdm

from edgehrnet.models import KeypointNetwork
from edgehrnet.models.layers.activations import exchange_activations
from quant.data.examples import DataSet
from quant.int8.degradation import Probe
from quant.scoring.metrics import Score
from quant.scoring.torch_model import validate
from quant.speed.gains import Gains

LEAST_PX = 1e-3
"""Drift of a site below which a smaller one is chance."""


@dataclass(frozen=True)
class Site:
    """Gain and cost of another activation at one site, with all other sites unchanged and without training."""

    name: str
    """Name of the activation module."""

    gain_ms: float
    """Milliseconds saved in the INT8 graph."""

    drift_px: float
    """Mean distance that keypoints move, ``Degradation.capped_px``."""

    @property
    def worth(self) -> float:
        """Milliseconds saved for each pixel."""
        return self.gain_ms / max(self.drift_px, LEAST_PX)


@dataclass(frozen=True)
class Point:
    """A number of sites exchanged together, without training."""

    sites: tuple[str, ...]
    """Names of the activation modules."""

    ms: float
    """Time of the INT8 graph, as a sum over its layers."""

    drift_px: float
    """Mean distance that keypoints move, ``Degradation.capped_px``."""

    score: Score
    """Score on the validation set."""


def rank_sites(probe: Probe, gains: Gains, activation: str, *, progress: bool = False) -> list[Site]:
    """Exchange each site alone and sort the sites that save time, those that are worth most first.

    Args:
        probe: The float network and its pictures.
        gains: Time saved at each site.
        activation: Name of the other activation.
        progress: Show a progress bar.
    """
    saving = [(site, ms) for site, ms in gains.sites.items() if ms > 0]
    bar = tqdm(saving, disable=not progress, desc="ranking", unit="site")
    ranked = [Site(site, ms, _drift(probe, exchanged(probe.network, [site], activation))) for site, ms in bar]
    return sorted(ranked, key=lambda site: -site.worth)


def prefixes(ranked: Sequence[Site], count: int) -> list[list[str]]:
    """Return the first sites of a ranking, in up to ``count`` steps of about the same milliseconds, all of them last.

    >>> prefixes([Site("a", 3.0, 1.0), Site("b", 1.0, 1.0), Site("c", 2.0, 9.0)], 2)
    [['a'], ['a', 'b', 'c']]
    """
    total, sums = sum(site.gain_ms for site in ranked), [0.0]
    for site in ranked:
        sums.append(sums[-1] + site.gain_ms)
    lengths = {next(n for n, ms in enumerate(sums) if ms >= total * i / count - 1e-9) for i in range(1, count + 1)}
    return [[site.name for site in ranked[:length]] for length in sorted(lengths) if length]


def trade_off(
    probe: Probe,
    gains: Gains,
    ranked: Sequence[Site],
    activation: str,
    data: DataSet,
    *,
    points: int,
    pictures: int,
    progress: bool = False,
) -> list[Point]:
    """Measure the network with more and more sites exchanged, none of them first.

    Args:
        probe: The float network and its pictures.
        gains: Time saved at each site.
        ranked: Sites in the order in which they are exchanged.
        activation: Name of the other activation.
        data: Data set to score on.
        points: Largest number of points besides the first.
        pictures: Pictures of the validation set to score on.
        progress: Show a progress bar.
    """
    steps = [[], *prefixes(ranked, points)]
    return [
        measure(probe, exchanged(probe.network, sites, activation), gains, sites, data, pictures)
        for sites in tqdm(steps, disable=not progress, desc="trade-off", unit="point")
    ]


def measure(
    probe: Probe, network: KeypointNetwork, gains: Gains, sites: Sequence[str], data: DataSet, pictures: int
) -> Point:
    """Measure a network in which some sites are exchanged, against the original of the probe.

    Args:
        probe: The float network as it was, and its pictures.
        network: The network to measure.
        gains: Time saved at each site.
        sites: Names of the sites that are exchanged in ``network``.
        data: Data set to score on.
        pictures: Pictures of the validation set to score on.
    """
    ms = gains.before - sum(gains.sites[site] for site in sites)
    score = validate(network, data, pictures, probe.spec, torch.device("cpu"))
    return Point(tuple(sites), ms, _drift(probe, network), score)


def choose(points: Sequence[Point], budget: float) -> Point:
    """Return the fastest point whose drift is within a budget in pixels, at worst the first one."""
    return min((point for point in points if point.drift_px <= budget), key=lambda point: point.ms, default=points[0])


def exchanged(network: KeypointNetwork, sites: Sequence[str], activation: str) -> KeypointNetwork:
    """Return a copy of a network with another activation at some sites."""
    changed = copy.deepcopy(network)
    exchange_activations(changed, dict.fromkeys(sites, activation))
    return changed


def _drift(probe: Probe, network: nn.Module) -> float:
    drift = probe.compare(network).capped_px
    return math.inf if math.isnan(drift) else drift
