"""Float checkpoint -> checkpoint with range tables -> INT8 files: what PTQ and the end of QAT have in common."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgehrnet.models.checkpoints import Checkpoint, build_model, save_checkpoint
from edgehrnet.spec import ModelSpec
from quant.calibration import METHODS, PICTURES, observe, range_table
from quant.correction import correct_biases, equalise
from quant.data.sources import ACCEPTED, open_pictures, parse_fold
from quant.export import Order, build_files, report
from quant.model_file import PROOF_PICTURES, TARGETS
from quant.placement import place
from quant.scheme import SCHEMES, Int8Scheme


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


def equalised(checkpoint: Checkpoint) -> Checkpoint:
    """Return the checkpoint with cross-layer equalised weights; see `equalise`. Its ranges are void."""
    network = build_model(checkpoint)
    equalise(network)
    return _with_weights(checkpoint, network)


def bias_corrected(checkpoint: Checkpoint, target: str, images: list[torch.Tensor]) -> Checkpoint:
    """Return the checkpoint with biases corrected for the rounding of ``target``; see `correct_biases`."""
    network = build_model(checkpoint)
    correct_biases(network, checkpoint.table(target), images, ModelSpec.from_dict(checkpoint.spec))
    corrected = _with_weights(checkpoint, network)
    return dataclasses.replace(corrected, quantization=checkpoint.quantization)


def _with_weights(checkpoint: Checkpoint, network: nn.Module) -> Checkpoint:
    return dataclasses.replace(checkpoint, state=network.state_dict(), quantization={})


def save_and_build(
    checkpoint: Checkpoint, out: Path, name: str, targets: Sequence[str], pictures: Sequence[NDArray[np.uint8]]
) -> None:
    """Write ``out/<name>.pt`` with its range tables, then an INT8 file for each target; print a line for each.

    No ``.pt`` of a network that no variant builds.
    """
    out.mkdir(parents=True, exist_ok=True)
    if checkpoint.network is None:
        save_checkpoint(
            out / f"{name}.pt",
            checkpoint.variant,
            {"keypoints": checkpoint.keypoints, **checkpoint.options},
            checkpoint.state,
            checkpoint.spec,
            checkpoint.training,
            quantization=checkpoint.quantization,
        )
        print(f"{out / name}.pt: ranges for {', '.join(checkpoint.quantization)}")
    order = Order(out, name, targets, ("int8",), picture=pictures[0], pictures=pictures[:PROOF_PICTURES])
    for file in build_files(checkpoint, order):
        print(report(file))


def add_arguments(p: argparse.ArgumentParser) -> None:
    """Add what every command takes that makes INT8 files."""
    p.add_argument("checkpoint", type=Path, help="float weights: a .pt file of this project, or a published .pth")
    p.add_argument("--data", required=True, help=f"{ACCEPTED}; to calibrate with, any folder of pictures")
    p.add_argument("--fold", type=parse_fold, metavar="K/N", help="hold back part K of N, counted from 0")
    p.add_argument("--out", type=Path, required=True, metavar="DIR")
    p.add_argument("--name", help="file names without suffix (default: the checkpoint's)")
    p.add_argument("--targets", nargs="+", choices=TARGETS, default=["openvino"], help="files to build")
    p.add_argument("--calibration", type=int, default=PICTURES, metavar="N", help="pictures for the ranges")
    p.add_argument("--method", choices=METHODS, default="histogram", help="how ranges are chosen")
    p.add_argument("--weight-bits", type=int, default=8, help="7 for CPUs without VNNI")
    p.add_argument("--seed", type=int, default=0)


def schemes_of(args: argparse.Namespace) -> list[Int8Scheme]:
    """Every target's scheme, with the weights that were asked for."""
    return [scheme.replace(weight_bits=args.weight_bits) for scheme in SCHEMES.values()]


def calibration_pictures(args: argparse.Namespace) -> list[NDArray[np.uint8]]:
    """Read the pictures that the arguments ask for."""
    return list(open_pictures(args.data, args.calibration, args.fold, args.seed))
