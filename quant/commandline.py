"""Share options, value parsers and error handling between the commands of `quant`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehrnet.picture.crops import CONVENTIONS
from quant.data.examples import DataSet
from quant.data.labeled import Labeled
from quant.data.opening import ACCEPTED, CropChoice, open_data, open_pictures, parse_flip_pair, parse_fold
from quant.files.model_file import TARGETS
from quant.int8.calibration import METHODS, PICTURES
from quant.int8.scheme import SCHEMES, Int8Scheme


def add_data_arguments(
    p: argparse.ArgumentParser, *, fold: str, data: str = ACCEPTED, default: str | None = None, required: bool = True
) -> None:
    """Add the arguments that say where labels and pictures are.

    Args:
        p: parser of the command.
        fold: help text of ``--fold``.
        data: help text of ``--data``.
        default: data set if ``--data`` is not given.
        required: whether ``--data`` has to be given if there is no default.
    """
    p.add_argument("--data", required=required and default is None, default=default,
                   help=data if default is None else f"{data} (default: %(default)s)")  # fmt: skip
    add_label_arguments(p)
    p.add_argument("--fold", type=parse_fold, metavar="K/N", help=fold)


def add_label_arguments(p: argparse.ArgumentParser) -> None:
    """Add the arguments that say how labels are read."""
    p.add_argument("--images", metavar="DIR", help="folder of the pictures (default: look beside the labels)")
    p.add_argument("--flip-pairs", type=parse_flip_pair, nargs="+", metavar="LEFT=RIGHT",
                   help="keypoints that a mirrored picture exchanges (default: by their names)")  # fmt: skip


def add_crop_argument(p: argparse.ArgumentParser) -> None:
    """Add ``--crop``."""
    p.add_argument("--crop", choices=("auto", "none", *CONVENTIONS), default="auto",
                   help="what the network takes: none for whole pictures, else crops of boxes by this convention "
                        "(default: auto, which is hrnet if a picture shows several instances, else none)")  # fmt: skip


def open_labels(args: argparse.Namespace, crop: CropChoice = "auto") -> DataSet:
    """Open the data set of `add_data_arguments`, and print what was dropped or looks wrong in its labels."""
    data = open_data(args.data, args.fold, crop=crop, images=args.images, flip_pairs=args.flip_pairs)
    print_remarks(data)
    return data


def print_remarks(data: DataSet) -> None:
    """Print what was dropped or looks wrong in the labels, one line for each kind, on standard error."""
    if isinstance(data, Labeled):
        for remark in data.annotations.remarks.of("warning", "dropped"):
            print(f"{remark.level}: {remark.text()}", file=sys.stderr)


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


def schemes_of(args: argparse.Namespace) -> list[Int8Scheme]:
    """Return the scheme of every target, with the weight bits of the arguments."""
    return [scheme.replace(weight_bits=args.weight_bits) for scheme in SCHEMES.values()]


def calibration_pictures(args: argparse.Namespace, crop: CropChoice = "auto") -> list[NDArray[np.uint8]]:
    """Read the calibration pictures for a network that takes ``crop``."""
    return list(open_pictures(args.data, args.calibration, args.fold, args.seed, crop=crop, images=args.images))


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
