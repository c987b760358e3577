"""Lay out the scores of several models as text or as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from edgehrnet.cli.tables import table
from quant.scoring.average_precision import NAMES
from quant.scoring.by_keypoint import by_keypoint
from quant.scoring.evaluation import RADII, Evaluation
from quant.scoring.model import OpenModel
from quant.scoring.trained_pictures import Trained

NAME_WIDTH = 30  # characters of a model's name; the other columns need about 85


def score_table(
    evaluations: Sequence[Evaluation], radii: Sequence[float] = RADII, nmes: Sequence[float] | None = None
) -> str:
    """Lay out one row for each model. Columns without a value are left out.

    Args:
        evaluations: Evaluations, one for each model.
        radii: Distances of the PCK in picture pixels.
        nmes: Normalized mean error of each model, to be shown as another column.
    """
    columns = {
        "mean px": ("mean_px", ".2f"),
        "median px": ("median_px", ".2f"),
        "p95 px": ("p95_px", ".2f"),
        **{f"PCK {radius:g}px": (f"pck@{radius:g}px", ".1f") for radius in radii},
        "mean %": ("mean_percent", ".2f"),
        "PCK 1%": ("pck1", ".1f"),
        "OKS AP": ("oks_ap", ".3f"),
        "AUROC": ("presence_auroc", ".3f"),
    }
    summaries = [evaluation.summary(radii) for evaluation in evaluations]
    shown = {head: column for head, column in columns.items() if any(s[column[0]] is not None for s in summaries)}
    rows = [
        (shorten(evaluation.name), *(_cell(summary[key], style) for key, style in shown.values()))
        for evaluation, summary in zip(evaluations, summaries, strict=True)
    ]
    if nmes is None:
        return table(("model", *shown), rows)
    wider = [(*row, f"{value:.2f}") for row, value in zip(rows, nmes, strict=True)]
    return table(("model", *shown, "NME %"), wider)


def legend(evaluation: Evaluation) -> str:
    """Explain the units of a score table, and say why it has no AP where the labels state no OKS sigmas."""
    text = "px: picture pixels. mean % and the distance of PCK 1%: in percent of the picture's diagonal."
    return text if evaluation.sigmas else f"{text}\nNo AP: the labels state no OKS sigmas for these keypoints."


def counted(evaluation: Evaluation) -> str:
    """Say how much was scored, such as ``2 pictures, 8 keypoints scored``."""
    number, scored = len(evaluation.errors), int(np.isfinite(evaluation.errors).sum())
    pictures = _number(number, "picture")
    if evaluation.boxes is not None:
        pictures = f"{_number(number, 'box', 'boxes')} in {_number(len(set(evaluation.paths)), 'picture')}"
    return f"{pictures}, {_number(scored, 'keypoint')} scored"


def _number(count: int, one: str, many: str | None = None) -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def trained_text(names: Sequence[str], trained: Sequence[Trained]) -> str:
    """Lay out what is known about the training pictures of models: one line for each."""
    return "\n".join(f"{shorten(name)}: {known.text}" for name, known in zip(names, trained, strict=True))


def coco_table(names: Sequence[str], scores: Sequence[Mapping[str, float]]) -> str:
    """Lay out COCO's ten numbers, one row for each model."""
    rows = [(shorten(name), *(f"{row[key]:.3f}" for key in NAMES)) for name, row in zip(names, scores, strict=True)]
    return table(("model", *NAMES), rows)


def _cell(value: float | None, style: str) -> str:
    return format(math.nan if value is None else value, style)


def shorten(name: str) -> str:
    """Keep the end of a long name, which tells files apart."""
    return name if len(name) <= NAME_WIDTH else "..." + name[3 - NAME_WIDTH :]


def as_json(
    model: OpenModel,
    evaluation: Evaluation,
    names: Sequence[str],
    radii: Sequence[float],
    coco: Mapping[str, float] | None = None,
    trained: Trained | None = None,
) -> dict[str, Any]:
    """Return all scores of one model as JSON values, None where nothing was scored.

    Args:
        model: Model.
        evaluation: Its evaluation.
        names: Names of the keypoints in the order of the data.
        radii: Distances of the PCK in picture pixels.
        coco: COCO's ten numbers, to be added as ``coco``.
        trained: Which pictures were trained on, to be added as a number, ``pictures_trained``.
    """
    scores = by_keypoint(evaluation, names)
    columns = {name: _rounded(getattr(score, name) for score in scores) for name in ("mean_px", "median_px", "p95_px")}
    return {
        "model": model.name,
        "precision": model.spec.precision,
        "input_size": list(model.spec.input_size),
        **evaluation.summary(radii),
        "keypoint_scored": {score.name: score.scored for score in scores},
        **{f"keypoint_{name}": dict(zip(names, values, strict=True)) for name, values in columns.items()},
        "picture_file": [None if path is None else str(path) for path in evaluation.paths],
        "picture_mean_px": _rounded(evaluation.picture_px),
        "picture_diagonal_px": _rounded(evaluation.diagonals),
        "picture_confidence": _rounded(evaluation.conf.mean(axis=1)),
        "picture_empty": evaluation.empty.tolist(),
        "pictures_trained": None if trained is None or trained.paths is None else len(trained.paths),
        **({} if coco is None else {"coco": dict(zip(coco, _rounded(coco.values()), strict=True))}),
    }


def _rounded(values: Iterable[float]) -> list[float | None]:
    """Round to four digits, and replace NaN by None."""
    return [None if math.isnan(value) else round(float(value), 4) for value in values]
