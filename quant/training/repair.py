"""Repair a network after some of its activations were exchanged, by training it to answer as before."""

from __future__ import annotations

import argparse
import dataclasses
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from edgehrnet.errors import InputError
from edgehrnet.models import Output
from edgehrnet.models.checkpoints import Checkpoint, build_model
from edgehrnet.spec import ModelSpec
from quant.training.distillation import Teacher
from quant.training.losses import Weights
from quant.training.parts import parts_of_checkpoint
from quant.training.settings import TrainSettings
from quant.training.trainer import Trainer


@dataclass(frozen=True)
class RepairSettings(TrainSettings):
    """Settings of a repair, which starts from the checkpoint ``init``.

    Raises:
        InputError: A value is not accepted.
    """

    steps: int = 300
    """Training steps."""
    batch: int = 8
    """Pictures in a batch."""
    learning_rate: float = 3e-4
    """Largest learning rate."""
    canonical: float = 0.0
    """Share of the steps with a fixed order of the keypoints, see TrainSettings."""
    ema: float = 0.99
    """Decay of the averaged weights."""
    validate_every: int = 200
    """Steps between validations. The last step is always followed by one."""
    heatmaps: float = 0.1
    """Factor of the distance to the heatmaps of the network as it was."""
    features: float = 1.0
    """Factor of the distance to its features."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.init is None:
            raise InputError("init=None: a repair needs the checkpoint to start from")


class RepairTrainer(Trainer):
    """A float training run whose loss also holds the distance to the network as it was. ``ema.pt`` is the result.

    Args:
        settings: Settings of the run, with the exchanged activations in their options.
        out: Folder to write into.
        checkpoint: Content of ``settings.init``.

    Raises:
        InputError: Checkpoint, data and settings do not fit together.
        DeviceError: The device is not present.
    """

    def __init__(self, settings: RepairSettings, out: Path, checkpoint: Checkpoint) -> None:
        parts = parts_of_checkpoint(settings, checkpoint)
        # Training at other sizes does not change the size that the network is used at.
        parts = dataclasses.replace(parts, spec=ModelSpec.from_dict(checkpoint.spec))
        super().__init__(settings, out, parts=parts)
        before = build_model(checkpoint).to(self.device)
        self.teacher = Teacher(before, self.spec, settings.heatmaps, settings.features)

    def _extra_terms(self, image: Tensor, output: Output) -> dict[str, Tensor]:
        return self.teacher.terms(image, output)


def repair_settings(args: argparse.Namespace, changed: Checkpoint) -> RepairSettings:
    """Return the settings of a repair, with the loss that the checkpoint was trained with.

    Args:
        args: Parsed arguments of ``quant.speedup``.
        changed: The checkpoint with its new activations.
    """
    trained = changed.training.get("settings", {})
    return RepairSettings(
        data=args.data,
        fold=args.fold,
        images=args.images,
        flip_pairs=None if args.flip_pairs is None else tuple(args.flip_pairs),
        model=changed.variant,
        options=changed.options,
        init=str(args.checkpoint),
        sizes=tuple(args.sizes),
        steps=args.steps,
        batch=args.batch,
        learning_rate=args.learning_rate,
        workers=args.workers,
        device=args.device,
        seed=args.seed,
        validate_count=args.validate_count,
        loss=trained.get("loss"),
        weights=Weights(**trained.get("weights", {})),
    )
