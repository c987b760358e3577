"""Compute COCO's AP and AR over object keypoint similarity with pycocotools.

The protocol is that of the published pose networks: each box gives a crop, and each crop one detection. Its score is
the box's score times the mean score of its keypoints above a threshold. Of detections that nearly agree, the one with
the best score is kept.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgehrnet.errors import InputError, MissingExtraError
from edgehrnet.picture.crops import MARGIN
from edgehrnet.picture.sources import read_image
from edgehrnet.preparation import check_boxes
from quant.data.coco import labeled_box, picture_path
from quant.data.examples import Box
from quant.scoring.pose_metrics import oks_nms, rescore

NAMES = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")
# Maps a picture (H, W, 3) u8 RGB and boxes (N, 4) xywh to xy (N, K, 2) in picture pixels and confidence (N, K).
PredictBoxes = Callable[[NDArray[np.uint8], NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float32]]]
# Predictions xy (K, 2) and confidence (K,) by image id and box xywh.
Known = Mapping[tuple[int, Box], tuple[NDArray[np.float64], NDArray[np.float32]]]


@dataclass(frozen=True)
class Annotations:
    """A COCO keypoint file."""

    path: Path
    """The file. Pictures lie beside it or in ``images`` beside it."""
    content: Mapping[str, Any]
    """The parsed JSON."""

    @classmethod
    def read(cls, path: Path) -> Annotations:
        """Read a file.

        Raises:
            InputError: It is not a COCO annotation file.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            _ = content["images"], content["annotations"], content["categories"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is not a COCO annotation file: {error!r}") from None
        return cls(path, content)

    @property
    def pictures(self) -> dict[int, Path]:
        """Paths of the pictures by image id."""
        return {image["id"]: picture_path(self.path.parent, image["file_name"]) for image in self.content["images"]}

    def true_boxes(self) -> list[dict[str, Any]]:
        """Return the boxes of labeled instances in the form of a detector's, each with score 1."""
        images = {image["id"]: image for image in self.content["images"]}
        return [
            {
                "image_id": a["image_id"],
                "category_id": a["category_id"],
                "bbox": labeled_box(a, images[a["image_id"]]),
                "score": 1.0,
            }
            for a in self.content["annotations"]
            if not a.get("iscrowd") and any(a.get("keypoints", ())[2::3])
        ]


def read_boxes(path: Path) -> list[dict[str, Any]]:
    """Read a detector's boxes from a JSON list.

    Args:
        path: File whose entries have ``image_id`` and ``bbox`` (xywh), and may have ``score`` and ``category_id``, both
            1 by default.

    Raises:
        InputError: It is not such a list.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        boxes = [{"category_id": 1, "score": 1.0, **box} for box in found]
        for box in boxes:
            _ = box["image_id"], check_boxes([box["bbox"]])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a list of detections with image_id, bbox and score: {error!r}") from None
    return boxes


def detect(
    predict: PredictBoxes,
    annotations: Annotations,
    boxes: Iterable[Mapping[str, Any]],
    sigmas: Sequence[float],
    images: Collection[int] | None = None,
    known: Known | None = None,
) -> list[dict[str, Any]]:
    """Find the keypoints in each box and return COCO results.

    Args:
        predict: Model.
        annotations: File that names the pictures.
        boxes: Boxes, each with ``image_id``, ``category_id``, ``bbox`` (xywh) and ``score``.
        sigmas: OKS constants ``(K,)``.
        images: Image ids to include. None includes all.
        known: Predictions that were made before. The model is not run for their boxes.

    Raises:
        InputError: A box is on a picture that the annotations do not name.
    """
    pictures = annotations.pictures
    by_picture: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for box in boxes:
        if box["image_id"] not in pictures:
            raise InputError(f"{annotations.path} has no picture {box['image_id']}, but there is a box on it")
        by_picture[box["image_id"]].append(box)
    results: list[dict[str, Any]] = []
    for image_id in sorted(by_picture):
        if images is None or image_id in images:
            found = _predict(predict, pictures[image_id], by_picture[image_id], known or {})
            results += _results(by_picture[image_id], *found, sigmas)
    return results


def _predict(
    predict: PredictBoxes, path: Path, boxes: Sequence[Mapping[str, Any]], known: Known
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return xy ``(N, K, 2)`` and confidence ``(N, K)`` for N boxes on one picture."""
    found = [known.get((box["image_id"], tuple(box["bbox"]))) for box in boxes]
    missing = [box["bbox"] for box, answer in zip(boxes, found, strict=True) if answer is None]
    if missing:
        fresh = zip(*predict(read_image(path), np.array(missing, np.float64)), strict=True)
        found = [next(fresh) if answer is None else answer for answer in found]
    pairs = [answer for answer in found if answer is not None]
    return np.stack([xy for xy, _ in pairs]), np.stack([conf for _, conf in pairs])


def _results(
    boxes: Sequence[Mapping[str, Any]],
    xy: NDArray[np.float64],
    conf: NDArray[np.float32],
    sigmas: Sequence[float],
) -> Iterator[dict[str, Any]]:
    """Yield the COCO results of one picture, best first, without those that a better one suppresses."""
    scores = np.array([rescore(float(box["score"]), row) for box, row in zip(boxes, conf, strict=True)])
    areas = np.array([box["bbox"] for box in boxes], np.float64)[:, 2:].prod(axis=1) * MARGIN**2
    for n in oks_nms(xy, conf, scores, areas, sigmas):
        yield {
            "image_id": boxes[n]["image_id"],
            "category_id": boxes[n]["category_id"],
            "keypoints": np.c_[xy[n], conf[n]].round(4).ravel().tolist(),
            "score": round(float(scores[n]), 6),
        }


def coco_scores(
    content: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    sigmas: Sequence[float],
    images: Collection[int] | None = None,
) -> dict[str, float]:
    """Return the ten numbers of pycocotools, named as in `NAMES`, each 0..1. NaN means that nothing was counted.

    Args:
        content: Content of a COCO file.
        results: Detections with ``image_id``, ``category_id``, ``keypoints`` and ``score``.
        sigmas: OKS constants ``(K,)``.
        images: Image ids that count. None counts all.

    Raises:
        MissingExtraError: pycocotools is not installed.
    """
    coco, evaluator = load_pycocotools()
    kept = ("image_id", "category_id", "keypoints", "score")
    found = [{key: result[key] for key in kept} for result in results]
    if not content["annotations"] or not found:  # pycocotools fails on empty lists
        return dict.fromkeys(NAMES, 0.0 if content["annotations"] else float("nan"))
    with contextlib.redirect_stdout(io.StringIO()):
        true = coco()
        true.dataset = {**content, "annotations": [dict(item) for item in content["annotations"]]}
        true.createIndex()
        run = evaluator(true, true.loadRes(found), "keypoints")
        run.params.kpt_oks_sigmas = np.array(sigmas, np.float64)
        if images is not None:
            run.params.imgIds = sorted(images)
        run.evaluate()
        run.accumulate()
        run.summarize()
    values = [float(value) if value >= 0 else float("nan") for value in run.stats]
    return dict(zip(NAMES, values, strict=True))


def load_pycocotools() -> tuple[Any, Any]:
    """Return the classes COCO and COCOeval.

    Raises:
        MissingExtraError: pycocotools is not installed.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise MissingExtraError("OKS-AP needs pycocotools: pip install 'edgehrnet[train]'") from None
    return COCO, COCOeval
