"""Rank quantizers by how far each one moves the keypoints, and choose which to leave in float.

The site of a quantizer is its place in the network, see `deploy.frozen`.
"""

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

from edgehrnet.decoding import CONFIDENCE_THRESHOLD, activations
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

PICTURES = 16  # pictures to measure drift on; calibration uses more
WITHIN = 1.0  # input pixels; a keypoint that moved at most this far counts as unchanged


@dataclass(frozen=True)
class Degradation:
    """Degradation by quantization, measured on the keypoints that the float network is confident of."""

    drift_px: float
    """Mean distance in pixels of the network input that keypoints move."""

    p95_px: float
    """95th percentile of that distance, in pixels of the network input."""

    pck: float
    """Percentage of keypoints that move at most `WITHIN`."""

    sqnr_db: float
    """Signal-to-quantization-noise ratio of the heatmaps in dB. Infinite if they do not change."""


@dataclass(frozen=True)
class Ranked:
    """The degradation that one quantizer causes when all others are off."""

    quantizer: str
    """Site of an activation quantizer, or name of the convolution whose weights are quantized."""

    kind: str
    """``activation`` or ``weights``."""

    degradation: Degradation
    """Degradation against the float network."""


class Probe:
    """A float network's outputs on a few pictures, against which quantized networks are measured."""

    def __init__(self, network: KeypointNetwork, pictures: Sequence[NDArray[np.uint8]], spec: ModelSpec) -> None:
        self.network, self.spec = fold_batchnorm(network), spec
        self._inputs = [prepare_input(picture, spec) for picture in pictures]
        self._float = [self.answer(self.network, index) for index in range(len(pictures))]
        if not any((conf >= CONFIDENCE_THRESHOLD).any() for _, _, conf in self._float):
            raise InputError(
                "the float network is not confident of any keypoint in these pictures; pass others, or train it longer"
            )

    def degradation(self, table: RangeTable) -> Degradation:
        """Measure the degradation of the network when quantized with the ranges of ``table``."""
        quantized = freeze(self.network, table)
        moved: list[float] = []
        signal = noise = 0.0
        for index, (heat, xy, conf) in enumerate(self._float):
            found, at, _ = self.answer(quantized, index)
            drift = np.linalg.norm((at - xy) * self._inputs[index][1].scale, axis=1)
            moved += drift[conf >= CONFIDENCE_THRESHOLD].tolist()
            signal += float((heat.astype(np.float64) ** 2).sum())
            noise += float(((found - heat).astype(np.float64) ** 2).sum())
        distance = np.array(moved)
        sqnr = 10 * math.log10(signal / noise) if noise else math.inf
        within = 100 * float((distance <= WITHIN).mean())
        return Degradation(float(distance.mean()), float(np.percentile(distance, 95)), within, sqnr)

    def answer(self, network: nn.Module, index: int) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[Any]]:
        """Run a network on the picture at ``index``.

        Returns:
            Heatmaps ``(K, h, w)`` 0..1, keypoints ``(K, 2)`` xy in picture pixels and confidences ``(K,)``, all in
            channel order.
        """
        pixels, transform = self._inputs[index]
        outputs = run_network(network, pixels, self.spec)
        xy, conf, order = decode_outputs(outputs, self.spec, transform)
        by_channel = order.argsort()
        return activations(outputs["heatmaps"][0], self.spec), xy[by_channel], conf[by_channel]


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
