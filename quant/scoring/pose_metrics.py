"""Compute the scores of published pose and face networks in numpy: PCKh, PCK, NME, OKS.

Points are x, y in picture pixels. N is the number of people or faces, K the number of keypoints.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgehrnet.errors import InputError

MPII_EXCLUDED = (6, 7)  # pelvis and thorax, which are left out of the mean
HEAD_SHARE = 0.6  # MPII's head size is this share of the head box's diagonal
FOUND = 0.2  # rescore and oks_nms ignore keypoints with a lower score

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pck:
    """Percentage of visible keypoints within the accepted distance."""

    each: tuple[float, ...]
    """Percentage for each keypoint, NaN if it is never visible."""
    mean: float
    """Mean over the keypoints that count, weighted by how often each is visible."""


def pckh(
    predicted: ArrayLike,
    true: ArrayLike,
    visible: ArrayLike,
    head_boxes: ArrayLike,
    *,
    share: float = 0.5,
    one_based: bool = False,
    excluded: tuple[int, ...] = MPII_EXCLUDED,
) -> Pck:
    """Return the PCKh: the percentage of keypoints within a share of the head size.

    The head size is 0.6 of the head box's diagonal. Source: MPII, Andriluka, CVPR 2014.

    Args:
        predicted: Points ``(N, K, 2)``, with pixels counted from 0.
        true: Labeled points ``(N, K, 2)``.
        visible: ``(N, K)``, True where the label is to be scored.
        head_boxes: Boxes ``(N, 4)`` xyxy.
        share: Accepted distance in head sizes.
        one_based: The labels count pixels from 1, as MPII's do.
        excluded: Indices of keypoints that are left out of the mean.

    >>> pckh([[[9, 0], [16, 0]]], [[[0, 0], [0, 0]]], [[1, 1]], [[0, 0, 30, 40]], excluded=())
    Pck(each=(100.0, 0.0), mean=50.0)
    """
    boxes = np.asarray(head_boxes, np.float64)
    head = HEAD_SHARE * np.linalg.norm(boxes[:, 2:] - boxes[:, :2], axis=1)
    moved = np.asarray(predicted, np.float64) + (1 if one_based else 0)
    return _pck(_normalized(moved, true, visible, head), share, excluded)


def box_pck(predicted: ArrayLike, true: ArrayLike, visible: ArrayLike, boxes: ArrayLike, *, share: float = 0.2) -> Pck:
    """Return the percentage of keypoints within a share of the longer side of their box.

    Source: Yang & Ramanan, TPAMI 2013.

    Args:
        predicted: Points ``(N, K, 2)``.
        true: Labeled points ``(N, K, 2)``.
        visible: ``(N, K)``, True where the label is to be scored.
        boxes: Boxes ``(N, 4)`` xywh.
        share: Accepted distance as a share of the longer side.

    >>> box_pck([[[3, 4]]], [[[0, 0]]], [[1]], [[0, 0, 25, 10]])
    Pck(each=(100.0,), mean=100.0)
    """
    longer = np.asarray(boxes, np.float64)[:, 2:].max(axis=1)
    return _pck(_normalized(predicted, true, visible, longer), share, ())


def nme(
    predicted: ArrayLike,
    true: ArrayLike,
    visible: ArrayLike,
    *,
    pair: tuple[int, int] | None = None,
    boxes: ArrayLike | None = None,
) -> float:
    """Return the normalized mean error: the mean distance of visible keypoints in percent of the face size.

    Every face has the same weight. The result is NaN if none has a visible keypoint.

    Args:
        predicted: Points ``(N, K, 2)``.
        true: Labeled points ``(N, K, 2)``.
        visible: ``(N, K)``, True where the label is to be scored.
        pair: Indices of two keypoints. The face size is their true distance, for example that of the outer corners of
            the eyes (300W, Sagonas, ICCVW 2013).
        boxes: Boxes ``(N, 4)`` xywh. The face size is the square root of their area.

    Raises:
        InputError: Neither ``pair`` nor ``boxes`` is given, or both are.

    >>> nme([[[0, 1], [10, 1]]], [[[0, 0], [10, 0]]], [[1, 1]], pair=(0, 1))
    10.0
    """
    points = np.asarray(true, np.float64)
    if boxes is not None and pair is None:
        size = np.sqrt(np.asarray(boxes, np.float64)[:, 2:].prod(axis=1))
    elif pair is not None and boxes is None:
        size = np.linalg.norm(points[:, pair[0]] - points[:, pair[1]], axis=1)
    else:
        raise InputError("pass either pair or boxes; one of them gives the face size")
    errors = _normalized(predicted, points, visible, size)
    scored = np.isfinite(errors)
    faces = [row[seen].mean() for row, seen in zip(errors, scored, strict=True) if seen.any()]
    return 100 * float(np.mean(faces)) if faces else float("nan")


def oks(first: ArrayLike, second: ArrayLike, area: float, sigmas: ArrayLike, counted: ArrayLike | None = None) -> float:
    """Return the object keypoint similarity (OKS) of two poses, 0..1: the mean of exp(-d^2 / (8 area sigma^2)).

    Source: COCO keypoint evaluation.

    Args:
        first: Points ``(K, 2)``.
        second: Points ``(K, 2)``.
        area: Area of the instance in square pixels.
        sigmas: OKS constants ``(K,)``.
        counted: ``(K,)``, True for the keypoints to average over. None averages over all. If none counts, the
            similarity is 0.

    >>> round(oks([[0, 0], [0, 2]], [[0, 0], [0, 0]], 1.0, [0.5, 0.5]), 6)  # (1 + exp(-2)) / 2
    0.567668
    """
    squared = ((np.asarray(first, np.float64) - np.asarray(second, np.float64)) ** 2).sum(axis=1)
    similar = np.exp(-squared / (8 * np.asarray(sigmas, np.float64) ** 2 * (area + np.spacing(1))))
    kept = similar if counted is None else similar[np.asarray(counted, bool)]
    return float(kept.mean()) if len(kept) else 0.0


def oks_nms(
    poses: ArrayLike,
    keypoint_scores: ArrayLike,
    scores: ArrayLike,
    areas: ArrayLike,
    sigmas: ArrayLike,
    *,
    threshold: float = 0.9,
    found: float = FOUND,
) -> list[int]:
    """Suppress poses that are similar to a better one. Return the indices of the others, best first.

    Source: Papandreou, CVPR 2017.

    Args:
        poses: Points ``(N, K, 2)``.
        keypoint_scores: Scores ``(N, K)`` of the keypoints.
        scores: Scores ``(N,)`` of the poses.
        areas: Areas ``(N,)``. The OKS of two poses is computed with the mean of their areas. HRNet takes the areas of
            the boxes after they have been given the input's aspect ratio and their margin.
        sigmas: OKS constants ``(K,)``.
        threshold: Largest OKS with a better pose.
        found: Only keypoints with a higher score in both poses are compared.

    >>> oks_nms([[[0, 0]], [[0, 0]], [[9, 9]]], [[1], [1], [1]], [0.5, 0.8, 0.1], [4, 4, 4], [0.1])
    [1, 2]
    """
    points, sizes = np.asarray(poses, np.float64), np.asarray(areas, np.float64)
    seen = np.asarray(keypoint_scores, np.float64) > found
    kept: list[int] = []
    for i in np.argsort(-np.asarray(scores, np.float64), kind="stable"):
        similar = (oks(points[i], points[j], (sizes[i] + sizes[j]) / 2, sigmas, seen[i] & seen[j]) for j in kept)
        if all(value <= threshold for value in similar):
            kept.append(int(i))
    return kept


def rescore(box_score: float, keypoint_scores: ArrayLike, found: float = FOUND) -> float:
    """Return the score of a pose: its box's score times the mean of the keypoint scores above a threshold.

    Source: Simple Baselines, Xiao, ECCV 2018.

    Args:
        box_score: Score of the box.
        keypoint_scores: Scores ``(K,)`` of the keypoints.
        found: Threshold. If no score is higher, the pose's score is 0.

    >>> round(rescore(0.5, [0.1, 0.4, 0.8]), 6), rescore(1.0, [0.1, 0.2])
    (0.3, 0.0)
    """
    values = np.asarray(keypoint_scores, np.float64)
    counted = values[values > found]
    return box_score * float(counted.mean()) if counted.size else 0.0


def _normalized(predicted: ArrayLike, true: ArrayLike, visible: ArrayLike, size: Floats) -> Floats:
    """Return distances ``(N, K)`` divided by ``size`` ``(N,)``, NaN where not visible."""
    moved = np.asarray(predicted, np.float64) - np.asarray(true, np.float64)
    if not (size > 0).all():
        raise InputError(f"sizes to divide errors by must be greater than 0; got {size.min():g}")
    return np.where(np.asarray(visible, bool), np.linalg.norm(moved, axis=2) / size[:, None], np.nan)


def _pck(errors: Floats, share: float, excluded: tuple[int, ...]) -> Pck:
    """Count the errors ``(N, K)`` of at most ``share``."""
    visible = np.isfinite(errors).sum(axis=0)
    right = (errors <= share).sum(axis=0)  # NaN is not
    each = [100 * int(a) / int(b) if b else float("nan") for a, b in zip(right, visible, strict=True)]
    counted = [k for k in range(errors.shape[1]) if k not in excluded]
    total = int(visible[counted].sum())
    return Pck(tuple(each), 100 * int(right[counted].sum()) / total if total else float("nan"))
