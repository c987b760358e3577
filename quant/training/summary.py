"""Describe a training run and its scores for people."""

from __future__ import annotations

import copy
import math
import platform
import shlex
import time
from collections.abc import Mapping

import torch

from edgehrnet.cli.tables import table
from quant.data.codecs import usual_codec
from quant.data.labeled import Labeled
from quant.training.qat_settings import QatSettings
from quant.training.recipes import SMALL, object_share
from quant.training.trainer import Trainer

TIMED = 3
"""Pictures that are read to estimate how long a run takes."""
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
    """Return lines that say what is trained, on which data, with which settings, and where the files go."""
    settings, spec = trainer.settings, trainer.spec
    millions = sum(p.numel() for p in trainer.network.parameters()) / 1e6
    sizes = ", ".join(f"{height}x{width}" for height, width in settings.sizes)
    kind = "whole pictures" if spec.crop is None else f"{spec.crop} crops of boxes"
    processes = f", {trainer.world.size} processes" if trainer.world.size > 1 else ""
    rows = {
        "data": f"{settings.data}: {_counts(trainer)}, {_many(len(spec.keypoints), 'keypoint')}",
        "validation": validation_set(trainer),
        "left, right": _sides(trainer),
        "network": f"{settings.model}, {millions:.1f} M parameters"
        + ("" if settings.init is None else f", starting from {settings.init}"),
        "input": f"{sizes} (height x width), {kind}{_advice(trainer)}",
        "device": f"{trainer.device}{processes}",
        "steps": f"{settings.steps}, each with {trainer.pictures} pictures"
        + (f", continuing at {trainer.step}" if trainer.step else ""),
        "settings": f"{_codec(trainer)}--learning-rate {settings.learning_rate:g} "
        f"--ema {settings.ema:g} --validate-every {settings.validate_every}",
        "time": _time(trainer),
        "output": f"{trainer.out}" + (f" on {platform.node()}" if trainer.world.size > 1 else ""),
    }
    width = max(map(len, rows))
    return "\n".join(f"{name.ljust(width)}  {text}" for name, text in rows.items())


def _codec(trainer: Trainer) -> str:
    """Return the option ``--codec``. Quantization-aware training does not have it, and gets an empty text."""
    settings = trainer.settings
    return "" if isinstance(settings, QatSettings) else f"--codec {settings.codec or usual_codec(trainer.spec)} "


def _advice(trainer: Trainer) -> str:
    """Suggest crops where whole pictures show small objects."""
    data = trainer.data
    if not isinstance(data, Labeled) or trainer.spec.crop is not None or object_share(data) >= SMALL:
        return ""
    share = object_share(data)
    pixels = share * math.prod(trainer.settings.largest_size) ** 0.5
    return (
        f"; objects are {share:.0%} of them, about {pixels:.0f} px in the input, so --crop hrnet is more exact if you "
        "will have boxes, and larger --sizes without"
    )


def _time(trainer: Trainer) -> str:
    """Return how long the run will take, and what to do if preparing the pictures takes most of it.

    Pictures are prepared by other processes while the network learns, unless there are none.
    """
    settings = trainer.settings
    network, pictures = step_seconds(trainer), trainer.batch * picture_seconds(trainer) / max(1, settings.workers)
    seconds = max(network, pictures) if settings.workers else network + pictures
    text = f"about {_duration(seconds * (settings.steps - trainer.step))}"
    if pictures <= 2 * network:
        return text
    return f"{text}, mostly to read and augment the pictures; pass more --workers, or make large pictures smaller"


def picture_seconds(trainer: Trainer) -> float:
    """Time how long it takes to read and augment a training picture, as the mean of `TIMED` pictures."""
    started = time.perf_counter()
    for number in range(TIMED):
        trainer.data.training(trainer.settings.seed, number)
    return (time.perf_counter() - started) / TIMED


