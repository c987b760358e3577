"""Float checkpoint -> checkpoint with range tables -> INT8 files: what PTQ and the end of QAT have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

import torch
from torch import nn

from edgehrnet.models.checkpoints import Checkpoint, build_model
from edgehrnet.spec import ModelSpec
from quant.int8.calibration import observe, range_table
from quant.int8.correction import correct_biases, equalize
from quant.int8.placement import place
from quant.int8.scheme import SCHEMES, Int8Scheme


def calibrate(
    checkpoint: Checkpoint,
    images: list[torch.Tensor],
    schemes: Collection[Int8Scheme] = tuple(SCHEMES.values()),
    *,
    method: str = "histogram",
    keep_float: Collection[str] = (),
    progress: bool = False,
) -> Checkpoint:
    """Return the checkpoint with a range table for each scheme, from one pass over letterboxed pictures."""
    network, spec = build_model(checkpoint), ModelSpec.from_dict(checkpoint.spec)
    placements = {scheme: place(network, scheme, keep_float) for scheme in schemes}
    sites = dict.fromkeys(site for placement in placements.values() for site in placement.sites)
    seen = observe(network, sites, images, spec, method, progress=progress)
    tables = {
        scheme.target: range_table(seen, placement, scheme, spec, method) for scheme, placement in placements.items()
    }
    return dataclasses.replace(checkpoint, quantization=tables)


def equalized(checkpoint: Checkpoint) -> Checkpoint:
    """Return the checkpoint with cross-layer equalized weights; see `equalize`. Its ranges are void."""
    network = build_model(checkpoint)
    equalize(network)
    return _with_weights(checkpoint, network)


def bias_corrected(checkpoint: Checkpoint, target: str, images: list[torch.Tensor]) -> Checkpoint:
    """Return the checkpoint with biases corrected for the rounding of ``target``; see `correct_biases`."""
    network = build_model(checkpoint)
    correct_biases(network, checkpoint.table(target), images, ModelSpec.from_dict(checkpoint.spec))
    corrected = _with_weights(checkpoint, network)
    return dataclasses.replace(corrected, quantization=checkpoint.quantization)


def _with_weights(checkpoint: Checkpoint, network: nn.Module) -> Checkpoint:
    return dataclasses.replace(checkpoint, state=network.state_dict(), quantization={})
