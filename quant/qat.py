"""Fine-tune a float checkpoint with simulated quantization, and build INT8 files."""

from __future__ import annotations

import argparse

import torch

from edgehrnet.cli.status import run
from edgehrnet.models.checkpoints import load_checkpoint
from edgehrnet.models.networks.options import CHOICES
from quant.commandline import (
    add_allow_float,
    add_arguments,
    add_max_drift,
    calibration_pictures,
    int8_status,
    schemes_of,
    warn_of_drift,
)
from quant.data.arguments import print_remarks
from quant.files.build import save_and_build
from quant.training.arguments import add_training_arguments, add_validation_argument, qat_settings
from quant.training.processes import World
from quant.training.qat_settings import QatSettings
from quant.training.qat_trainer import QatTrainer
from quant.training.summary import description, score_lines


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line. Defaults of the training are those of QatSettings."""
    default = QatSettings
    p = argparse.ArgumentParser(prog="python -m quant.qat", description=__doc__)
    add_arguments(p)
    add_allow_float(p)
    add_max_drift(p)
    add_validation_argument(p)
    p.add_argument("--steps", type=int, metavar="N",
                   help=f"training steps, including those of --recovery (default: {default.steps})")  # fmt: skip
    p.add_argument("--epochs", type=float, metavar="N",
                   help="how often to use each labeled picture, instead of --steps (default: see --steps)")  # fmt: skip
    p.add_argument("--observers", type=float, default=default.observers, metavar="SHARE",
                   help="share of the quantized steps after which ranges are fixed (default: %(default)s)")  # fmt: skip
    p.add_argument("--statistics", type=float, default=default.statistics, metavar="SHARE",
                   help="share of the quantized steps after which batch-norm statistics are fixed "
                        "(default: %(default)s)")  # fmt: skip
    p.add_argument("--distillation", type=float, default=default.distillation, metavar="FACTOR",
                   help="weight of the distance to the float network's heatmaps (default: %(default)s)")  # fmt: skip
    p.add_argument("--lsq", action="store_true", help="train the ranges too (default: they follow the network)")
    p.add_argument("--activation", choices=CHOICES["activation"],
                   help="replace the activation, and first train in float (default: the checkpoint's)")  # fmt: skip
    p.add_argument("--recovery", type=int, metavar="STEPS",
                   help="steps in float before quantizing "
                        "(default: half of all steps with another activation, else 0)")  # fmt: skip
    add_training_arguments(p, default, "the checkpoint's")
    return p


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run(parser(), _train, arguments)


def _train(args: argparse.Namespace) -> int:
    if args.threads:
        torch.set_num_threads(args.threads)
    with World.join(args.device) as world:
        checkpoint = load_checkpoint(args.checkpoint)
        trainer = QatTrainer(qat_settings(args, checkpoint, world.size), args.out, checkpoint, world)
        if args.resume or world.elastic:
            trainer.resume(required=args.resume)
        if world.rank == 0:
            print_remarks(trainer.data)
            print(description(trainer), flush=True)
        scores = trainer.run()
        if world.rank > 0:
            return 0
        print(f"\nsimulated INT8\n{score_lines(trainer, scores)}\n")
        pictures = calibration_pictures(args, trainer.spec.crop)
        done = trainer.calibrated(pictures, schemes_of(args), args.method)
        files = save_and_build(done, args.out, args.name or done.spec["name"], args.targets, pictures, args.max_drift)
        warn_of_drift(files, args.max_drift)
        return int8_status(files, args.allow_float)


if __name__ == "__main__":
    raise SystemExit(main())
