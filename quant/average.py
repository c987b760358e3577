"""``python -m quant.average``: a checkpoint between two of one network, which often is better than either.

Of two checkpoints, the second trained on from the first, on other pictures or at other sizes, the weights in between
keep what the first could do and most of what the second learned: Wortsman et al., "Robust fine-tuning of zero-shot
models", 2022. BN statistics are averaged as weights are. Heads that one of the two lacks are left out. It runs at the
second's input size unless told otherwise.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from edgehrnet.cli.arguments import parse_size
from edgehrnet.errors import EdgeHRNetError
from edgehrnet.models.checkpoints import load_checkpoint, save_checkpoint
from edgehrnet.spec import ModelSpec
from quant.training.averaging import alike, average


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    p = argparse.ArgumentParser(prog="python -m quant.average", description=__doc__)
    p.add_argument("first", type=Path, help="checkpoint")
    p.add_argument("second", type=Path, help="checkpoint, trained on from the first")
    p.add_argument("--share", type=float, default=0.5, help="of the second, 0..1 (default: %(default)s)")
    p.add_argument("--size", type=parse_size, metavar="HxW", help="input height x width (default: the second's)")
    p.add_argument("--out", type=Path, required=True, metavar="FILE", help="checkpoint to write, in float16")
    args = p.parse_args(arguments)
    try:
        first, second = alike(load_checkpoint(args.first), load_checkpoint(args.second))
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
    except (EdgeHRNetError, OSError) as error:
        p.exit(2, f"error: {error}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
