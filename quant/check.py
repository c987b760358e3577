"""Check labels and pictures before they are used, and show what was found."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from edgehrnet.cli.status import run
from edgehrnet.drawing.files import save_picture
from edgehrnet.errors import InputError
from quant.data.arguments import add_label_arguments
from quant.data.formats.recognition import FORMATS
from quant.data.keypoint_order import check_order
from quant.data.opening import read_annotations
from quant.data.same_pictures import note_duplicates, note_repeated
from quant.reporting.label_sheet import label_sheet
from quant.reporting.label_table import label_table, remark_lines


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(prog="python -m quant.check", description=__doc__)
    p.add_argument("data", metavar="DATA", help=FORMATS)
    add_label_arguments(p)
    p.add_argument("--val", dest="validation", metavar="DATA",
                   help="labels of the validation set, to be checked as well (default: none)")  # fmt: skip
    p.add_argument("--strict", action="store_true", help="treat warnings as errors (default: no)")
    p.add_argument("--out", type=Path, metavar="PICTURE",
                   help="draw 16 random instances and the 16 strangest ones here (default: draw nothing)")  # fmt: skip
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run(parser(), _check, arguments)


def _check(args: argparse.Namespace) -> None:
    labels = read_annotations(args.data, args.images, args.flip_pairs)
    print(label_table(labels))
    note_repeated(labels)
    if args.validation is not None:
        others = read_annotations(args.validation, args.images, args.flip_pairs)
        check_order(others.keypoints, labels.keypoints, str(others.source), str(labels.source))
        print(f"\n{label_table(others)}")
        labels.remarks.extend(others.remarks)
        note_duplicates(labels, others)
    for lines in remark_lines(labels.remarks):
        print(f"\n{lines}")
    if args.out is not None and any(labels.trained()):
        save_picture(label_sheet(labels), args.out)
        print(f"\n{args.out}: labels drawn on their pictures")
    found = {level: sum(remark.count for remark in labels.remarks.of(level)) for level in ("error", "warning")}
    if found["error"] or (args.strict and found["warning"]):
        raise InputError(f"{args.data}: errors: {found['error']}, warnings: {found['warning']}, see above")
    print(f"\n{args.data}: no errors, warnings: {found['warning']}")


if __name__ == "__main__":
    raise SystemExit(main())
