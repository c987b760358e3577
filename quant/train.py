"""Train a keypoint network, from scratch or from a checkpoint."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from edgehrnet.cli.status import run
from edgehrnet.models import available
from quant.data.arguments import add_crop_argument, add_data_arguments, print_remarks
from quant.data.codecs import CODECS
from quant.training.arguments import (
    add_training_arguments,
    add_validation_argument,
    option,
    take_network,
    train_settings,
    with_recipe,
)
from quant.training.parts import float_parts, open_training_data
from quant.training.processes import World
from quant.training.recipes import recipe
from quant.training.settings import TrainSettings
from quant.training.summary import description, next_steps, score_lines
from quant.training.trainer import Trainer


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line. Defaults are those of the recipe, or else of TrainSettings."""
    default = TrainSettings
    p = argparse.ArgumentParser(prog="python -m quant.train", description=__doc__)
    add_data_arguments(
        p, default=default.data, fold="validate on part K of N, counted from 0, and train on the others "
        "(default: train and validate on all pictures)",
    )  # fmt: skip
    add_validation_argument(p)
    p.add_argument("--out", type=Path, metavar="DIR",
                   help="folder for checkpoints and log (default: runs/NAME of the data)")  # fmt: skip
    add_crop_argument(p)
    p.add_argument("--recipe", choices=("auto", "none"), default="auto",
                   help="auto chooses network, input size, steps and so on by the number of labels, except for those "
                        "given here (default: %(default)s)")  # fmt: skip
    p.add_argument("--model", help=f"network: {', '.join(available())} "
                   f"(default: that of --init, or else the recipe's, or {default.model})")  # fmt: skip
    p.add_argument("--option", dest="options", type=option, action="append", default=[], metavar="NAME=VALUE",
                   help="option of the network, such as auxiliary=true; repeatable (default: none)")  # fmt: skip
    p.add_argument("--init", metavar="CHECKPOINT", help="start from these weights (default: random weights)")
    p.add_argument("--steps", type=int, metavar="N",
                   help=f"training steps (default: the recipe's, or {default.steps})")  # fmt: skip
    p.add_argument("--codec", choices=list(CODECS),
                   help="encoding of keypoints as heatmaps (default: the recipe's, or the network's)")  # fmt: skip
    add_training_arguments(p, default, "the recipe's, or the network's usual")
    p.add_argument("--seed", type=int, default=default.seed, help="seed of weights and pictures (default: %(default)s)")
    return p


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run(parser(), _train, arguments)


def _train(args: argparse.Namespace) -> None:
    if args.threads:
        torch.set_num_threads(args.threads)
    with World.join(args.device) as world:
        take_network(args)
        settings = train_settings(args)
        data = open_training_data(settings)
        if args.recipe == "auto":
            settings = with_recipe(settings, recipe(data, args.model, args.steps), args)
        out = args.out or Path("runs") / data.spec.name
        trainer = Trainer(settings, out, world, float_parts(settings, data))
        if args.resume or world.elastic:
            trainer.resume(required=args.resume)
        if world.rank == 0:
            print_remarks(data)
            print(description(trainer), flush=True)
        scores = trainer.run()
        if world.rank == 0:
            print(f"\n{score_lines(trainer, scores)}\n\n{next_steps(trainer)}")


if __name__ == "__main__":
    raise SystemExit(main())
