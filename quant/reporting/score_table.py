"""Lay out the scores of several models as text or as JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from edgehrnet.cli.tables import table
from quant.scoring.average_precision import NAMES
from quant.scoring.evaluation import DEFAULT_SIGMA, RADII, Evaluation
from quant.scoring.metrics import spread
from quant.scoring.model import OpenModel

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
    """Explain the units of a score table, and say so where AP uses the default OKS constants."""
    text = "px: picture pixels. mean % and the distance of PCK 1%: in percent of the picture's diagonal."
    if evaluation.sigmas:
        return text
    sigma = f"AP uses the default sigma {DEFAULT_SIGMA} for every keypoint, as the data set has none"
    return f"{text}\n{sigma}: compare it on this data only."


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
    model: OpenModel, evaluation: Evaluation, radii: Sequence[float], coco: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Return all scores of one model as JSON values, None where nothing was scored.

    Args:
        model: Model.
        evaluation: Its evaluation.
        radii: Distances of the PCK in picture pixels.
        coco: COCO's ten numbers, to be added as ``coco``.
    """
    names = model.spec.keypoints
    return {
        "model": model.name,
        "precision": model.spec.precision,
        "input_size": list(model.spec.input_size),
        **evaluation.summary(radii),
        "keypoint_mean_px": dict(zip(names, _rounded(spread(c)[0] for c in evaluation.errors.T), strict=True)),
        "picture_mean_px": _rounded(evaluation.picture_px),
        "picture_diagonal_px": _rounded(evaluation.diagonals),
        "picture_confidence": _rounded(evaluation.conf.mean(axis=1)),
        "picture_empty": evaluation.empty.tolist(),
        **({} if coco is None else {"coco": dict(zip(coco, _rounded(coco.values()), strict=True))}),
    }


def _rounded(values: Iterable[float]) -> list[float | None]:
    """Round to four digits, and replace NaN by None."""
    return [None if math.isnan(value) else round(float(value), 4) for value in values]
