"""Train a keypoint network, from scratch or from a checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from edgehrnet.cli.status import run
from edgehrnet.models import available
from quant.data.codecs import CODECS
from quant.data.opening import ACCEPTED, parse_fold
from quant.training.arguments import add_training_arguments, option, train_settings
from quant.training.processes import World
from quant.training.settings import TrainSettings
from quant.training.summary import description, next_command, score_lines
from quant.training.trainer import Trainer


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line. All defaults are those of TrainSettings."""
    default = TrainSettings
    p = argparse.ArgumentParser(prog="python -m quant.train", description=__doc__)
    p.add_argument("--data", default=default.data, help=f"{ACCEPTED} (default: %(default)s)")
    p.add_argument("--fold", type=parse_fold, metavar="K/N",
                   help="validate on part K of N, counted from 0, and train on the others "
                        "(default: train and validate on all pictures)")  # fmt: skip
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for checkpoints and log (required)")
    p.add_argument("--model", default=default.model,
                   help=f"network: {', '.join(available())} (default: %(default)s)")  # fmt: skip
    p.add_argument("--option", dest="options", type=option, action="append", default=[], metavar="NAME=VALUE",
                   help="option of the network, such as auxiliary=true; repeatable (default: none)")  # fmt: skip
    p.add_argument("--init", metavar="CHECKPOINT", help="start from these weights (default: random weights)")
    p.add_argument("--steps", type=int, default=default.steps, metavar="N",
                   help="training steps (default: %(default)s)")  # fmt: skip
    p.add_argument("--codec", choices=list(CODECS),
                   help="encoding of keypoints as heatmaps (default: the network's usual)")  # fmt: skip
    add_training_arguments(p, default, "the network's usual")
    p.add_argument("--seed", type=int, default=default.seed, help="seed of weights and pictures (default: %(default)s)")
    return p


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run(parser(), _train, arguments)


def _train(args: argparse.Namespace) -> None:
    if args.threads:
        torch.set_num_threads(args.threads)
    with World.join(args.device) as world:
        trainer = Trainer(train_settings(args), args.out, world)
        if args.resume:
            trainer.resume()
        if world.rank == 0:
            print(description(trainer), flush=True)
        scores = trainer.run()
        if world.rank == 0:
            print(f"\n{score_lines(trainer, scores)}\n\nnext: {next_command(trainer)}")


if __name__ == "__main__":
    raise SystemExit(main())
