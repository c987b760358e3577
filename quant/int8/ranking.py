"""Rank quantizers by how far each one moves the keypoints, and choose which to leave in float."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from edgehrnet.decoding import CERTAIN, heights
from edgehrnet.errors import InputError
from edgehrnet.models import KeypointNetwork
from edgehrnet.models.checkpoints import Checkpoint, build_model
from edgehrnet.models.checkpoints.ranges import RangeTable
from edgehrnet.models.deploy.folding import fold_batchnorm
from edgehrnet.models.deploy.frozen import freeze
from edgehrnet.spec import ModelSpec
from quant.int8.placement import place
from quant.int8.scheme import SCHEMES
from quant.scoring.torch_model import decode_outputs, prepare_input, run_network

PICTURES = 16  # measured on; ranges are calibrated on more


WITHIN = 1.0  # px: a keypoint that moved less counts as unharmed


@dataclass(frozen=True)
class Harm:
    """What rounding does. ``drift_px``, ``p95_px``: mean and 95th percentile of how far keypoints move; ``pck``:
    percent of them that move at most `WITHIN`; ``sqnr_db``: of the heatmaps, infinite if nothing changes.
    """

    drift_px: float
    p95_px: float
    pck: float
    sqnr_db: float


@dataclass(frozen=True)
class Ranked:
    """One quantizer: ``kind`` is ``activation`` or ``weights``."""

    quantizer: str
    kind: str
    harm: Harm


class Probe:
    """A float network's answers on a few pictures, to measure what quantization changes about them."""

    def __init__(self, network: KeypointNetwork, pictures: Sequence[NDArray[np.uint8]], spec: ModelSpec) -> None:
        self.network, self.spec = fold_batchnorm(network), spec
        self._inputs = [prepare_input(picture, spec) for picture in pictures]
        self._float = [self.answer(self.network, index) for index in range(len(pictures))]
        if not any((conf >= CERTAIN).any() for _, _, conf in self._float):
            raise InputError(
                "the float network is not confident of any keypoint on these pictures; pass other pictures, or train it"
            )

    def harm(self, table: RangeTable) -> Harm:
        """Measure the network quantized with the ranges of ``table`` against the float network."""
        quantized = freeze(self.network, table)
        moved: list[float] = []
        signal = noise = 0.0
        for index, (heat, xy, conf) in enumerate(self._float):
            found, at, _ = self.answer(quantized, index)
            drift = np.linalg.norm((at - xy) * self._inputs[index][1].scale, axis=1)
            moved += drift[conf >= CERTAIN].tolist()
            signal += float((heat.astype(np.float64) ** 2).sum())
            noise += float(((found - heat).astype(np.float64) ** 2).sum())
        distance = np.array(moved)
        sqnr = 10 * math.log10(signal / noise) if noise else math.inf
        within = 100 * float((distance <= WITHIN).mean())
        return Harm(float(distance.mean()), float(np.percentile(distance, 95)), within, sqnr)

    def answer(self, network: nn.Module, index: int) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[Any]]:
        """Run a network on one of the pictures.

        Returns:
            Heatmaps ``(K, h, w)`` 0..1, keypoints ``(K, 2)`` in picture pixels and confidence ``(K,)``, by channel.
        """
        pixels, transform = self._inputs[index]
        outputs = run_network(network, pixels, self.spec)
        xy, conf, order = decode_outputs(outputs, self.spec, transform)
        by_channel = order.argsort()
        return heights(outputs["heatmaps"][0], self.spec), xy[by_channel], conf[by_channel]


def rank(probe: Probe, table: RangeTable, *, weights: bool = True, progress: bool = False) -> list[Ranked]:
    """Switch on one quantizer at a time, those of weights too or not; the most harmful first."""
    nothing = dataclasses.replace(table, sites={}, convolutions=())
    alone = [
        *(
            (site, "activation", dataclasses.replace(nothing, sites={site: value}))
            for site, value in table.sites.items()
        ),
        *(
            (name, "weights", dataclasses.replace(nothing, convolutions=(name,)))
            for name in table.convolutions
            if weights
        ),
    ]
    bar = tqdm(alone, disable=not progress, desc="ranking", unit="quantizer")
    ranked = [Ranked(name, kind, probe.harm(single)) for name, kind, single in bar]
    return sorted(ranked, key=lambda entry: (-entry.harm.drift_px, entry.harm.sqnr_db))


def without(table: RangeTable, sites: Collection[str], readers: dict[str, tuple[str, ...]]) -> RangeTable:
    """Leave ``sites`` in float, and with them the convolutions that read them."""
    gone = {name for site in sites for name in readers[site]}
    return dataclasses.replace(
        table,
        sites={site: value for site, value in table.sites.items() if site not in sites},
        convolutions=tuple(name for name in table.convolutions if name not in gone),
    )


def solve(
    probe: Probe, table: RangeTable, ranked: Sequence[Ranked], readers: dict[str, tuple[str, ...]], budget: float
) -> list[str]:
    """Return the fewest sites to leave in float so that the mean drift stays within ``budget`` px.

    Greedy: the most harmful go first until the budget holds; then each is taken back if it holds without it. Raises
    InputError if weights alone exceed the budget, which no choice of sites then meets.
    """
    sites = [entry.quantizer for entry in ranked if entry.kind == "activation"]
    chosen: list[str] = []
    while probe.harm(without(table, chosen, readers)).drift_px > budget:
        if len(chosen) == len(sites):
            raise InputError(f"no choice of sites keeps the drift within {budget} px")
        chosen.append(sites[len(chosen)])
    for site in chosen[:-1]:
        fewer = [other for other in chosen if other != site]
        if probe.harm(without(table, fewer, readers)).drift_px <= budget:
            chosen = fewer
    return chosen


def choose_float(
    checkpoint: Checkpoint,
    pictures: Sequence[NDArray[np.uint8]],
    target: str,
    budget: float,
    *,
    progress: bool = False,
) -> list[str]:
    """Return the fewest sites of a calibrated checkpoint to leave in float; see `solve`."""
    network, table = build_model(checkpoint), checkpoint.table(target)
    probe = Probe(network, pictures[:PICTURES], ModelSpec.from_dict(checkpoint.spec))
    if probe.harm(table).drift_px <= budget:
        return []
    readers = place(network, SCHEMES[target].replace(adds=table.adds)).sites
    return solve(probe, table, rank(probe, table, weights=False, progress=progress), readers, budget)
