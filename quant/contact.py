"""``python -m quant.contact``: a sheet of training pictures with their keypoints, to look at before training."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgehrnet.errors import EdgeHRNetError, InputError
from quant.data.opening import ACCEPTED, open_data, parse_fold
from quant.reporting.contact_sheet import contact_sheet


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    p = argparse.ArgumentParser(prog="python -m quant.contact", description=__doc__)
    p.add_argument("--data", default="synthetic:document-corners", help=f"{ACCEPTED} (default: the first)")
    p.add_argument("--fold", type=parse_fold, metavar="K/N", help="leave out part K of N, as training would")
    p.add_argument("--out", type=Path, required=True, metavar="PICTURE")
    p.add_argument("--count", type=int, default=100)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--cell", type=int, default=240, help="longest side of a picture on the sheet, px")
    args = p.parse_args(arguments)
    try:
        data = open_data(args.data, args.fold)
        sheet = contact_sheet(data, args.count, seed=args.seed, cell=args.cell)
        try:
            sheet.save(args.out)
        except (OSError, ValueError) as error:
            raise InputError(f"cannot write {str(args.out)!r}: {error}; use .png or .jpg") from None
    except EdgeHRNetError as error:
        p.exit(2, f"error: {error}\n")
    print(f"{args.out}: {args.count} pictures of {args.data}, {sheet.width}x{sheet.height} px")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
