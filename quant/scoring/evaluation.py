"""Score anything that finds keypoints on the validation set of a data set."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edgehrnet.errors import InputError, nearest
from quant.data.annotations import ImageId
from quant.data.examples import Box, DataSet, Example
from quant.scoring.average_precision import coco_ap
from quant.scoring.metrics import (
    Score,
    auroc,
    best_cyclic_shift,
    expected_calibration_error,
    keypoint_errors,
    pck,
    score,
    spread,
)
from quant.scoring.pose_metrics import nme

# xy (K, 2) float64 in picture pixels, and confidence (K,) float32 in 0..1.
Prediction = tuple[NDArray[np.float64], NDArray[np.float32]]
# Called with a picture (H, W, 3) u8 RGB and, if the data has boxes, a box xywh in it.
Predict = Callable[..., Prediction]

RADII = (2.0, 5.0, 10.0)  # picture pixels
DEFAULT_SIGMA = 0.05  # OKS constant for telling duplicates apart where none is measured: between COCO's ears and wrists
CORRECT = 1.0  # percent of the diagonal: a keypoint with a smaller error is correct
CATEGORY = 1
PER_PICTURE = ("conditions", "image_ids", "paths")  # fields of an Evaluation that are tuples


@dataclass(frozen=True)
class Evaluation:
    """Predictions and ground truth for N pictures (or N boxes in pictures) with K keypoints each."""

    name: str
    """Name of the model."""
    errors: NDArray[np.float64]
    """Distances ``(N, K)`` in picture pixels, NaN where not scored."""
    diagonals: NDArray[np.float64]
    """Diagonals ``(N,)`` of the pictures in pixels."""
    areas: NDArray[np.float64]
    """Areas ``(N,)`` of the instances in square pixels."""
    xy: NDArray[np.float64]
    """Predicted points ``(N, K, 2)``. For cyclic data they are in the order that was scored."""
    conf: NDArray[np.float32]
    """Predicted confidence ``(N, K)``, 0..1."""
    empty: NDArray[np.bool_]
    """``(N,)``, True where there is nothing to find."""
    truth: NDArray[np.float64]
    """Labeled points ``(N, K, 2)``."""
    visible: NDArray[np.bool_]
    """``(N, K)``, True where the label is to be scored."""
    conditions: tuple[frozenset[str], ...] = ()
    """For each picture, the known reasons why it is hard."""
    sigmas: tuple[float, ...] = ()
    """COCO's OKS constants of the keypoints, if the data set has them."""
    boxes: NDArray[np.float64] | None = None
    """Boxes ``(N, 4)`` xywh, if the model runs on crops. Their AP is computed by `average_precision`."""
    image_ids: tuple[ImageId | None, ...] = ()
    """Ids of the N pictures in the label file. None for synthetic ones."""
    paths: tuple[Path | None, ...] = ()
    """Files of the N pictures. None for synthetic ones."""

    @property
    def percent(self) -> NDArray[np.float64]:
        """Errors ``(N, K)`` in percent of the picture's diagonal, NaN where not scored."""
        return 100 * self.errors / self.diagonals[:, None]

    @property
    def picture_px(self) -> NDArray[np.float64]:
        """Mean error ``(N,)`` of each picture in pixels, NaN where nothing was scored. Input for paired_bootstrap."""
        return np.array([spread(row)[0] for row in self.errors])

    @property
    def correct(self) -> NDArray[np.bool_]:
        """``(N, K)``, True where the error is under `CORRECT`. False where the keypoint is not scored."""
        return np.asarray(self.percent < CORRECT)

    @property
    def oks_sigmas(self) -> tuple[float, ...]:
        """OKS constants for telling duplicates apart: the data set's, or `DEFAULT_SIGMA` for each keypoint."""
        return self.sigmas or (DEFAULT_SIGMA,) * self.errors.shape[1]

    def part(self, chosen: NDArray[np.bool_]) -> Evaluation:
        """Return the pictures for which ``chosen`` ``(N,)`` is True."""
        arrays: dict[str, Any] = {
            name: value[chosen] for name, value in vars(self).items() if isinstance(value, np.ndarray)
        }
        lists: dict[str, Any] = {name: tuple(itertools.compress(getattr(self, name), chosen)) for name in PER_PICTURE}
        return dataclasses.replace(self, **lists, **arrays)

    def by_box(self) -> dict[tuple[ImageId, Box], Prediction]:
        """Return the predictions by image id and box xywh. Empty for models that run on whole pictures."""
        if self.boxes is None:
            return {}
        places = zip(self.image_ids, map(tuple, self.boxes.tolist()), strict=True)
        found = zip(places, self.xy, self.conf, strict=True)
        return {(key, box): (xy, conf) for (key, box), xy, conf in found if key is not None}

    def score(self) -> Score:
        """Summarize the errors in percent of the diagonal. Needs no extra package."""
        scores = self.conf.mean(axis=1)
        presence = auroc(scores[~self.empty], scores[self.empty])
        return score(self.percent, len(self.errors), presence, expected_calibration_error(self.conf, self.correct))

    def by_condition(self) -> dict[str, Score]:
        """Return the score of the pictures with each condition. A picture counts once for each of its conditions."""
        names = sorted(frozenset[str]().union(*self.conditions))
        return {name: self.part(np.array([name in has for has in self.conditions])).score() for name in names}

    def summary(self, radii: Sequence[float] = RADII) -> dict[str, float | None]:
        """Return all scores by name, rounded, with None where nothing was scored.

        - ``mean_px``, ``median_px``, ``p95_px``: errors in picture pixels
        - ``pck@2px`` and so on: percentage of keypoints within each of the radii
        - ``mean_percent``, ``median_percent``, ``p95_percent``: errors in percent of the picture's diagonal
        - ``pck1``, ``pck2``, ``pck3``: percentage of keypoints within 1, 2 and 3 percent of the diagonal
        - ``presence_auroc``: AUROC, 0..1, of the mean confidence for telling empty pictures from others
        - ``ece``: expected calibration error, 0..1, for keypoints that are `correct`
        - ``oks_ap``, ``oks_ap50``, ``oks_ap75``: average precision, 0..1, see `oks_ap`

        Args:
            radii: Distances of the PCK in picture pixels.

        Raises:
            MissingExtraError: pycocotools is not installed.
        """
        check_radii(radii)
        pixels = dict(zip(("mean_px", "median_px", "p95_px"), spread(self.errors), strict=True))
        pixels |= {f"pck@{radius:g}px": pck(self.errors, radius) for radius in radii}
        relative = self.score().as_dict()
        counts = {name: relative.pop(name) for name in ("pictures", "keypoints")}
        found = dict(zip(("oks_ap", "oks_ap50", "oks_ap75"), self.oks_ap(), strict=True))
        return {**counts, **_rounded(pixels), **relative, **_rounded(found)}

    def nme(self, pair: Sequence[str], names: Sequence[str]) -> float:
        """Return the mean error in percent of the true distance between two keypoints, averaged over pictures.

        Args:
            pair: Names of the two keypoints. Pictures in which one of them is not visible are left out.
            names: Names of all K keypoints.

        Returns:
            The percentage, NaN if no picture shows both keypoints.

        Raises:
            InputError: A name of ``pair`` is not in ``names``.
        """
        for name in pair:
            if name not in names:
                raise InputError(f"no keypoint {name!r}; {nearest(name, names)}")
        first, second = (names.index(name) for name in pair)
        part = self.part(self.visible[:, first] & self.visible[:, second])
        return nme(part.xy, part.truth, part.visible, pair=(first, second)) if len(part.xy) else float("nan")

    def oks_ap(self) -> tuple[float, float, float]:
        """Return COCO's AP over OKS 0.50 to 0.95, AP50 and AP75, each 0..1.

        Each picture holds one instance, or none if it is empty, and yields one detection, scored with its mean
        confidence. Pictures whose instance has no area or no visible keypoint are left out. All three are NaN for
        models that run on crops, and where the data set states no sigmas.

        Raises:
            MissingExtraError: pycocotools is not installed.
        """
        if self.boxes is not None or not self.sigmas:
            return float("nan"), float("nan"), float("nan")
        counted = self.empty | ((self.areas > 0) & self.visible.any(axis=1))
        truths = [self._coco_truth(i) for i in np.flatnonzero(counted & ~self.empty).tolist()]
        detections = [self._coco_detection(i) for i in np.flatnonzero(counted).tolist()]
        return coco_ap(truths, detections, self.sigmas)

    def _coco_truth(self, index: int) -> dict[str, Any]:
        """Return the label of one picture as a COCO annotation."""
        visible = self.visible[index]
        points = np.c_[self.truth[index], np.where(visible, 2, 0)]
        (left, top), (width, height) = points[visible, :2].min(axis=0), np.ptp(points[visible, :2], axis=0)
        return {
            "id": index + 1,  # pycocotools takes 0 for "not matched"
            "image_id": index,
            "category_id": CATEGORY,
            "iscrowd": 0,
            "num_keypoints": int(visible.sum()),
            "keypoints": points.ravel().tolist(),
            "bbox": [left, top, width, height],
            "area": float(self.areas[index]),
        }

    def _coco_detection(self, index: int) -> dict[str, Any]:
        """Return the prediction for one picture as a COCO result."""
        conf = self.conf[index].astype(np.float64)
        keypoints = np.c_[self.xy[index], conf].ravel().tolist()
        return {"image_id": index, "category_id": CATEGORY, "keypoints": keypoints, "score": float(conf.mean())}


