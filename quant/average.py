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

from edgehrnet.cli import parse_size
from edgehrnet.errors import EdgeHRNetError, InputError
from edgehrnet.models.checkpoints import Checkpoint, load_checkpoint, save_checkpoint
from edgehrnet.models.loading import HEADS, without_heads
from edgehrnet.spec import ModelSpec


def average(first: Checkpoint, second: Checkpoint, share: float) -> dict[str, torch.Tensor]:
    """Return the state that is ``share`` (0..1) of the way from the first checkpoint's to the second's.

    Integer tensors are the second's. Raises InputError for checkpoints of two networks, or another share.
    """
    if not 0 <= share <= 1:
        raise InputError(f"share={share}: between 0, all of the first checkpoint, and 1, all of the second")
    networks = [(c.variant, c.keypoints, c.options) for c in (first, second)]
    if networks[0] != networks[1]:
        raise InputError(f"two networks, {networks[0]} and {networks[1]}; averaged are checkpoints of one")
    return {
        name: torch.lerp(first.state[name].float(), end.float(), share) if end.is_floating_point() else end
        for name, end in second.state.items()
    }


def alike(first: Checkpoint, second: Checkpoint) -> tuple[Checkpoint, Checkpoint]:
    """Return both without the heads that one of the two lacks; a shipped checkpoint has fewer than its training had."""
    lacking = [head for head in HEADS if not (first.options.get(head) and second.options.get(head))]
    return without_heads(first, lacking), without_heads(second, lacking)


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
