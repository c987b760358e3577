"""How well anything that finds keypoints does on the pictures that a data set holds back, whatever runs it."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edgehrnet.errors import InputError, nearest
from quant.data.examples import DataSet, Example
from quant.scoring.average_precision import coco_scores
from quant.scoring.metrics import (
    Score,
    auroc,
    best_shift,
    expected_calibration_error,
    keypoint_errors,
    pck,
    score,
    spread,
)
from quant.scoring.pose_metrics import nme

# xy (K, 2) float64 in picture pixels, confidence (K,) float32 in 0..1.
Prediction = tuple[NDArray[np.float64], NDArray[np.float32]]
# Of a picture (H, W, 3) u8 RGB, and of a box of it if the data has boxes.
Predict = Callable[..., Prediction]

RADII = (2.0, 5.0, 10.0)  # picture pixels
DEFAULT_SIGMA = 0.05  # of OKS, for keypoints that nobody measured: between COCO's ears and its wrists
CORRECT = 1.0  # percent of the diagonal: a keypoint whose error is under this is correct
CATEGORY = 1


@dataclass(frozen=True)
class Evaluation:
    """What was found on N pictures with K keypoints each, and what should have been.

    ``errors`` ``(N, K)`` in px of the picture, NaN where not scored. ``diagonals`` ``(N,)`` of the pictures in px;
    ``areas`` ``(N,)`` of the instances in square px. ``xy`` ``(N, K, 2)`` and ``conf`` ``(N, K)``: what was found,
    of cyclic data in the shift that was scored. ``empty`` ``(N,)``: there is nothing to find. ``truth`` ``(N, K, 2)``,
    ``visible`` ``(N, K)``: the labels. ``conditions``: of each picture, what is known to make it hard. ``sigmas``:
    COCO's constants of the keypoints, or none. ``boxed``: the data gave a box of each instance, maybe several in one
    picture; its AP then is for coco_evaluation to count.
    """

    name: str
    errors: NDArray[np.float64]
    diagonals: NDArray[np.float64]
    areas: NDArray[np.float64]
    xy: NDArray[np.float64]
    conf: NDArray[np.float32]
    empty: NDArray[np.bool_]
    truth: NDArray[np.float64]
    visible: NDArray[np.bool_]
    conditions: tuple[frozenset[str], ...] = ()
    sigmas: tuple[float, ...] = ()
    boxed: bool = False

    @property
    def percent(self) -> NDArray[np.float64]:
        """``(N, K)``: the errors in percent of the picture's diagonal, NaN where not scored."""
        return 100 * self.errors / self.diagonals[:, None]

    @property
    def picture_px(self) -> NDArray[np.float64]:
        """``(N,)``: mean error of each picture in px, NaN where nothing was scored; for paired_bootstrap."""
        return np.array([spread(row)[0] for row in self.errors])

    @property
    def correct(self) -> NDArray[np.bool_]:
        """``(N, K)``: the error is under `CORRECT`; False where there is nothing to be right about."""
        return np.asarray(self.percent < CORRECT)

    def part(self, chosen: NDArray[np.bool_]) -> Evaluation:
        """Return the pictures that ``chosen`` ``(N,)`` is True for."""
        arrays: dict[str, Any] = {
            name: value[chosen] for name, value in vars(self).items() if isinstance(value, np.ndarray)
        }
        conditions = tuple(itertools.compress(self.conditions, chosen))
        return dataclasses.replace(self, conditions=conditions, **arrays)

    def score(self) -> Score:
        """Summarize the errors in percent of the diagonal; needs no extra."""
        scores = self.conf.mean(axis=1)
        presence = auroc(scores[~self.empty], scores[self.empty])
        return score(self.percent, len(self.errors), presence, expected_calibration_error(self.conf, self.correct))

    def by_condition(self) -> dict[str, Score]:
        """Return the score of the pictures with each condition, by its name; a picture counts for each that it has."""
        names = sorted(frozenset[str]().union(*self.conditions))
        return {name: self.part(np.array([name in has for has in self.conditions])).score() for name in names}

    def summary(self, radii: Sequence[float] = RADII) -> dict[str, float | None]:
        """Return every score by name, rounded; None where there was nothing to score.

        ``mean_px``, ``median_px``, ``p95_px`` and, for each of ``radii`` in px, ``pck@2px``; ``mean_percent``,
        ``median_percent``, ``p95_percent`` of the picture's diagonal and ``pck1``, ``pck2``, ``pck3`` within so many
        percent of it; ``presence_auroc`` of the mean confidence; ``ece``, how far confidence is from the share of
        keypoints that are `correct`; ``oks_ap``, ``oks_ap50``, ``oks_ap75``; these five in 0..1.
        Every PCK is in percent of the keypoints. Raises MissingExtraError without pycocotools.
        """
        check_radii(radii)
        pixels = dict(zip(("mean_px", "median_px", "p95_px"), spread(self.errors), strict=True))
        pixels |= {f"pck@{radius:g}px": pck(self.errors, radius) for radius in radii}
        relative = self.score().as_dict()
        counts = {name: relative.pop(name) for name in ("pictures", "keypoints")}
        found = dict(zip(("oks_ap", "oks_ap50", "oks_ap75"), self.oks_ap(), strict=True))
        return {**counts, **_rounded(pixels), **relative, **_rounded(found)}

    def nme(self, pair: Sequence[str], names: Sequence[str]) -> float:
        """Return the mean error in percent of the true distance of two keypoints, averaged over pictures.

        ``pair``: their names, ``names`` ``(K,)`` those of all keypoints. Pictures in which not both are visible are
        left out; NaN if all are. Raises InputError for a name that there is not.
        """
        for name in pair:
            if name not in names:
                raise InputError(f"no keypoint {name!r}; {nearest(name, names)}")
        first, second = (names.index(name) for name in pair)
        part = self.part(self.visible[:, first] & self.visible[:, second])
        return nme(part.xy, part.truth, part.visible, pair=(first, second)) if len(part.xy) else float("nan")

    def oks_ap(self) -> tuple[float, float, float]:
        """Return COCO's AP over the OKS of 0.50 to 0.95, AP at 0.50 and at 0.75, each 0..1; NaN if not applicable.

        Each picture holds one instance, or none if it is empty, and gives one detection, whose score is its mean
        confidence. `DEFAULT_SIGMA` serves every keypoint where the data has no sigmas, so that such an AP compares
        models on this data and means nothing beside another's. A picture whose instance has no area or no visible
        keypoint is left out. Raises MissingExtraError without pycocotools.
        """
        if self.boxed:
            return float("nan"), float("nan"), float("nan")
        counted = self.empty | ((self.areas > 0) & self.visible.any(axis=1))
        truths = [self._coco_truth(i) for i in np.flatnonzero(counted & ~self.empty).tolist()]
        detections = [self._coco_detection(i) for i in np.flatnonzero(counted).tolist()]
        return coco_ap(truths, detections, self.sigmas or (DEFAULT_SIGMA,) * self.errors.shape[1])

    def _coco_truth(self, picture: int) -> dict[str, Any]:
        visible = self.visible[picture]
        points = np.c_[self.truth[picture], np.where(visible, 2, 0)]
        (left, top), (width, height) = points[visible, :2].min(axis=0), np.ptp(points[visible, :2], axis=0)
        return {
            "id": picture + 1,  # 0 would read as "not matched"
            "image_id": picture,
            "category_id": CATEGORY,
            "iscrowd": 0,
            "num_keypoints": int(visible.sum()),
            "keypoints": points.ravel().tolist(),
            "bbox": [left, top, width, height],
            "area": float(self.areas[picture]),
        }

    def _coco_detection(self, picture: int) -> dict[str, Any]:
        conf = self.conf[picture].astype(np.float64)
        keypoints = np.c_[self.xy[picture], conf].ravel().tolist()
        score = float(conf.mean())
        return {"image_id": picture, "category_id": CATEGORY, "keypoints": keypoints, "score": score}


