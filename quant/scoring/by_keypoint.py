"""Summarize the errors of each keypoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quant.scoring.evaluation import Evaluation
from quant.scoring.metrics import spread


@dataclass(frozen=True)
class KeypointScore:
    """Errors of one keypoint, with NaN where it was never scored."""

    name: str
    """Name of the keypoint."""
    scored: int
    """Number of times that it was scored."""
    mean_px: float
    """Mean error in picture pixels."""
    median_px: float
    """Median error in picture pixels."""
    p95_px: float
    """95th percentile of the error in picture pixels."""
    mean_percent: float
    """Mean error in percent of the picture's diagonal."""
    mean_object_percent: float
    """Mean error in percent of the object's size, see `object_percent`. NaN for models that take whole pictures."""
    worst: int | None
    """Index of the picture or box with the largest error in pixels. None if the keypoint was never scored."""


def by_keypoint(evaluation: Evaluation, names: Sequence[str]) -> list[KeypointScore]:
    """Return the scores of the K keypoints, in channel order.

    Args:
        evaluation: Evaluation with K keypoints.
        names: Their names in the order of the data.
    """
    relative = object_percent(evaluation)
    columns = zip(names, evaluation.errors.T, evaluation.percent.T, relative.T, strict=True)
    return [
        KeypointScore(
            name,
            int(np.isfinite(errors).sum()),
            *spread(errors),
            spread(percent)[0],
            spread(of_object)[0],
            int(np.nanargmax(errors)) if np.isfinite(errors).any() else None,
        )
        for name, errors, percent, of_object in columns
    ]


def object_percent(evaluation: Evaluation) -> NDArray[np.float64]:
    """Return errors ``(N, K)`` in percent of the object's size, which is the square root of its area.

    They are NaN where nothing was scored, where the area is not known, and for models that take whole pictures.
    """
    known = (evaluation.areas > 0) & (evaluation.boxes is not None)
    sizes = np.sqrt(np.where(known, evaluation.areas, np.nan))
    return np.asarray(100 * evaluation.errors / sizes[:, None], np.float64)


def worst_of(scores: Sequence[KeypointScore]) -> int | None:
    """Return the index of the keypoint with the largest mean error in pixels, or None if none was scored."""
    means = np.array([score.mean_px for score in scores])
    return int(np.nanargmax(means)) if np.isfinite(means).any() else None
