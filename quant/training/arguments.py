"""Add the options of training to a command line, and turn parsed arguments into settings."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from edgehrnet.cli.arguments import parse_size
from edgehrnet.errors import InputError, nearest
from edgehrnet.models.checkpoints import Checkpoint, load_checkpoint
from edgehrnet.models.networks.options import Options
from edgehrnet.models.variants import VARIANTS
from quant.data.opening import open_data
from quant.training.losses import Weights
from quant.training.pose_losses import POSE_LOSSES
from quant.training.qat_settings import QatSettings, steps_of
from quant.training.settings import AMP_TYPES, TrainSettings


def add_training_arguments(p: argparse.ArgumentParser, default: type[TrainSettings], usual: str) -> None:
    """Add the options that float training and quantization-aware training share.

    Args:
        p: parser of the command.
        default: settings with the default values.
        usual: default of options that depend on the network, such as "the network's usual".
    """
    shown = _defaults(default)
    terms = ", ".join(f"{name}={value:g}" for name, value in vars(Weights()).items())
    if default is not TrainSettings:
        terms = f"{usual}, or else {terms}"
    p.add_argument("--sizes", type=parse_size, nargs="+", default=[], metavar="HEIGHTxWIDTH",
                   help=f"input sizes, used in turn by the batches (default: {usual})")  # fmt: skip
    p.add_argument("--batch", type=int, default=_fixed(default, "batch"), metavar="N",
                   help=f"pictures in a batch of one process (default: {shown['batch']})")  # fmt: skip
    p.add_argument("--learning-rate", type=float, default=_fixed(default, "learning_rate"), metavar="RATE",
                   help="largest learning rate, falling to a hundredth at the end "
                        f"(default: {shown['learning_rate']})")  # fmt: skip
    p.add_argument("--weight-decay", type=float, default=default.weight_decay, metavar="FACTOR",
                   help="weight decay of the convolutions (default: %(default)s)")  # fmt: skip
    p.add_argument("--warmup", type=float, default=default.warmup, metavar="SHARE",
                   help="share of the steps in which the learning rate rises (default: %(default)s)")  # fmt: skip
    p.add_argument("--canonical", type=float, default=default.canonical, metavar="SHARE",
                   help="share of the steps with a fixed order of cyclic keypoints (default: %(default)s)")  # fmt: skip
    p.add_argument("--ema", type=float, default=_fixed(default, "ema"), metavar="DECAY",
                   help=f"decay of the averaged weights, the result (default: {shown['ema']})")  # fmt: skip
    p.add_argument("--weight", dest="weights", type=option, action="append", default=[], metavar="NAME=VALUE",
                   help=f"factor of a term of the loss; repeatable (default: {terms})")  # fmt: skip
    p.add_argument("--loss", choices=list(POSE_LOSSES), help=f"loss of linear heatmaps (default: {usual})")
    p.add_argument("--no-augmentation", dest="augment", action="store_false",
                   help="use labeled pictures as they are (default: augment them)")  # fmt: skip
    _add_process_arguments(p, default)


def add_validation_argument(p: argparse.ArgumentParser) -> None:
    """Add ``--val``."""
    p.add_argument("--val", dest="validation", metavar="DATA",
                   help="labels of the validation set (default: taken from --data, see --fold)")  # fmt: skip


def _fixed(default: type[TrainSettings], name: str) -> Any:
    """Return the default of an option. Float training leaves it to the recipe."""
    return None if default is TrainSettings else getattr(default, name)


def _defaults(default: type[TrainSettings]) -> dict[str, str]:
    """Return the defaults of the options that a recipe may choose, for their help texts."""
    names = ("batch", "learning_rate", "ema", "validate_every")
    start = "the recipe's, or " if default is TrainSettings else ""
    return {name: f"{start}{getattr(default, name)}" for name in names}


def _add_process_arguments(p: argparse.ArgumentParser, default: type[TrainSettings]) -> None:
    """Add the options that say how and where a run computes."""
    shown = _defaults(default)
    p.add_argument("--amp", choices=AMP_TYPES, default=default.amp, help="mixed precision (default: %(default)s)")
    p.add_argument("--device", default=default.device,
                   help="torch device, such as cpu, cuda or cuda:1 (default: %(default)s)")  # fmt: skip
    p.add_argument("--workers", type=int, default=default.workers, metavar="N",
                   help="processes that prepare pictures; 0: the training process (default: %(default)s)")  # fmt: skip
    p.add_argument("--validate-every", type=int, default=_fixed(default, "validate_every"), metavar="STEPS",
                   help="steps between validations and saved checkpoints "
                        f"(default: {shown['validate_every']})")  # fmt: skip
    p.add_argument("--validate-count", type=int, default=default.validate_count, metavar="N",
                   help="largest number of examples to validate on (default: %(default)s)")  # fmt: skip
    p.add_argument("--resume", action="store_true",
                   help="continue the interrupted run in --out (default: start a new one)")  # fmt: skip
    p.add_argument("--threads", type=int, metavar="N", help="CPU threads of each process (default: all)")


def take_network(args: argparse.Namespace) -> None:
    """Take network and options of the checkpoint that ``--init`` names, unless ``--model`` names a network."""
    if args.init is None or args.model is not None:
        return
    checkpoint = load_checkpoint(args.init)
    args.model = checkpoint.variant
    args.options = [*checkpoint.options.items(), *args.options]


def train_settings(args: argparse.Namespace) -> TrainSettings:
    """Return the settings of a float training run. Every field is named here, so that none is lost."""
    given = {
        "model": args.model,
        "options": dict(args.options),
        "init": args.init,
        "steps": args.steps,
        "codec": args.codec,
        "loss": args.loss,
        "weights": loss_weights(args.weights),
        "crop": None if args.crop == "none" else args.crop,
        **_shared(args),
    }
    return TrainSettings(**{name: value for name, value in given.items() if value is not None or name == "crop"})


def with_recipe(settings: TrainSettings, chosen: dict[str, Any], args: argparse.Namespace) -> TrainSettings:
    """Return the settings with the values of a recipe, except for those that the arguments give."""
    return dataclasses.replace(
        settings, **{name: value for name, value in chosen.items() if getattr(args, name) in (None, [])}
    )


def qat_settings(args: argparse.Namespace, checkpoint: Checkpoint, processes: int = 1) -> QatSettings:
    """Return the settings of a QAT run. Network and loss are those of the checkpoint, unless the arguments differ.

    Args:
        args: parsed arguments of ``quant.qat``.
        checkpoint: content of ``args.checkpoint``.
        processes: number of processes, which share the steps of an epoch.
    """
    if args.steps is not None and args.epochs is not None:
        raise InputError("--steps and --epochs cannot be combined; use one of them")
    steps = QatSettings.steps if args.steps is None else args.steps
    if args.epochs is not None:
        data = open_data(args.data, args.fold, images=args.images, crop=checkpoint.spec.get("crop"))
        steps = steps_of(args.epochs, data, args.batch * processes)
    options = dict(checkpoint.options)
    before = {**VARIANTS[checkpoint.variant].options, **options}.get("activation", Options.activation)
    if args.activation is not None:
        options["activation"] = args.activation
        options.pop("activations", None)
    recovery = args.recovery
    if recovery is None:
        recovery = steps // 2 if args.activation not in (None, before) else 0
    trained = checkpoint.training.get("settings", {})
    return QatSettings(
        model=checkpoint.variant,
        options=options,
        init=str(args.checkpoint),
        steps=steps,
        loss=args.loss or trained.get("loss"),
        weights=loss_weights([*trained.get("weights", {}).items(), *args.weights]),
        target=args.targets[0],
        weight_bits=args.weight_bits,
        recovery=recovery,
        observers=args.observers,
        statistics=args.statistics,
        distillation=args.distillation,
        learned=args.lsq,
        calibration=min(args.calibration, QatSettings.calibration),
        method=args.method,
        **_shared(args),
    )


def _shared(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "data": args.data,
        "fold": args.fold,
        "validation": args.validation,
        "images": args.images,
        "flip_pairs": None if args.flip_pairs is None else tuple(args.flip_pairs),
        "sizes": tuple(args.sizes),
        "batch": args.batch,
        "learning_rate": args.learning_rate,
        "weight_decay": args.weight_decay,
        "warmup": args.warmup,
        "canonical": args.canonical,
        "ema": args.ema,
        "amp": args.amp,
        "device": args.device,
        "workers": args.workers,
        "seed": args.seed,
        "validate_every": args.validate_every,
        "validate_count": args.validate_count,
        "augment": args.augment,
    }


def option(text: str) -> tuple[str, Any]:
    """Parse ``NAME=VALUE``. Numbers, true, false and lists are read as JSON, and anything else as a string.

    >>> option("auxiliary=true"), option("fuse=weighted")
    (('auxiliary', True), ('fuse', 'weighted'))
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE; use for example fuse=weighted")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def loss_weights(given: Sequence[tuple[str, Any]]) -> Weights:
    """Return the factors of the loss with some of them changed.

    Raises:
        InputError: a name is unknown, or a value is not a number from 0.

    >>> loss_weights([("peak", 10)]).peak
    10
    """
    names = [f.name for f in fields(Weights)]
    for name, value in given:
        if name not in names:
            raise InputError(f"--weight {name}: {nearest(name, names)}")
        if not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise InputError(f"--weight {name}={value}: the value must be a number from 0, such as {name}=0.5")
    return Weights(**dict(given))
