"""Choose corrections for post-training quantization by the drift of keypoints on pictures apart from the calibration's.

A correction is one of `CORRECTIONS`. Candidates are tried in a fixed order, simple ones first. A candidate replaces the
best one before it only if it is clearly better, see `is_better`. The search stops as soon as the best is good, see
`is_good`.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from edgehrnet.models.checkpoints import Checkpoint, build_model
from edgehrnet.models.layers.blocks import Convolution
from edgehrnet.spec import ModelSpec
from quant.int8.calibration import network_inputs
from quant.int8.degradation import Degradation, Probe
from quant.int8.pipeline import bias_corrected, calibrate, equalized
from quant.int8.placement import place
from quant.int8.ranking import rank, without
from quant.int8.scheme import Int8Scheme

EQUALIZE, BIAS, FLOAT = "equalize", "bias-correction", "float-sites"
CORRECTIONS = (EQUALIZE, BIAS, FLOAT)
"""Corrections, in the order in which they are applied: equalized weights, corrected biases, sites left in float."""
JUDGED = 32  # pictures to judge candidates on
RANKED = 4  # calibration pictures to rank sites on
FLOAT_BUDGET = 0.05  # share of the MACs that may run in float in addition
GOOD_DB = 25.0  # heatmaps of a candidate that needs no further correction
GOOD_CELLS = 1 / 8  # heatmap cells; capped mean drift of such a candidate
CLEARLY = 0.1  # share of the drift; on a hundred keypoints, smaller differences are chance
CLEARLY_DB = 1.0
MINOR = 0.01  # share of the noise below which a site is not worth leaving in float


@dataclass(frozen=True)
class Candidate:
    """Corrections that were tried."""

    corrections: tuple[str, ...]
    """Some of `CORRECTIONS`, empty for plain quantization."""

    degradation: Degradation
    """Degradation against the float network, on pictures that were not used for calibration."""

    sites: tuple[str, ...] = ()
    """Sites left in float."""

    @property
    def name(self) -> str:
        """Name for tables."""
        return " + ".join(self.corrections) or "plain"


@dataclass(frozen=True)
class Choice:
    """A quantized checkpoint, and how it was chosen."""

    checkpoint: Checkpoint
    """The calibrated and corrected checkpoint. Its ``training`` records the choice under ``ptq``."""

    chosen: Candidate
    """The candidate that it is."""

    tried: tuple[Candidate, ...]
    """All candidates, in the order of trial."""

    plain: Checkpoint
    """The calibrated checkpoint without corrections."""

    @property
    def sites(self) -> tuple[str, ...]:
        """Sites that the choice leaves in float."""
        return self.chosen.sites


def corrected(
    checkpoint: Checkpoint,
    images: list[Tensor],
    schemes: Collection[Int8Scheme],
    target: str,
    corrections: Collection[str],
    **options: Any,
) -> Checkpoint:
    """Return the checkpoint calibrated with some of the corrections `EQUALIZE` and `BIAS`, which it records.

    Args:
        checkpoint: A float checkpoint.
        images: Letterboxed calibration pictures, u8 ``[1, H, W, C]``.
        schemes: The schemes to calibrate.
        target: The target whose ranges bias correction uses.
        corrections: The corrections.
        options: Further arguments of `calibrate`.
    """
    names = [name for name in CORRECTIONS if name in corrections]
    checkpoint = dataclasses.replace(checkpoint, training={**checkpoint.training, "ptq": {"corrections": names}})
    if EQUALIZE in corrections:
        checkpoint = equalized(checkpoint)
    checkpoint = calibrate(checkpoint, images, schemes, **options)
    return bias_corrected(checkpoint, target, images) if BIAS in corrections else checkpoint


class Search:
    """The search for corrections of one checkpoint.

    Args:
        checkpoint: A float checkpoint.
        pictures: Calibration pictures, u8 RGB ``(H, W, 3)``.
        judged: Pictures to judge candidates on.
        schemes: The schemes to calibrate.
        target: The target to judge.
        float_budget: Share of the network's MACs, 0..1, that may run in float in addition to the heads.
        options: Further arguments of `calibrate`.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        pictures: Sequence[NDArray[np.uint8]],
        judged: Sequence[NDArray[np.uint8]],
        schemes: Collection[Int8Scheme],
        target: str,
        *,
        float_budget: float = FLOAT_BUDGET,
        **options: Any,
    ) -> None:
        self.checkpoint, self.pictures, self.schemes, self.target = checkpoint, pictures, schemes, target
        self.float_budget, self.options = float_budget, options
        self.spec = ModelSpec.from_dict(checkpoint.spec)
        self.images = network_inputs(pictures, self.spec)
        self.probe = Probe(build_model(checkpoint), judged, self.spec, needs_keypoints=False)
        self.good_px = GOOD_CELLS * self.spec.stride
        self.tried: list[Candidate] = []
        self.best: Candidate | None = None
        self.result = checkpoint
        self._calibrated: dict[bool, Checkpoint] = {}

    def run(self) -> Choice:
        """Try candidates until one is good, and return the best."""
        self._try(self._corrected(()), ())
        for corrections in ((BIAS,), (EQUALIZE,), (EQUALIZE, BIAS)):
            if self._is_done():
                break
            if EQUALIZE not in corrections or self._can_equalize():
                self._try(self._corrected(corrections), corrections)
        if not self._is_done() and self.float_budget > 0:
            self._try_float()
        assert self.best is not None
        training = {**self.checkpoint.training, "ptq": record(self.best, self.tried)}
        chosen = dataclasses.replace(self.result, training=training)
        return Choice(chosen, self.best, tuple(self.tried), self._calibrated[False])

    def _corrected(self, corrections: Collection[str], sites: Collection[str] = ()) -> Checkpoint:
        """Calibrate once with equalized weights and once without, and apply the other corrections to the result."""
        key = EQUALIZE in corrections
        if key not in self._calibrated:
            base = equalized(self.checkpoint) if key else self.checkpoint
            self._calibrated[key] = calibrate(base, self.images, self.schemes, **self.options)
        checkpoint = _without(self._calibrated[key], sites, self.schemes) if sites else self._calibrated[key]
        return bias_corrected(checkpoint, self.target, self.images) if BIAS in corrections else checkpoint

    def _try(self, checkpoint: Checkpoint, corrections: tuple[str, ...], sites: Sequence[str] = ()) -> None:
        degradation = self.probe.degradation(checkpoint.table(self.target), build_model(checkpoint))
        candidate = Candidate(corrections, degradation, tuple(sites))
        self.tried.append(candidate)
        if self.best is None or is_better(degradation, self.best.degradation):
            self.best, self.result = candidate, checkpoint

    def _is_done(self) -> bool:
        return self.best is not None and is_good(self.best.degradation, self.good_px)

    def _can_equalize(self) -> bool:
        state = self.checkpoint.state
        return any(not torch.equal(value, state[name]) for name, value in equalized(self.checkpoint).state.items())

    def _try_float(self) -> None:
        """Leave the noisiest sites of the best candidate in float, as many as the budget allows."""
        assert self.best is not None
        corrections = self.best.corrections
        plain = self._corrected([name for name in corrections if name == EQUALIZE])
        network, table = build_model(plain), plain.table(self.target)
        probe = Probe(network, self.pictures[:RANKED], self.spec, needs_keypoints=False)
        ranked = rank(probe, table, weights=False, progress=bool(self.options.get("progress")))
        noise = {entry.quantizer: 10 ** (-entry.degradation.sqnr_db / 10) for entry in ranked}
        readers = _readers(network, next(s for s in self.schemes if s.target == self.target))
        sites = within_budget(noise, readers, *multiply_accumulates(network, self.spec), self.float_budget)
        if sites:
            self._try(self._corrected(corrections, sites), (*corrections, FLOAT), sites)


