"""Share options, value parsers and error handling between the commands of `quant`."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from quant.data.opening import ACCEPTED, open_pictures, parse_fold
from quant.files.model_file import TARGETS
from quant.int8.calibration import METHODS, PICTURES
from quant.int8.scheme import SCHEMES, Int8Scheme


def add_arguments(p: argparse.ArgumentParser) -> None:
    """Add what every command takes that makes INT8 files."""
    p.add_argument("checkpoint", type=Path, help="float weights: a .pt file of this project, or a published .pth")
    p.add_argument("--data", required=True, help=f"{ACCEPTED}; to calibrate with, any folder of pictures")
    p.add_argument("--fold", type=parse_fold, metavar="K/N", help="hold back part K of N, counted from 0")
    p.add_argument("--out", type=Path, required=True, metavar="DIR")
    p.add_argument("--name", help="start of the file names (default: the model's name)")
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


def compute_capability(text: str) -> tuple[int, int]:
    """Read the compute capability of a GPU, for argparse.

    >>> compute_capability("8.6")
    (8, 6)
    """
    major, _, minor = text.partition(".")
    try:
        return int(major), int(minor)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no compute capability; write it as 8.6") from None
