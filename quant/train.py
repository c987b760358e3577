"""``python -m quant.train``: train a keypoint network from scratch or from a checkpoint."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from edgehrnet.cli import parse_size
from edgehrnet.errors import EdgeHRNetError, InputError, nearest
from edgehrnet.models import available
from quant.data.sources import ACCEPTED, parse_fold
from quant.data.targets import CODECS
from quant.losses import Weights
from quant.pose_losses import POSE_LOSSES
from quant.processes import World
from quant.train_settings import AMP_TYPES, TrainSettings
from quant.training import Trainer


def option(text: str) -> tuple[str, Any]:
    """``"fuse=weighted"`` -> ("fuse", "weighted"); numbers, true, false and lists as in JSON.

    >>> option("auxiliary=true"), option("fuse=weighted")
    (('auxiliary', True), ('fuse', 'weighted'))
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r}: write NAME=VALUE, such as fuse=weighted")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def parser() -> argparse.ArgumentParser:
    """Return the command line; every default is TrainSettings' own."""
    default = TrainSettings()
    p = argparse.ArgumentParser(prog="python -m quant.train", description=__doc__)
    p.add_argument("--data", default=default.data, help=f"{ACCEPTED} (default: the first)")
    p.add_argument("--fold", type=parse_fold, metavar="K/N", help="hold back part K of N, counted from 0")
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="where checkpoints and the log go")
    p.add_argument("--model", default=default.model, help=f"one of {', '.join(available())}")
    p.add_argument("--option", dest="options", type=option, action="append", default=[], metavar="NAME=VALUE",
                   help="an option of the network, such as auxiliary=true; repeatable")  # fmt: skip
    p.add_argument("--init", metavar="CHECKPOINT", help="start from these weights")
    p.add_argument("--steps", type=int, default=default.steps)
    p.add_argument("--batch", type=int, default=default.batch)
    p.add_argument("--sizes", type=parse_size, nargs="+", default=list(default.sizes), metavar="HxW")
    p.add_argument("--learning-rate", type=float, default=default.learning_rate)
    add_weight(p, "those of quant.losses.Weights")
    p.add_argument("--no-augmentation", dest="augment", action="store_false", help="labelled pictures as they are")
    p.add_argument("--codec", choices=list(CODECS), help="how keypoints become heatmaps (default: the network's usual)")
    p.add_argument("--loss", choices=list(POSE_LOSSES), help="of heatmaps (default: the network's usual)")
    p.add_argument("--canonical", type=float, default=default.canonical,
                   help="share of the steps with a fixed corner order")  # fmt: skip
    p.add_argument("--ema", type=float, default=default.ema, help="decay of the averaged weights")
    p.add_argument("--amp", choices=list(AMP_TYPES), default=default.amp)
    p.add_argument("--device", default=default.device)
    p.add_argument("--workers", type=int, default=default.workers)
    p.add_argument("--seed", type=int, default=default.seed)
    p.add_argument("--validate-every", type=int, default=default.validate_every)
    p.add_argument("--validate-count", type=int, default=default.validate_count)
    p.add_argument("--resume", action="store_true", help="go on in --out from where it was interrupted")
    p.add_argument("--threads", type=int, help="CPU threads of each process (default: all)")
    return p


def add_weight(p: argparse.ArgumentParser, otherwise: str) -> None:
    """Add ``--weight``, for loss_weights; ``otherwise`` says what holds where it is not given."""
    names = ", ".join(f.name for f in fields(Weights))
    p.add_argument("--weight", dest="weights", type=option, action="append", default=[], metavar="NAME=VALUE",
                   help=f"factor of the loss: {names}; repeatable (default: {otherwise})")  # fmt: skip


def loss_weights(given: Sequence[tuple[str, Any]]) -> Weights:
    """Return the loss's factors with some of them changed; InputError for an unknown name or no number.

    >>> loss_weights([("peak", 10)]).peak
    10
    """
    names = [f.name for f in fields(Weights)]
    for name, value in given:
        if name not in names:
            raise InputError(f"--weight {name}: {nearest(name, names)}")
        if not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise InputError(f"--weight {name}={value}: a number from 0, such as {name}=0.5")
    return Weights(**dict(given))


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    p = parser()
    args = p.parse_args(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    names = {f.name for f in fields(TrainSettings)}
    given = {name: value for name, value in vars(args).items() if name in names}
    given |= {"options": dict(args.options), "sizes": tuple(args.sizes)}
    world = World.join(args.device)
    try:
        given["weights"] = loss_weights(args.weights)
        trainer = Trainer(TrainSettings(**given), args.out, world)
        if args.resume:
            trainer.resume()
        scores = trainer.run()
    except EdgeHRNetError as error:
        p.exit(2, f"error: {error}\n")
    finally:
        world.leave()
    if world.rank == 0:
        print(json.dumps(scores))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
