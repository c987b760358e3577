"""``python -m quant.train``: train a keypoint network from scratch or from a checkpoint."""

from __future__ import annotations

import argparse
import json
from dataclasses import fields
from pathlib import Path

import torch

from edgehrnet.cli.arguments import parse_size
from edgehrnet.errors import EdgeHRNetError
from edgehrnet.models import available
from quant.commandline import add_weight, loss_weights, option
from quant.data.codecs import CODECS
from quant.data.opening import ACCEPTED, parse_fold
from quant.training.pose_losses import POSE_LOSSES
from quant.training.processes import World
from quant.training.settings import AMP_TYPES, TrainSettings
from quant.training.trainer import Trainer


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
    add_weight(p, "those of quant.training.losses.Weights")
    p.add_argument("--no-augmentation", dest="augment", action="store_false", help="labeled pictures as they are")
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
