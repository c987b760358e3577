"""Share options and value parsers between the commands of `quant` that need torch."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehrnet.certificate import MAX_DRIFT
from edgehrnet.errors import InputError
from quant.data.arguments import add_data_arguments
from quant.data.opening import ACCEPTED, CropChoice, open_pictures
from quant.files.build import LEAST_INT8, drifts_too_far, mostly_float
from quant.files.model_file import TARGETS
from quant.files.parity import File
from quant.int8.calibration import METHODS, PICTURES
from quant.int8.scheme import SCHEMES, Int8Scheme

MOSTLY_FLOAT = 3  # exit status of a command that wrote an INT8 file which runs mostly in float


def add_arguments(p: argparse.ArgumentParser) -> None:
    """Add the arguments shared by the commands that make INT8 files."""
    p.add_argument("checkpoint", type=Path,
                   help="float weights: a .pt file of this project, or a published .pth")  # fmt: skip
    add_data_arguments(p, fold="use part K of N for validation, counted from 0 (default: no split)",
                       data=f"{ACCEPTED}, or for calibration any folder of pictures")  # fmt: skip
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    p.add_argument("--name", help="start of the file names (default: the model's name)")
    p.add_argument("--targets", nargs="+", choices=TARGETS, default=["openvino"],
                   help="engines to build for (default: openvino)")  # fmt: skip
    p.add_argument("--calibration", type=int, default=PICTURES, metavar="N",
                   help="pictures to calibrate ranges with (default: %(default)s)")  # fmt: skip
    p.add_argument("--method", choices=METHODS, default="histogram",
                   help="method that chooses ranges (default: %(default)s)")  # fmt: skip
    p.add_argument("--weight-bits", type=int, default=8,
                   help="bits per weight, 7 for CPUs without VNNI (default: %(default)s)")  # fmt: skip
    p.add_argument("--seed", type=int, default=0, help="random seed (default: %(default)s)")


def add_allow_float(p: argparse.ArgumentParser) -> None:
    """Add the argument that accepts INT8 files which run mostly in float."""
    p.add_argument("--allow-float", action="store_true",
                   help=f"exit with 0 also if an int8 file runs less than {100 * LEAST_INT8:g} %% of its "
                        f"multiply-accumulates on integers (default: exit with {MOSTLY_FLOAT})")  # fmt: skip


def add_max_drift(p: argparse.ArgumentParser) -> None:
    """Add the argument that limits the drift of keypoints without a warning."""
    p.add_argument("--max-drift", type=float, default=MAX_DRIFT, metavar="PX",
                   help="warn if int8 moves keypoints farther than this, as a median in pixels of the network input "
                        "(default: %(default)g)")  # fmt: skip


def check_export(args: argparse.Namespace) -> None:
    """Raise InputError for options of quant.export that do not fit together."""
    if args.compute_capability and "tensorrt" not in args.targets:
        raise InputError("--compute-capability is for TensorRT plans only; add tensorrt to --targets")
    if args.open_input and ("onnx" not in args.targets or "triton" in args.servers):
        raise InputError("--open-input is for .onnx files outside Triton; add onnx to --targets, or leave it out")
    if args.parity_pictures < 0:
        raise InputError(f"--parity-pictures {args.parity_pictures}: use at least 1, or 0 for no page")


def warn_of_drift(files: Iterable[File], max_drift: float) -> None:
    """Print a line for each INT8 file whose keypoints drift farther than ``max_drift``."""
    for line in filter(None, (drifts_too_far(file, max_drift) for file in files)):
        print(f"warning: {line}", file=sys.stderr)


def int8_status(files: Iterable[File], allow_float: bool) -> int:
    """Print a line for each INT8 file that runs mostly in float, and return the exit status of the command."""
    found = [line for line in map(mostly_float, files) if line]
    for line in found:
        print(f"note: {line}", file=sys.stderr)
    return MOSTLY_FLOAT if found and not allow_float else 0


def schemes_of(args: argparse.Namespace) -> list[Int8Scheme]:
    """Return the scheme of every target, with the weight bits of the arguments."""
    return [scheme.replace(weight_bits=args.weight_bits) for scheme in SCHEMES.values()]


def calibration_pictures(args: argparse.Namespace, crop: CropChoice = "auto", more: int = 0) -> list[NDArray[np.uint8]]:
    """Read the calibration pictures for a network that takes ``crop``, and up to ``more`` others of their kind."""
    count = args.calibration + more
    return list(open_pictures(args.data, count, args.fold, args.seed, crop=crop, images=args.images))


def set_apart(
    pictures: list[NDArray[np.uint8]], calibration: int, most: int
) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Divide pictures into those to calibrate with, at most ``calibration``, and at most ``most`` others.

    The others are spread evenly, and no more than a fifth. A single picture serves for both.
    """
    if not most:
        return pictures, []
    count = min(most, max(1, len(pictures) // 5))
    others = {int(place) for place in np.linspace(0, len(pictures) - 1, count + 2)[1:-1]}
    rest = [picture for index, picture in enumerate(pictures) if index not in others]
    return rest[:calibration] or pictures[:calibration], [pictures[index] for index in sorted(others)]


def compute_capability(text: str) -> tuple[int, int]:
    """Parse the compute capability of a GPU.

    >>> compute_capability("8.6")
    (8, 6)
    """
    major, _, minor = text.partition(".")
    try:
        return int(major), int(minor)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a compute capability; use X.Y, such as 8.6") from None
