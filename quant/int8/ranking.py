"""Rank quantizers by how far each one moves the keypoints, and choose which to leave in float.

The site of a quantizer is its place in the network, see `deploy.frozen`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edgehrnet.errors import InputError
from edgehrnet.models.checkpoints import Checkpoint, build_model
from edgehrnet.models.checkpoints.ranges import RangeTable
from edgehrnet.spec import ModelSpec
from quant.int8.degradation import Degradation, Probe
from quant.int8.placement import place
from quant.int8.scheme import SCHEMES

PICTURES = 16  # pictures to measure drift on; calibration uses more


@dataclass(frozen=True)
class Ranked:
    """The degradation that one quantizer causes when all others are off."""

    quantizer: str
    """Site of an activation quantizer, or name of the convolution whose weights are quantized."""

    kind: str
    """``activation`` or ``weights``."""

    degradation: Degradation
    """Degradation against the float network."""


def rank(probe: Probe, table: RangeTable, *, weights: bool = True, progress: bool = False) -> list[Ranked]:
    """Measure each quantizer with all others off and sort by degradation, worst first.

    Args:
        probe: The float network and its pictures.
        table: The ranges to quantize with.
        weights: Measure weight quantizers as well as activation quantizers.
        progress: Show a progress bar.
    """
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
    ranked = [Ranked(name, kind, probe.degradation(single)) for name, kind, single in bar]
    return sorted(ranked, key=lambda entry: (-entry.degradation.drift_px, entry.degradation.sqnr_db))


def without(table: RangeTable, sites: Collection[str], readers: dict[str, tuple[str, ...]]) -> RangeTable:
    """Remove sites, and the convolutions that read them, from a range table.

    Args:
        table: The range table to copy.
        sites: The sites to leave in float.
        readers: The convolutions that read each site, as in `Placement.sites`.
    """
    gone = {name for site in sites for name in readers[site]}
    return dataclasses.replace(
        table,
        channels={site: value for site, value in table.channels.items() if site not in sites},
        sites={site: value for site, value in table.sites.items() if site not in sites},
        convolutions=tuple(name for name in table.convolutions if name not in gone),
    )


def solve(
    probe: Probe, table: RangeTable, ranked: Sequence[Ranked], readers: dict[str, tuple[str, ...]], budget: float
) -> list[str]:
    """Return a small set of sites to leave in float so that the mean keypoint drift stays within a budget.

    The search is greedy. It leaves the worst sites in float, one after the other, until the drift is within the budget.
    Then it quantizes each of them again if the drift stays within the budget.

    Args:
        probe: The float network and its pictures.
        table: The ranges to quantize with.
        ranked: The quantizers, worst first, as `rank` returns them.
        readers: The convolutions that read each site, as in `Placement.sites`.
        budget: Largest mean drift in pixels of the network input.

    Raises:
        InputError: The drift exceeds the budget even with every site in float.
    """
    sites = [entry.quantizer for entry in ranked if entry.kind == "activation"]
    chosen: list[str] = []
    while probe.degradation(without(table, chosen, readers)).drift_px > budget:
        if len(chosen) == len(sites):
            raise InputError(f"no choice of sites keeps the drift within {budget} px; allow more")
        chosen.append(sites[len(chosen)])
    for site in chosen[:-1]:
        fewer = [other for other in chosen if other != site]
        if probe.degradation(without(table, fewer, readers)).drift_px <= budget:
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
    """Choose which sites of a calibrated checkpoint to leave in float, as `solve` does.

    Args:
        checkpoint: A checkpoint with a range table for ``target``.
        pictures: u8 RGB pictures ``(H, W, 3)``. The first `PICTURES` are used.
        target: The engine, a key of `SCHEMES`.
        budget: Largest mean keypoint drift in pixels of the network input.
        progress: Show a progress bar.
    """
    network, table = build_model(checkpoint), checkpoint.table(target)
    probe = Probe(network, pictures[:PICTURES], ModelSpec.from_dict(checkpoint.spec))
    if probe.degradation(table).drift_px <= budget:
        return []
    readers = place(network, SCHEMES[target].replace(adds=table.adds)).sites
    return solve(probe, table, rank(probe, table, weights=False, progress=progress), readers, budget)
