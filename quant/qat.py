"""``python -m quant.qat``: fine-tune a float checkpoint with quantizers in it, and build INT8 files."""

from __future__ import annotations

import argparse
import dataclasses
import math
from pathlib import Path
from typing import Any

import torch

from edgehrnet.cli.arguments import parse_size
from edgehrnet.errors import EdgeHRNetError, InputError
from edgehrnet.models.checkpoints import Checkpoint, load_checkpoint
from edgehrnet.models.networks.options import CHOICES, Options
from edgehrnet.models.variants import VARIANTS
from edgehrnet.spec import ModelSpec
from quant.commandline import add_arguments, add_weight, calibration_pictures, loss_weights, schemes_of
from quant.data.opening import open_data
from quant.files.build import save_and_build
from quant.int8.calibration import network_inputs
from quant.int8.fake_quantize import learned_table
from quant.int8.pipeline import calibrate
from quant.training.processes import World
from quant.training.qat_trainer import QatSettings, QatTrainer
from quant.training.settings import AMP_TYPES


def parser() -> argparse.ArgumentParser:
    """Return the command line; defaults of the training are QatSettings' own."""
    p = argparse.ArgumentParser(prog="python -m quant.qat", description=__doc__)
    add_arguments(p)
    p.add_argument("--steps", type=int, help="training steps, the recovery included (default 400)")
    p.add_argument("--epochs", type=float, help="instead of --steps: how often to see the labeled pictures")
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--sizes", type=parse_size, nargs="+", metavar="HxW", help="input sizes (default: the checkpoint's)")
    p.add_argument("--learning-rate", type=float, default=QatSettings.learning_rate)
    p.add_argument("--ema", type=float, default=QatSettings.ema, help="decay of the averaged weights")
    p.add_argument("--observers", type=float, default=QatSettings.observers, help="share after which ranges are fixed")
    p.add_argument("--statistics", type=float, default=QatSettings.statistics, help="share after which BN is fixed")
    add_weight(p, "those that the checkpoint was trained with")
    p.add_argument("--distillation", type=float, default=0.0, help="weight of the float network's heatmaps")
    p.add_argument("--no-augmentation", dest="augment", action="store_false", help="labeled pictures as they are")
    p.add_argument("--lsq", action="store_true", help="train the ranges too")
    p.add_argument(
        "--activation", choices=CHOICES["activation"], help="swap the activation, and recover in float first"
    )
    p.add_argument("--recovery", type=int, help="steps in float before quantizing (default: half, if there is a swap)")
    p.add_argument("--amp", choices=list(AMP_TYPES), default="none")
    p.add_argument("--device", default="cpu")
    p.add_argument("--workers", type=int, default=1)
    p.add_argument("--validate-every", type=int, default=200)
    p.add_argument("--validate-count", type=int, default=100)
    p.add_argument("--resume", action="store_true", help="go on in --out from where it was interrupted")
    p.add_argument("--threads", type=int, help="CPU threads of each process (default: all)")
    return p


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    p = parser()
    args = p.parse_args(arguments)
    if args.threads:
        torch.set_num_threads(args.threads)
    world = World.join(args.device)
    try:
        checkpoint = load_checkpoint(args.checkpoint)
        trainer = QatTrainer(settings(args, checkpoint, world.size), args.out, world)
        if args.resume:
            trainer.resume()
        scores = trainer.run()
        if world.rank == 0:
            finish(args, trainer, scores)
    except EdgeHRNetError as error:
        p.exit(2, f"error: {error}\n")
    finally:
        world.leave()
    return 0


def settings(args: argparse.Namespace, checkpoint: Checkpoint, processes: int) -> QatSettings:
    """Turn arguments into settings; what is not given, the loss's factors too, comes from the checkpoint."""
    if args.steps is not None and args.epochs is not None:
        raise InputError("give --steps or --epochs, not both")
    steps = QatSettings.steps if args.steps is None else args.steps
    if args.epochs is not None:
        count = len(open_data(args.data, args.fold))
        if not count:
            raise InputError(f"{args.data} has no end, and so no epochs: give --steps")
        steps = max(1, math.ceil(args.epochs * count / (args.batch * processes)))
    own = {**VARIANTS[checkpoint.variant].options, **checkpoint.options}.get("activation", Options.activation)
    swapped = args.activation is not None and args.activation != own
    recovery = args.recovery if args.recovery is not None else (steps // 2 if swapped else 0)
    names = {field.name for field in dataclasses.fields(QatSettings)}
    given: dict[str, Any] = {name: value for name, value in vars(args).items() if name in names}
    options = dict(checkpoint.options)
    if args.activation is not None:
        options["activation"] = args.activation
    trained = checkpoint.training.get("settings", {})
    given |= {
        "model": checkpoint.variant,
        "options": options,
        "init": str(args.checkpoint),
        "sizes": tuple(args.sizes or [ModelSpec.from_dict(checkpoint.spec).input_size]),
        "loss": trained.get("loss"),
        "weights": loss_weights([*trained.get("weights", {}).items(), *args.weights]),
        "steps": steps,
        "recovery": recovery,
        "learned": args.lsq,
        "target": args.targets[0],
        "calibration": min(args.calibration, QatSettings.calibration),
    }
    return QatSettings(**given)


def finish(args: argparse.Namespace, trainer: QatTrainer, scores: dict[str, float | None]) -> None:
    """Calibrate the averaged weights for every target, save them with their ranges, and build."""
    trained = load_checkpoint(args.out / "ema.pt")
    pictures = calibration_pictures(args)
    images = network_inputs(pictures, ModelSpec.from_dict(trained.spec))
    done = calibrate(trained, images, schemes_of(args), method=args.method, progress=True)
    if args.lsq:
        # What was learned is kept for the target it was learned for.
        target = args.targets[0]
        learned = learned_table(trainer.ema.network, done.table(target))
        done = dataclasses.replace(done, quantization={**done.quantization, target: learned})
    print(f"fake-quantized, on what is held back: {scores}")
    save_and_build(done, args.out, args.name or Path(args.checkpoint).stem, args.targets, pictures)


if __name__ == "__main__":
    raise SystemExit(main())
