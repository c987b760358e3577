"""Draw a sheet of augmented training pictures with their keypoints, to check the labels before training."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from edgehrnet.cli.status import run
from edgehrnet.drawing.files import save_picture
from edgehrnet.errors import InputError
from quant.data.arguments import add_crop_argument, add_data_arguments, open_labels
from quant.data.documents.corners import NAME
from quant.data.labeled import Labeled
from quant.reporting.contact_sheet import contact_sheet
from quant.training.recipes import input_size

SIDE = 256
"""Crops are drawn with about as many pixels as a square of this side."""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(prog="python -m quant.contact", description=__doc__)
    add_data_arguments(p, default=NAME, fold="leave out part K of N, counted from 0, as training does (default: none)")
    add_crop_argument(p)
    p.add_argument("--out", type=Path, default=Path("contact.png"), metavar="PICTURE",
                   help="picture to write, .png or .jpg (default: %(default)s)")  # fmt: skip
    p.add_argument("--count", type=int, default=100, metavar="N", help="pictures on the sheet (default: %(default)s)")
    p.add_argument("--seed", type=int, default=0, help="seed of the augmentation (default: %(default)s)")
    p.add_argument("--cell", type=int, default=240, metavar="PX",
                   help="longest side of a picture on the sheet, in pixels (default: %(default)s)")  # fmt: skip
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run(parser(), _contact, arguments)


def _contact(args: argparse.Namespace) -> None:
    data = open_labels(args, None if args.crop == "none" else args.crop)
    spec = data.spec.replace(input_size=input_size(data, SIDE)) if isinstance(data, Labeled) else data.spec
    sheet = contact_sheet(data, args.count, spec=spec, seed=args.seed, cell=args.cell)
    try:
        save_picture(sheet, args.out)
    except ValueError as error:
        raise InputError(f"cannot write {str(args.out)!r}: {error}; use .png or .jpg") from None
    print(f"{args.out}: {args.count} pictures of {args.data}, {sheet.width}x{sheet.height} px (width x height)")


if __name__ == "__main__":
    raise SystemExit(main())