def step_seconds(trainer: Trainer) -> float:
    """Estimate the duration of a training step: time the second one of a copy of the network on black pictures."""
    settings = trainer.settings
    network = copy.deepcopy(trainer.network).train()
    with torch.random.fork_rng():
        for size in (settings.largest_size,) * 2:
            started = time.perf_counter()
            pixels = torch.zeros(trainer.batch, trainer.spec.channels, *size, device=trainer.device)
            network(pixels).heatmaps.float().mean().backward()
            if trainer.device.type == "cuda":
                torch.cuda.synchronize()
    return time.perf_counter() - started


def _duration(seconds: float) -> str:
    """Return a duration in words.

    >>> _duration(80), _duration(4020), _duration(300_000)
    ('1 min 20 s', '1 h 7 min', '83 h')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 24:
        return f"{hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _sides(trainer: Trainer) -> str:
    """Say which keypoints a mirrored picture exchanges, or why pictures are not mirrored."""
    spec, names = trainer.spec, trainer.spec.keypoints
    if isinstance(trainer.data, Labeled) and trainer.data.annotations.unpaired:
        alone = ", ".join(trainer.data.annotations.unpaired)
        return f"pictures are not mirrored, because no partner is known for {alone}; pass --flip-pairs LEFT=RIGHT"
    pairs = ", ".join(f"{names[a]}={names[b]}" for a, b in spec.flip_pairs)
    return f"pairs {pairs}" if pairs else "no keypoint has a side in its name"


def validation_set(trainer: Trainer) -> str:
    """Say which examples a run is validated on."""
    settings, data, most = trainer.settings, trainer.data, trainer.settings.validate_count
    if not isinstance(data, Labeled):
        return f"{most} synthetic pictures that are never trained on"
    _, _, count = data.counts()
    some = _many(count, "instance") if count <= most else f"the first {most} of {count} instances"
    if not data.held_out:
        return f"NONE HELD OUT: scores are of training pictures ({some}); pass --fold 0/5 or --val DATA"
    if settings.validation is not None:
        return f"{settings.validation}: {some}"
    assert settings.fold is not None
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
            f"scored      {scores['keypoints']:.0f} keypoints, errors and PCK distances in % of the picture's diagonal",
            table([heading for heading, _ in shown.values()], [cells]),
            *(["ECE: calibration error of the confidence, 0 is best"] if "ece" in shown else []),
        )
    )


def next_steps(trainer: Trainer) -> str:
    """Return the files of a run, and the commands that draw its curve and quantize its network.

    They have no ``--val``, because quantization uses training pictures only, and with ``--val`` these are all of
    ``--data``.
    """
    settings = trainer.settings
    quantize = ["python", "-m", "quant.ptq", str(trainer.out / "ema.pt"), "--data", settings.data]
    if settings.fold is not None:
        quantize += ["--fold", f"{settings.fold[0]}/{settings.fold[1]}"]
    if settings.images is not None:
        quantize += ["--images", settings.images]
    rows = {
        "network": f"{trainer.out / 'ema.pt'}",
        "log": f"{trainer.out / 'log.jsonl'}",
        "curve": shlex.join(["python", "-m", "quant.curve", str(trainer.out)]),
        "next": shlex.join([*quantize, "--out", str(trainer.out)]),
    }
    return "\n".join(f"{name.ljust(10)}  {text}" for name, text in rows.items())


def _counts(trainer: Trainer) -> str:
    """Say how many pictures and instances ``--data`` has."""
    if not isinstance(trainer.data, Labeled):
        return "synthetic pictures, never repeated"
    instances = list(trainer.data.annotations.trained())  # without those of --val
    pictures = {instance.picture.path for instance in instances}
    return f"{_many(len(pictures), 'picture')}, {_many(len(instances), 'instance')}"


def _many(count: int, noun: str) -> str:
    """Return a count with its noun.

    >>> _many(1, "keypoint"), _many(2, "keypoint")
    ('1 keypoint', '2 keypoints')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
