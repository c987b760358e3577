"""Calibrate, equalize and bias-correct checkpoints, for post-training quantization and at the end of QAT."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

import torch
from torch import nn

from edgehrnet.models.checkpoints import Checkpoint, build_model
from edgehrnet.models.checkpoints.ranges import RangeTable
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
    """Return the checkpoint with one range table per scheme, from one pass over letterboxed pictures.

    Args:
        checkpoint: A float checkpoint.
        images: Letterboxed pictures, u8 ``[1, H, W, C]``, as `network_inputs` makes them.
        schemes: The schemes to calibrate, by default one for each target.
        method: How a range is chosen, one of `calibration.METHODS`.
        keep_float: Sites that stay float, together with the convolutions that read them. ONNX Runtime has sites that
            the other targets do not have.
        progress: Show a progress bar.
    """
    network, spec = build_model(checkpoint), ModelSpec.from_dict(checkpoint.spec)
    found = {scheme: place(network, scheme).sites for scheme in schemes}
    known = {site for own in found.values() for site in own}
    placements = {
        # A site that no scheme has is left in the list, so that `place` refuses it.
        scheme: place(network, scheme, [site for site in keep_float if site in own or site not in known])
        for scheme, own in found.items()
    }
    sites = dict.fromkeys(site for placement in placements.values() for site in placement.sites)
    seen = observe(network, sites, images, spec, method, progress=progress)
    tables = {
        scheme.target: range_table(seen, placement, scheme, spec, method) for scheme, placement in placements.items()
    }
    return dataclasses.replace(checkpoint, quantization=tables)


def is_complete(table: RangeTable) -> bool:
    """Return False for the ranges that earlier versions stored for ONNX Runtime, which ran few convolutions in INT8."""
    return not SCHEMES[table.target].every_result or table.adds == "all"


def completed(checkpoint: Checkpoint, target: str, images: list[torch.Tensor], *, progress: bool = False) -> Checkpoint:
    """Return the checkpoint with the ranges that are missing for ``target``. Those that it has stay.

    Args:
        checkpoint: A checkpoint with a range table for ``target`` that is not complete, see `is_complete`.
        target: Target of the range table.
        images: Letterboxed pictures, u8 ``[1, H, W, C]``, as `network_inputs` makes them.
        progress: Show a progress bar.
    """
    network, spec, table = build_model(checkpoint), ModelSpec.from_dict(checkpoint.spec), checkpoint.table(target)
    scheme = SCHEMES[target].replace(weight_bits=table.weight_bits)
    earlier = place(network, scheme.replace(adds=table.adds, every_result=False)).sites
    placement = place(network, scheme, [site for site in earlier if site not in table.sites])
    missing = [site for site in placement.sites if site not in table.sites]
    found = range_table(
        observe(network, missing, images, spec, progress=progress), placement, scheme, spec, known=table
    )
    return dataclasses.replace(checkpoint, quantization={**checkpoint.quantization, target: found})


def equalized(checkpoint: Checkpoint) -> Checkpoint:
    """Return the checkpoint with weights equalized by `equalize` and without range tables, which no longer apply."""
    network = build_model(checkpoint)
    equalize(network)
    return _with_weights(checkpoint, network)


def bias_corrected(checkpoint: Checkpoint, target: str, images: list[torch.Tensor]) -> Checkpoint:
    """Return the checkpoint with biases corrected by `correct_biases` for the range table of ``target``."""
    network = build_model(checkpoint)
    correct_biases(network, checkpoint.table(target), images, ModelSpec.from_dict(checkpoint.spec))
    corrected = _with_weights(checkpoint, network)
    return dataclasses.replace(corrected, quantization=checkpoint.quantization)


def _with_weights(checkpoint: Checkpoint, network: nn.Module) -> Checkpoint:
    return dataclasses.replace(checkpoint, state=network.state_dict(), quantization={})
