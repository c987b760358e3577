"""Average the weights of two checkpoints of the same network.

Where the second checkpoint was trained on from the first, on other pictures or at other sizes, the mean keeps what the
first could do and most of what the second learned: Wortsman et al., "Robust fine-tuning of zero-shot models", 2022.
Batch-norm statistics are averaged too. Heads that only one of the checkpoints has are left out.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from edgehrnet.cli.arguments import parse_size
from edgehrnet.cli.status import run
from edgehrnet.models.checkpoints import load_checkpoint, save_checkpoint
from edgehrnet.spec import ModelSpec
from quant.training.averaging import average, with_common_heads


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    p = argparse.ArgumentParser(prog="python -m quant.average", description=__doc__)
    p.add_argument("first", type=Path, help="checkpoint")
    p.add_argument("second", type=Path, help="checkpoint that was trained on from the first")
    p.add_argument("--share", type=float, default=0.5, help="weight of the second, in 0..1 (default: %(default)s)")
    p.add_argument("--size", type=parse_size, metavar="HEIGHTxWIDTH", help="input size (default: the second's)")
    p.add_argument("--out", type=Path, required=True, metavar="FILE", help="checkpoint to write, in float16 (required)")
    return p


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run(parser(), _average, arguments)


def _average(args: argparse.Namespace) -> None:
    first, second = with_common_heads(load_checkpoint(args.first), load_checkpoint(args.second))
    spec = ModelSpec.from_dict(second.spec).replace(input_size=args.size or second.spec["input_size"])
    save_checkpoint(
        args.out,
        second.variant,
        {"keypoints": second.keypoints, **second.options},
        average(first, second, args.share),
        spec.to_dict(),
        second.training,
        dtype=torch.float16,
    )
    print(f"wrote {args.out}; next: python -m quant.ptq {args.out} --data DATA --out DIR")


if __name__ == "__main__":
    raise SystemExit(main())