def evaluate(
    name: str, predict: Predict, data: DataSet, count: int | None = None, *, progress: bool = False
) -> Evaluation:
    """Run ``predict`` on the first ``count`` pictures held back (None: all, or as many as is usual) and compare.

    ``predict`` maps a picture ``(H, W, 3)`` u8 RGB to xy ``(K, 2)`` in its pixels and confidence ``(K,)``. Of cyclic
    data the best cyclic shift counts. ``progress`` shows a bar. Raises InputError if there is no picture, or an answer
    does not fit the data.
    """
    examples = tqdm(data.held_back(count), total=count, disable=not progress, desc="scoring", unit="picture")
    rows = [_compare(predict, example, data.spec.cyclic) for example in examples]
    if not rows:
        raise InputError(f"{data.spec.name} holds no picture back to score (count={count})")
    conditions = tuple(row.pop("conditions") for row in rows)
    columns = {field: np.array([row[field] for row in rows]) for field in rows[0]}
    boxed = columns.pop("boxed").all()
    return Evaluation(name=name, conditions=conditions, sigmas=data.spec.oks_sigmas, boxed=bool(boxed), **columns)


def _compare(predict: Predict, example: Example, cyclic: bool) -> dict[str, Any]:
    """Return one picture's row of each array of an Evaluation."""
    xy, conf = predict(example.image) if example.box is None else predict(example.image, example.box)
    if xy.shape != example.points.shape or conf.shape != example.visible.shape:
        raise InputError(f"the model gives {len(xy)} keypoints, the data has {len(example.points)}")
    if not (np.isfinite(xy).all() and np.isfinite(conf).all()):
        raise InputError("the model gives NaN or infinity, which no score can count; points and confidence are finite")
    shift = best_shift(xy, example.points, example.visible) if cyclic else 0
    xy, conf = np.roll(xy, shift, axis=0), np.roll(conf, shift)
    height, width = example.image.shape[:2]
    return {
        "errors": keypoint_errors(xy, example.points, example.visible),
        "diagonals": math.hypot(width, height),
        "areas": example.area,
        "xy": xy,
        "conf": conf,
        "empty": example.empty,
        "truth": example.points,
        "visible": example.visible,
        "conditions": example.conditions,
        "boxed": example.box is not None,
    }


def coco_ap(
    truths: Sequence[Mapping[str, Any]], detections: Sequence[Mapping[str, Any]], sigmas: Sequence[float]
) -> tuple[float, float, float]:
    """Return AP over OKS 0.50..0.95, AP50 and AP75, each 0..1, as pycocotools' COCOeval; NaN without an instance.

    ``truths``: COCO keypoint annotations, ids from 1. ``detections``: ``image_id``, ``category_id``, ``keypoints``
    (x, y and anything, K times) and ``score``. Pictures are those that either names. ``sigmas`` ``(K,)``.
    """
    content = {
        "images": [{"id": number} for number in {item["image_id"] for item in (*truths, *detections)}],
        "categories": [{"id": number} for number in {item["category_id"] for item in truths}],
        "annotations": list(truths),
    }
    found = coco_scores(content, detections, sigmas)
    return found["AP"], found["AP50"], found["AP75"]


def check_radii(radii: Sequence[float]) -> None:
    """Raise InputError unless each is a distance that a PCK can be counted within."""
    if not all(0 < radius < math.inf for radius in radii):
        raise InputError(f"radii={list(radii)}: each is a distance in px, greater than 0")


def _rounded(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else round(value, 4) for name, value in values.items()}
