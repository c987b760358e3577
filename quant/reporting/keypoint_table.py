"""Lay out the errors of each keypoint as text."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from edgehrnet.cli.tables import table
from quant.reporting.picture_names import picture_names
from quant.reporting.score_table import shorten
from quant.scoring.by_keypoint import KeypointScore, by_keypoint, worst_of
from quant.scoring.evaluation import Evaluation

MOST = 40
"""Largest number of keypoints that are all listed without ``--per-keypoint``."""
WORST = 20
"""Number of keypoints that are listed if there are more than `MOST`."""
MARK = " *"


def keypoint_table(evaluations: Sequence[Evaluation], names: Sequence[str], *, complete: bool = False) -> str:
    """Lay out one row for each keypoint, and below it a line that explains the columns.

    One model gets a column for each statistic and the picture with the largest error. Several models get one column
    each, with the mean error in pixels. The keypoint with the largest mean error of the first model has a star.

    Args:
        evaluations: Evaluations, one for each model.
        names: Names of the keypoints in channel order.
        complete: List all keypoints. Otherwise, if there are more than `MOST`, only the `WORST` worst, worst first.
    """
    scores = [by_keypoint(evaluation, names) for evaluation in evaluations]
    first = scores[0]
    order, notes = list(range(len(first))), []
    if len(order) > MOST and not complete:
        order = sorted(order, key=lambda k: (math.isnan(first[k].mean_px), -first[k].mean_px))[:WORST]
        notes.append(f"These are the {WORST} worst of {len(first)} keypoints. --per-keypoint lists all.")
    worst = worst_of(first)
    heads = [first[k].name + (MARK if k == worst else "") for k in order]
    if worst is not None:
        notes.insert(0, f"*: the largest mean error{' of the first model' if len(scores) > 1 else ''}.")
    if len(scores) > 1:
        text = _side_by_side(heads, [[row[k] for k in order] for row in scores], [each.name for each in evaluations])
        notes.insert(0, "Mean error of each model in picture pixels.")
    else:
        text, unit = _one_model(heads, [first[k] for k in order], picture_names(evaluations[0]))
        notes.insert(0, unit)
    return "\n".join((text, "", *notes))


def _one_model(heads: Sequence[str], scores: Sequence[KeypointScore], pictures: Sequence[str]) -> tuple[str, str]:
    """Return the table of one model and the units of its columns."""
    crops = any(not math.isnan(score.mean_object_percent) for score in scores)
    rows = [
        (
            head,
            str(score.scored),
            *(f"{value:.2f}" for value in (score.mean_px, score.median_px, score.p95_px, score.mean_percent)),
            *([f"{score.mean_object_percent:.2f}"] if crops else []),
            "" if score.worst is None else shorten(pictures[score.worst]),
        )
        for head, score in zip(heads, scores, strict=True)
    ]
    size = ("size %",) if crops else ()
    text = table(("keypoint", "scored", "mean px", "median px", "p95 px", "mean %", *size, "worst picture"), rows)
    unit = "mean %: mean in percent of the picture's diagonal."
    return text, unit + (" size %: mean in percent of the object's size, sqrt(area)." if crops else "")


def _side_by_side(heads: Sequence[str], scores: Sequence[Sequence[KeypointScore]], models: Sequence[str]) -> str:
    rows = [
        (head, str(each[0].scored), *(f"{score.mean_px:.2f}" for score in each))
        for head, each in zip(heads, zip(*scores, strict=True), strict=True)
    ]
    return table(("keypoint", "scored", *_short(models)), rows)


def _short(models: Sequence[str]) -> list[str]:
    """Return the file names of models, or the ends of their paths where several files have the same name."""
    names = [Path(model).name for model in models]
    counts = Counter(names)
    return [shorten(name if counts[name] == 1 else model) for name, model in zip(names, models, strict=True)]
