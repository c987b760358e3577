"""Write one HTML page about a model: its scores, its worst and best pictures, and how reliable its confidence is."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from edgehrnet.cli.arguments import add_verify_option
from edgehrnet.cli.status import run
from edgehrnet.errors import InputError
from quant.data.arguments import add_data_arguments, open_labels
from quant.data.documents.corners import NAME
from quant.reporting.model_report import make_report
from quant.scoring.average_precision import load_pycocotools
from quant.scoring.model import open_model
from runtimes.writing import write_file


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(prog="python -m quant.report", description=__doc__)
    p.add_argument("model", metavar="MODEL", help="model file, shipped name, or .pt checkpoint")
    add_data_arguments(p, default=NAME, fold="score part K of N, counted from 0 (default: all)")
    p.add_argument("--count", type=int, metavar="N", help="pictures to score (default: all, or 2000 synthetic ones)")
    p.add_argument("--out", type=Path, default=Path("report.html"), help="page to write (default: %(default)s)")
    p.add_argument("--device", help="device name, such as cpu or gpu (default: the first one that the file type has)")
    add_verify_option(p)
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run(parser(), _report, arguments)


def _report(args: argparse.Namespace) -> None:
    if args.count is not None and args.count < 1:
        raise InputError(f"--count {args.count} is not a number of pictures; use 1 or more")
    if not args.out.parent.is_dir():
        raise InputError(f"--out {args.out}: there is no folder {args.out.parent}")
    load_pycocotools()  # fail now rather than after an hour of scoring
    data = open_labels(args)
    with open_model(args.model, args.device, verify=args.verify, trusted=args.trusted) as model:
        text = make_report(model, data, args.count, progress=True)
    write_file(args.out, text)
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    raise SystemExit(main())