def is_good(degradation: Degradation, most_px: float) -> bool:
    """Return True if no correction is needed: `GOOD_DB` dB, and on average no more than ``most_px`` of capped drift."""
    return degradation.sqnr_db >= GOOD_DB and not degradation.capped_px > most_px


def is_better(new: Degradation, old: Degradation) -> bool:
    """Return True if the keypoints drift clearly less, or not clearly more and the heatmaps have clearly less noise.

    Without keypoints, the heatmaps decide.
    """
    if new.capped_px < (1 - CLEARLY) * old.capped_px:
        return new.sqnr_db > old.sqnr_db - CLEARLY_DB
    drifts_more = new.capped_px > (1 + CLEARLY) * old.capped_px
    return not drifts_more and new.sqnr_db > old.sqnr_db + CLEARLY_DB


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


def record(chosen: Candidate, tried: Sequence[Candidate]) -> dict[str, Any]:
    """Return the choice as JSON values, for a checkpoint."""
    return {
        "corrections": list(chosen.corrections),
        "float_sites": list(chosen.sites),
        "tried": [{"candidate": candidate.name, **_finite(candidate.degradation)} for candidate in tried],
    }


def _finite(degradation: Degradation) -> dict[str, float | None]:
    values = dataclasses.asdict(degradation)
    return {name: round(value, 4) if math.isfinite(value) else None for name, value in values.items()}


def _without(checkpoint: Checkpoint, sites: Collection[str], schemes: Collection[Int8Scheme]) -> Checkpoint:
    """Return the checkpoint with ``sites`` in float in every table that has them."""
    network, tables = build_model(checkpoint), {}
    for scheme in schemes:
        readers = _readers(network, scheme)
        tables[scheme.target] = without(
            checkpoint.table(scheme.target), [site for site in sites if site in readers], readers
        )
    return dataclasses.replace(checkpoint, quantization=tables)


def _readers(network: nn.Module, scheme: Int8Scheme) -> dict[str, tuple[str, ...]]:
    return place(network, scheme).sites
