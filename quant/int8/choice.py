"""Choose corrections for post-training quantization by the drift of keypoints on pictures apart from the calibration's.

A correction is one of `CORRECTIONS`. Candidates are tried in a fixed order, simple ones first. A candidate replaces the
best one before it only if it is clearly better, see `is_better`. The search stops as soon as the best is good, see
`is_good`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from edgehrnet.models.checkpoints import Checkpoint, build_model
from edgehrnet.models.checkpoints.ranges import RangeTable
from edgehrnet.spec import ModelSpec
from quant.int8.budget import multiply_accumulates, within_budget
from quant.int8.calibration import METHODS, network_inputs
from quant.int8.channel_ranges import channelwise, channelwise_sites
from quant.int8.degradation import Degradation, Probe
from quant.int8.pipeline import bias_corrected, calibrate, equalized
from quant.int8.placement import place
from quant.int8.ranking import rank, without
from quant.int8.scheme import Int8Scheme

EQUALIZE, CHANNELS, BIAS, FLOAT = "equalize", "channel-ranges", "bias-correction", "float-sites"
CORRECTIONS = (EQUALIZE, CHANNELS, BIAS, FLOAT)
"""Corrections, in the order in which they are applied: equalized weights, ranges for each channel of what depthwise
convolutions read, corrected biases, sites left in float."""
JUDGED = 32  # pictures to judge candidates on
RANKED = 4  # calibration pictures to rank sites on
FLOAT_BUDGET = 0.05  # share of the MACs that may run in float in addition
GOOD_DB = 25.0  # heatmaps of a candidate that needs no further correction
GOOD_CELLS = 1 / 8  # heatmap cells; capped mean drift of such a candidate
CLEARLY = 0.1  # share of the drift; on a hundred keypoints, smaller differences are chance
CLEARLY_DB = 1.0


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
    """Return the checkpoint calibrated with some of the corrections, which it records. `FLOAT` is not among them.

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
    if CHANNELS in corrections:
        checkpoint = channelwise(checkpoint, images, schemes, options.get("method", METHODS[0]))
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
        self._scheme = next(scheme for scheme in schemes if scheme.target == target)
        self.spec = ModelSpec.from_dict(checkpoint.spec)
        self.images = network_inputs(pictures, self.spec)
        self.probe = Probe(build_model(checkpoint), judged, self.spec, needs_keypoints=False)
        self.good_px = GOOD_CELLS * self.spec.stride
        self.tried: list[Candidate] = []
        self.best: Candidate | None = None
        self.result = checkpoint
        self._calibrated: dict[tuple[str, ...], Checkpoint] = {}

    def run(self) -> Choice:
        """Try candidates until one is good, and return the best."""
        self._try(self._corrected(()), ())
        for corrections in ((BIAS,), (EQUALIZE,), (EQUALIZE, BIAS)):
            if self._is_done():
                break
            if EQUALIZE not in corrections or self._can_equalize():
                self._try(self._corrected(corrections), corrections)
        if not self._is_done() and self._reads_channels():
            assert self.best is not None
            more = tuple(name for name in CORRECTIONS if name in (CHANNELS, *self.best.corrections))
            self._try(self._corrected(more), more)
        if not self._is_done() and self.float_budget > 0:
            self._try_float()
        assert self.best is not None
        training = {**self.checkpoint.training, "ptq": record(self.best, self.tried)}
        chosen = dataclasses.replace(self.result, training=training)
        return Choice(chosen, self.best, tuple(self.tried), self._calibrated[()])

    def _corrected(self, corrections: Collection[str], sites: Collection[str] = ()) -> Checkpoint:
        """Calibrate once for each way of calibrating, and apply the other corrections to the result."""
        key = tuple(name for name in (EQUALIZE, CHANNELS) if name in corrections)
        if key not in self._calibrated:
            self._calibrated[key] = self._calibrate(key)
        checkpoint = _without(self._calibrated[key], sites, self.schemes) if sites else self._calibrated[key]
        return bias_corrected(checkpoint, self.target, self.images) if BIAS in corrections else checkpoint

    def _calibrate(self, key: tuple[str, ...]) -> Checkpoint:
        if CHANNELS in key:
            base = self._corrected([name for name in key if name == EQUALIZE])
            return channelwise(base, self.images, self.schemes, self.options.get("method", METHODS[0]))
        base = equalized(self.checkpoint) if EQUALIZE in key else self.checkpoint
        return calibrate(base, self.images, self.schemes, **self.options)

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

    def _reads_channels(self) -> bool:
        """Return True if the target's engine has a range for each channel somewhere in this network."""
        return bool(channelwise_sites(self._calibrated[()], self._scheme))

    def _try_float(self) -> None:
        """Leave the noisiest sites of the best candidate in float, as many as the budget allows."""
        assert self.best is not None
        corrections = self.best.corrections
        plain = self._corrected([name for name in corrections if name in (EQUALIZE, CHANNELS)])
        network, table = build_model(plain), plain.table(self.target)
        probe = Probe(network, self.pictures[:RANKED], self.spec, needs_keypoints=False)
        ranked = rank(probe, table, weights=False, progress=bool(self.options.get("progress")))
        noise = {entry.quantizer: 10 ** (-entry.degradation.sqnr_db / 10) for entry in ranked}
        readers = place(network, self._scheme).sites
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


def record(chosen: Candidate, tried: Sequence[Candidate]) -> dict[str, Any]:
    """Return the choice as JSON values, for a checkpoint."""
    return {
        "corrections": list(chosen.corrections),
        "float_sites": list(chosen.sites),
        "tried": [{"candidate": candidate.name, **_finite(candidate.degradation)} for candidate in tried],
    }


def applied(checkpoint: Checkpoint, table: RangeTable) -> tuple[str, ...]:
    """Return the corrections that a checkpoint records, as far as they concern one of its range tables."""
    names = checkpoint.training.get("ptq", {}).get("corrections", ())
    return tuple(name for name in names if name != CHANNELS or table.channels)


def _finite(degradation: Degradation) -> dict[str, float | None]:
    values = dataclasses.asdict(degradation)
    return {name: round(value, 4) if math.isfinite(value) else None for name, value in values.items()}


def _without(checkpoint: Checkpoint, sites: Collection[str], schemes: Collection[Int8Scheme]) -> Checkpoint:
    """Return the checkpoint with ``sites`` in float in every table that has them."""
    network, tables = build_model(checkpoint), {}
    for scheme in schemes:
        readers = place(network, scheme).sites
        tables[scheme.target] = without(
            checkpoint.table(scheme.target), [site for site in sites if site in readers], readers
        )
    return dataclasses.replace(checkpoint, quantization=tables)
