"""``python -m quant.curve``: draw the logs of training runs, one after the other, as one picture."""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt

from quant.reporting.training_curve import draw, read_logs


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    p = argparse.ArgumentParser(prog="python -m quant.curve", description=__doc__)
    p.add_argument("logs", type=Path, nargs="+", metavar="log.jsonl")
    p.add_argument("--out", type=Path, required=True, metavar="PICTURE")
    args = p.parse_args(arguments)
    plt.switch_backend("agg")
    draw(read_logs(args.logs), args.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
