"""Draw the loss and the validation scores of training runs, one run after the other, as one picture."""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

from edgehrnet.cli.status import run
from edgehrnet.errors import InputError
from quant.reporting.training_curve import draw, read_logs
from runtimes.writing import write_file


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(prog="python -m quant.curve", description=__doc__)
    p.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a training run, or its log.jsonl")
    p.add_argument("--out", type=Path, default=Path("curve.png"), metavar="PICTURE",
                   help="picture to write, .png, .svg or .pdf (default: %(default)s)")  # fmt: skip
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run(parser(), _curve, arguments)


def _curve(args: argparse.Namespace) -> None:
    lines = read_logs(args.runs)
    try:
        file = io.BytesIO()  # see save_picture
        draw(lines).savefig(file, dpi=110, format=args.out.suffix[1:] or None)
        write_file(args.out, file.getvalue())
    except ValueError as error:  # a suffix that matplotlib does not write
        raise InputError(f"cannot write {args.out}: {error}") from None
    print(f"{args.out}: up to step {lines[-1]['step']}")


if __name__ == "__main__":
    raise SystemExit(main())
