"""Define the options that say where labels are, and open the data set that they name. Torch is not needed."""

from __future__ import annotations

import argparse
import sys

from edgehrnet.picture.crops import CONVENTIONS
from quant.data.examples import DataSet
from quant.data.labeled import Labeled
from quant.data.opening import ACCEPTED, UNPAIRED, CropChoice, open_data, parse_flip_pair, parse_fold


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
    p.add_argument("--images", metavar="DIR", help="folder that holds the pictures (default: search beside the labels)")
    p.add_argument("--flip-pairs", type=parse_flip_pair, nargs="+", metavar="LEFT=RIGHT",
                   help="pairs that a mirrored picture exchanges, besides those in the names or in the labels "
                        "(default: none)")  # fmt: skip


def add_crop_argument(p: argparse.ArgumentParser) -> None:
    """Add ``--crop``."""
    p.add_argument("--crop", choices=("auto", "none", *CONVENTIONS), default="auto",
                   help="input of the network: whole pictures (none), or crops around boxes as HRNet or UDP make "
                        "them (default: auto: hrnet if a picture shows several instances, else none)")  # fmt: skip


def open_labels(args: argparse.Namespace, crop: CropChoice = "auto") -> DataSet:
    """Open the data set of `add_data_arguments`, and print what was dropped or looks wrong in its labels."""
    data = open_data(args.data, args.fold, crop=crop, images=args.images, flip_pairs=args.flip_pairs)
    print_remarks(data)
    return data


def print_remarks(data: DataSet) -> None:
    """Print what was dropped or looks wrong in the labels, one line for each kind, on standard error."""
    if isinstance(data, Labeled):
        for remark in data.annotations.remarks.of("warning", "dropped"):
            if remark.kind == UNPAIRED:  # only training mirrors, and its summary says it
                continue
            print(f"{remark.level}: {remark.text()}", file=sys.stderr)
