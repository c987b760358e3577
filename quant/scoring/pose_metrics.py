"""Scores of poses, in numpy, as the published evaluations compute them; distances are in pixels of the picture.

``predicted`` and ``true`` are ``(N, K, 2)`` x, y of N people or faces, ``visible`` ``(N, K)`` says which to score.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgehrnet.errors import InputError

MPII_EXCLUDED = (6, 7)  # pelvis and thorax, which the mean leaves out
HEAD_SHARE = 0.6  # of the head box's diagonal: MPII's head size
FOUND = 0.2  # keypoints of a lower score do not count in rescore, nor in the OKS that suppresses

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Pck:
    """Percent of visible keypoints within reach: ``each`` keypoint's (NaN if never visible), and of those that count.

    ``mean`` weighs keypoints by how often they are visible.
    """

    each: tuple[float, ...]
    mean: float


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
    """Return how many keypoints are within ``share`` of the head's size, which is 0.6 of its box's diagonal.

    ``head_boxes`` ``(N, 4)``: left, top, right, bottom. ``one_based``: labels count pixels from 1, as MPII's own do,
    predictions from 0. Keypoints ``excluded`` do not count in the mean. Source: MPII, Andriluka, CVPR 2014.

    >>> pckh([[[9, 0], [16, 0]]], [[[0, 0], [0, 0]]], [[1, 1]], [[0, 0, 30, 40]], excluded=())
    Pck(each=(100.0, 0.0), mean=50.0)
    """
    boxes = np.asarray(head_boxes, np.float64)
    head = HEAD_SHARE * np.linalg.norm(boxes[:, 2:] - boxes[:, :2], axis=1)
    moved = np.asarray(predicted, np.float64) + (1 if one_based else 0)
    return _pck(_normalized(moved, true, visible, head), share, excluded)


def pck(predicted: ArrayLike, true: ArrayLike, visible: ArrayLike, boxes: ArrayLike, *, share: float = 0.2) -> Pck:
    """Return how many keypoints are within ``share`` of the longer side of their ``boxes`` ``(N, 4)`` x, y, w, h.

    Source: Yang & Ramanan, TPAMI 2013.

    >>> pck([[[3, 4]]], [[[0, 0]]], [[1]], [[0, 0, 25, 10]])
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
    """Return the normalized mean error: the mean distance of visible keypoints, in percent of each face's size.

    The size is either the distance of the true keypoints ``pair``, such as the outer corners of the eyes (300W,
    Sagonas, ICCVW 2013), or the root of the area of ``boxes`` ``(N, 4)`` x, y, w, h. A face counts as much as any
    other; NaN if none has a visible keypoint. Raises InputError unless one of the two is given.

    >>> nme([[[0, 1], [10, 1]]], [[[0, 0], [10, 0]]], [[1, 1]], pair=(0, 1))
    10.0
    """
    points = np.asarray(true, np.float64)
    if boxes is not None and pair is None:
        size = np.sqrt(np.asarray(boxes, np.float64)[:, 2:].prod(axis=1))
    elif pair is not None and boxes is None:
        size = np.linalg.norm(points[:, pair[0]] - points[:, pair[1]], axis=1)
    else:
        raise InputError("nme needs either pair or boxes to know a face's size")
    errors = _normalized(predicted, points, visible, size)
    scored = np.isfinite(errors)
    faces = [row[seen].mean() for row, seen in zip(errors, scored, strict=True) if seen.any()]
    return 100 * float(np.mean(faces)) if faces else float("nan")


def oks(first: ArrayLike, second: ArrayLike, area: float, sigmas: ArrayLike, counted: ArrayLike | None = None) -> float:
    """Return the object keypoint similarity of two poses ``(K, 2)``, 0..1: the mean of exp(-d^2 / (8 area sigma^2)).

    ``area`` in square pixels, ``sigmas`` ``(K,)`` COCO's constants; ``counted`` ``(K,)`` says of which keypoints, None
    is all of them. 0 if none counts. Source: COCO keypoint evaluation.

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
    """Return the indices of the poses to keep, best first: those not above ``threshold`` OKS with a better one.

    ``poses`` ``(N, K, 2)``, ``keypoint_scores`` ``(N, K)``: only keypoints above ``found`` in both poses are compared;
    ``scores`` and ``areas`` ``(N,)``: two poses share the mean of their areas, which HRNet takes of the boxes in the
    input's shape and with their margin. Source: Papandreou, CVPR 2017.

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
    """Return a pose's score: its box's times the mean of its keypoints' ``(K,)`` above ``found``, 0 without any.

    Source: Simple Baselines, Xiao, ECCV 2018.

    >>> round(rescore(0.5, [0.1, 0.4, 0.8]), 6), rescore(1.0, [0.1, 0.2])
    (0.3, 0.0)
    """
    heights = np.asarray(keypoint_scores, np.float64)
    counted = heights[heights > found]
    return box_score * float(counted.mean()) if counted.size else 0.0


def _normalized(predicted: ArrayLike, true: ArrayLike, visible: ArrayLike, size: Floats) -> Floats:
    """Return distances ``(N, K)`` in ``size`` ``(N,)``; NaN where not visible."""
    moved = np.asarray(predicted, np.float64) - np.asarray(true, np.float64)
    if not (size > 0).all():
        raise InputError("a size that errors are measured in is 0; it must be above")
    return np.where(np.asarray(visible, bool), np.linalg.norm(moved, axis=2) / size[:, None], np.nan)


def _pck(errors: Floats, share: float, excluded: tuple[int, ...]) -> Pck:
    visible = np.isfinite(errors).sum(axis=0)
    right = (errors <= share).sum(axis=0)  # NaN is not
    each = [100 * int(a) / int(b) if b else float("nan") for a, b in zip(right, visible, strict=True)]
    counted = [k for k in range(errors.shape[1]) if k not in excluded]
    total = int(visible[counted].sum())
    return Pck(tuple(each), 100 * int(right[counted].sum()) / total if total else float("nan"))