def evaluate(
    name: str,
    predict: Predict,
    data: DataSet,
    count: int | None = None,
    *,
    crops: bool | None = None,
    progress: bool = False,
) -> Evaluation:
    """Run a model on the validation set and compare its predictions with the labels.

    Args:
        name: Name of the model.
        predict: Maps a picture ``(H, W, 3)`` u8 RGB, and a box xywh if the model runs on crops, to xy ``(K, 2)`` in
            picture pixels and confidence ``(K,)``. For cyclic data the best cyclic shift is scored.
        data: Data set.
        count: Number of pictures, the first ones. None scores all, or the default number of an endless data set.
        crops: Whether the model runs on crops of boxes. None takes it from the spec of the data.
        progress: Show a progress bar.

    Raises:
        InputError: There is no picture, or a prediction does not fit the data.
    """
    examples = tqdm(data.validation(count), total=count, disable=not progress, desc="scoring", unit="picture")
    crops = data.spec.crop is not None if crops is None else crops
    rows = [_compare(predict, example, crops, data.spec.cyclic) for example in examples]
    if not rows:
        raise InputError(f"the validation set of {data.spec.name} has no picture to score (count={count})")
    columns = {field: [row[field] for row in rows] for field in rows[0]}
    boxes = columns.pop("boxes")
    lists: dict[str, Any] = {field: tuple(columns.pop(field)) for field in PER_PICTURE}
    arrays: dict[str, Any] = {field: np.array(values) for field, values in columns.items()}
    return Evaluation(
        name=name,
        sigmas=data.spec.oks_sigmas,
        boxes=None if None in boxes else np.array(boxes, np.float64),
        **lists,
        **arrays,
    )


def _compare(predict: Predict, example: Example, crops: bool, cyclic: bool) -> dict[str, Any]:
    """Return one picture's row of each field of an Evaluation."""
    box = example.box if crops else None
    xy, conf = predict(example.image) if box is None else predict(example.image, box)
    if xy.shape != example.points.shape or conf.shape != example.visible.shape:
        raise InputError(f"the model finds {len(xy)} keypoints, the data has {len(example.points)}; they must agree")
    if not (np.isfinite(xy).all() and np.isfinite(conf).all()):
        raise InputError("the model returned NaN or infinity; points and confidence must be finite to be scored")
    shift = best_cyclic_shift(xy, example.points, example.visible) if cyclic else 0
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
        "boxes": box,
        "image_ids": example.image_id,
        "paths": example.path,
    }


def check_radii(radii: Sequence[float]) -> None:
    """Raise InputError unless each radius of a PCK is a positive, finite distance."""
    if not all(0 < radius < math.inf for radius in radii):
        raise InputError(f"radii={list(radii)}: each must be a distance in px greater than 0")


def _rounded(values: Mapping[str, float]) -> dict[str, float | None]:
    """Round to four digits, and replace NaN by None."""
    return {name: None if math.isnan(value) else round(value, 4) for name, value in values.items()}
