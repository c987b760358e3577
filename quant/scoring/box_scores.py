"""Compute COCO's AP and AR of models that run on crops, in the boxes of the labels or of a detector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgehrnet.errors import InputError
from quant.data.examples import DataSet
from quant.data.labeled import Labeled
from quant.scoring.average_precision import coco_scores, detect
from quant.scoring.detections import Detection, read_boxes, true_boxes
from quant.scoring.evaluation import Evaluation
from quant.scoring.model import OpenModel, in_order_of


@dataclass(frozen=True)
class BoxScores:
    """Keypoints that one model found in the boxes, and their scores."""

    results: list[dict[str, Any]]
    """Detections as COCO results."""
    scores: dict[str, float] | None
    """COCO's ten numbers. None where the labels state no OKS sigmas."""


def open_boxes(data: DataSet, boxes: Path | None, results: Path | None) -> list[Detection] | None:
    """Check ``--boxes`` and ``--results``, and return the boxes of a detector, or None for those of the labels.

    Raises:
        InputError: The data has no labels, or ``--boxes`` without ``--results`` has no sigmas to compute AP with, or
            the boxes cannot be used, see `read_boxes`.
    """
    if boxes is None and results is None:
        return None
    if not isinstance(data, Labeled):
        raise InputError(f"--boxes and --results need labeled pictures; {data.spec.name} has none")
    if results is None and not data.spec.oks_sigmas:
        raise InputError(f"--boxes {boxes} is for AP, and {data.annotations.source} states no OKS sigmas for its "
                         'keypoints; add "sigmas" to the category, leave out --boxes, or add --results')  # fmt: skip
    return None if boxes is None else read_boxes(boxes, data.annotations)


def check_models(models: Sequence[OpenModel], boxes: Path | None, results: Path | None) -> None:
    """Raise InputError if ``--boxes`` or ``--results`` is given, and a model takes whole pictures."""
    if any(model.spec.crop is None for model in models) and (boxes is not None or results is not None):
        raise InputError("--boxes and --results need models for crops of boxes; one of these takes whole pictures")


def score_boxes(
    models: Sequence[OpenModel],
    evaluations: Sequence[Evaluation],
    data: Labeled,
    boxes: list[Detection] | None,
    *,
    part: bool,
) -> list[BoxScores]:
    """Find the keypoints in each box and score them. Results from the evaluation are used again.

    Args:
        models: Models for crops.
        evaluations: Their evaluations.
        data: Labels.
        boxes: Boxes of a detector. None takes those of the labels.
        part: Whether only a part of the data was evaluated. Then only the pictures of that part count. Otherwise
            pictures without objects count as well, and each detection in them is a false positive.
    """
    labels, found = data.annotations, []
    detections = true_boxes(labels) if boxes is None else boxes
    for model, each in zip(models, evaluations, strict=True):
        images = {key for key in each.image_ids if key is not None} if part else None
        instances = in_order_of(model, data.spec).instances
        results = detect(instances, detections, each.oks_sigmas, images, each.by_box())
        found.append(BoxScores(results, coco_scores(labels, results, each.sigmas, images) if each.sigmas else None))
    return found
