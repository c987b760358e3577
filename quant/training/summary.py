"""Describe a training run and its scores for people."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from edgehrnet.cli.tables import table
from quant.data.labeled import Labeled
from quant.training.trainer import Trainer

SCORES = {
    "mean_percent": ("mean %", ".2f"),
    "median_percent": ("median %", ".2f"),
    "p95_percent": ("p95 %", ".2f"),
    "pck1": ("PCK 1%", ".1f"),
    "pck2": ("PCK 2%", ".1f"),
    "pck3": ("PCK 3%", ".1f"),
    "presence_auroc": ("AUROC", ".3f"),
    "ece": ("ECE", ".3f"),
}
"""Heading and format of each score."""


def description(trainer: Trainer) -> str:
    """Return a block that says what a run trains, on what it is validated, and where its files go."""
    settings, spec = trainer.settings, trainer.spec
    millions = sum(p.numel() for p in trainer.network.parameters()) / 1e6
    sizes = ", ".join(f"{height}x{width}" for height, width in settings.sizes)
    kind = "whole pictures" if spec.crop is None else f"{spec.crop} crops of boxes"
    processes = f", {trainer.world.size} processes" if trainer.world.size > 1 else ""
    rows = {
        "data": f"{settings.data}: {_counts(trainer)}, {len(spec.keypoints)} keypoints",
        "validation": validation_set(trainer),
        "network": f"{settings.model}, {millions:.1f} M parameters"
        + ("" if settings.init is None else f", starting from {settings.init}"),
        "input": f"{sizes} (height x width), {kind}",
        "device": f"{trainer.device}{processes}",
        "steps": f"{settings.steps}, each with {settings.batch * trainer.world.size} pictures"
        + (f", continuing at {trainer.step}" if trainer.step else ""),
        "output": f"{trainer.out}",
    }
    width = max(map(len, rows))
    return "\n".join(f"{name.ljust(width)}  {text}" for name, text in rows.items())


def validation_set(trainer: Trainer) -> str:
    """Say which examples a run is validated on."""
    settings, data, most = trainer.settings, trainer.data, trainer.settings.validate_count
    if not isinstance(data, Labeled):
        return f"{most} synthetic pictures that are never trained on"
    _, _, count = data.counts()
    some = f"{count} instances" if count <= most else f"the first {most} of {count} instances"
    if settings.fold is None:
        return f"none held out: scores are of training pictures ({some})"
    return f"fold {settings.fold[0]}/{settings.fold[1]}: {some}"


def score_lines(trainer: Trainer, scores: Mapping[str, float | None]) -> str:
    """Lay out the scores of a validation as a table. Scores without a value are left out."""
    if not scores:
        return f"nothing left to train: {trainer.out} is complete"
    shown = {key: style for key, style in SCORES.items() if scores.get(key) is not None}
    cells = [format(scores[key], style) for key, (_, style) in shown.items()]
    return "\n".join(
        (
            f"validation  {validation_set(trainer)}",
            f"scored      {scores['keypoints']:.0f} keypoints, errors in % of the picture's diagonal",
            table([heading for heading, _ in shown.values()], [cells]),
        )
    )


def next_command(trainer: Trainer) -> str:
    """Return the command that quantizes the network of a run."""
    settings = trainer.settings
    command = ["python", "-m", "quant.ptq", str(trainer.out / "ema.pt"), "--data", settings.data]
    if settings.fold is not None:
        command += ["--fold", f"{settings.fold[0]}/{settings.fold[1]}"]
    return shlex.join([*command, "--out", str(trainer.out)])


def _counts(trainer: Trainer) -> str:
    if not isinstance(trainer.data, Labeled):
        return "synthetic pictures without end"
    pictures, instances, _ = trainer.data.counts()
    return f"{pictures} pictures, {instances} instances"
