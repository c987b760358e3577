"""Lay out the scores of several models as a table or as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from edgehrnet.cli.tables import table
from quant.scoring.evaluation import RADII, Evaluation
from quant.scoring.metrics import spread
from quant.scoring.model import OpenModel

NAME_WIDTH = 30  # characters of a model's name in the table, whose other columns need some 85


def report(
    evaluations: Sequence[Evaluation], radii: Sequence[float] = RADII, nmes: Sequence[float] | None = None
) -> str:
    """Lay out one row a model; a column that no model has a value for is left out. ``nmes``: of each, a column more."""
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
        (_shorten(evaluation.name), *(_cell(summary[key], style) for key, style in shown.values()))
        for evaluation, summary in zip(evaluations, summaries, strict=True)
    ]
    if nmes is None:
        return table(("model", *shown), rows)
    wider = [(*row, f"{value:.2f}") for row, value in zip(rows, nmes, strict=True)]
    return table(("model", *shown, "NME %"), wider)


def _cell(value: float | None, style: str) -> str:
    return format(math.nan if value is None else value, style)


def _shorten(name: str) -> str:
    """Keep the end of a long name, which tells files apart."""
    return name if len(name) <= NAME_WIDTH else "..." + name[3 - NAME_WIDTH :]


def as_json(model: OpenModel, evaluation: Evaluation, radii: Sequence[float]) -> dict[str, Any]:
    """Return everything about one model as JSON values; None where nothing was scored."""
    names = model.spec.keypoints
    return {
        "model": model.name,
        "precision": model.spec.precision,
        "input_size": list(model.spec.input_size),
        **evaluation.summary(radii),
        "keypoint_mean_px": dict(zip(names, _plain(spread(c)[0] for c in evaluation.errors.T), strict=True)),
        "picture_mean_px": _plain(evaluation.picture_px),
        "picture_diagonal_px": _plain(evaluation.diagonals),
        "picture_confidence": _plain(evaluation.conf.mean(axis=1)),
        "picture_empty": evaluation.empty.tolist(),
    }


def _plain(values: Any) -> list[float | None]:
    return [None if math.isnan(value) else round(float(value), 4) for value in values]
