"""Compute COCO's AP and AR over object keypoint similarity with pycocotools.

The protocol is that of the published pose networks. Each box gives a crop, and each crop gives one detection. The
score of a detection is the score of its box times the mean score of its keypoints above a threshold. If several
detections are nearly the same, the one with the best score is kept.
"""

from __future__ import annotations

import contextlib
import io
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgehrnet.errors import InputError, MissingExtraError
from edgehrnet.picture.crops import MARGIN
from edgehrnet.picture.sources import read_image
from quant.data.annotations import Annotations, ImageId, Picture
from quant.data.examples import Box
from quant.scoring.detections import Detection
from quant.scoring.pose_metrics import oks_nms, rescore

NAMES = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")
# Maps a picture (H, W, 3) u8 RGB and boxes (N, 4) xywh to xy (N, K, 2) in picture pixels and confidence (N, K).
PredictBoxes = Callable[[NDArray[np.uint8], NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float32]]]
# Predictions xy (K, 2) and confidence (K,) by image id and box xywh.
Known = Mapping[tuple[ImageId, Box], tuple[NDArray[np.float64], NDArray[np.float32]]]


def detect(
    predict: PredictBoxes,
    detections: Sequence[Detection],
    sigmas: Sequence[float],
    images: Collection[ImageId] | None = None,
    known: Known | None = None,
) -> list[dict[str, Any]]:
    """Find the keypoints in each box and return COCO results, with the ids of the label file.

    Args:
        predict: Model.
        detections: Boxes, see quant.scoring.detections.
        sigmas: OKS constants ``(K,)``.
        images: Image ids to include. None includes all.
        known: Predictions that were made before. The model is not run for their boxes.

    Raises:
        InputError: The model returned NaN or infinity.
    """
    by_picture: defaultdict[Picture, list[Detection]] = defaultdict(list)
    for detection in detections:
        if images is None or detection.picture.id in images:
            by_picture[detection.picture].append(detection)
    results: list[dict[str, Any]] = []
    for picture, found in by_picture.items():
        results += _results(found, *_predict(predict, picture, found, known or {}), sigmas)
    return results


def _predict(
    predict: PredictBoxes, picture: Picture, detections: Sequence[Detection], known: Known
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Return xy ``(N, K, 2)`` and confidence ``(N, K)`` for N boxes on one picture."""
    found = [known.get((picture.id, detection.box)) for detection in detections]
    missing = [detection.box for detection, answer in zip(detections, found, strict=True) if answer is None]
    if missing:
        fresh = zip(*predict(read_image(picture.path), np.array(missing, np.float64)), strict=True)
        found = [next(fresh) if answer is None else answer for answer in found]
    pairs = [answer for answer in found if answer is not None]
    xy, conf = np.stack([xy for xy, _ in pairs]), np.stack([conf for _, conf in pairs])
    if not (np.isfinite(xy).all() and np.isfinite(conf).all()):
        # pycocotools takes a pose with NaN for a perfect one.
        raise InputError(f"the model returned NaN or infinity on {picture.path}; only finite points can be scored")
    return xy, conf


def _results(
    detections: Sequence[Detection],
    xy: NDArray[np.float64],
    conf: NDArray[np.float32],
    sigmas: Sequence[float],
) -> Iterator[dict[str, Any]]:
    """Yield the COCO results of one picture, best first, without those that nearly equal a better one."""
    scores = np.array([rescore(box.score, row) for box, row in zip(detections, conf, strict=True)])
    areas = np.array([box.box for box in detections], np.float64)[:, 2:].prod(axis=1) * MARGIN**2
    for n in oks_nms(xy, conf, scores, areas, sigmas):
        yield {
            "image_id": detections[n].picture.id,
            "category_id": detections[n].category_id,
            "keypoints": np.c_[xy[n], conf[n]].round(4).ravel().tolist(),
            "score": round(float(scores[n]), 6),
        }


def coco_scores(
    annotations: Annotations,
    results: Sequence[Mapping[str, Any]],
    sigmas: Sequence[float],
    images: Collection[ImageId] | None = None,
) -> dict[str, float]:
    """Return the ten numbers of pycocotools, named as in `NAMES`, each 0..1. NaN means that nothing was counted.

    Args:
        annotations: Labels.
        results: Detections with ``image_id`` and ``category_id`` of the label file, ``keypoints`` and ``score``.
        sigmas: OKS constants ``(K,)``.
        images: Image ids that count. None counts all.

    Raises:
        MissingExtraError: pycocotools is not installed.
    """
    numbers = {picture: number for number, picture in enumerate(annotations.pictures, start=1)}
    by_id = {key: numbers[picture] for key, picture in annotations.by_id().items()}
    categories = {key: number for number, (key, _) in annotations.categories.items()}
    found = [
        {
            "image_id": by_id[result["image_id"]],
            "category_id": categories[result["category_id"]],
            "keypoints": result["keypoints"],
            "score": result["score"],
        }
        for result in results
    ]
    chosen = None if images is None else [by_id[key] for key in images]
    return pycocotools_scores(coco_content(annotations), found, sigmas, chosen)


def coco_content(annotations: Annotations) -> dict[str, Any]:
    """Return labels as the content of a COCO file in which nothing is missing and all ids count from 1.

    pycocotools takes an annotation id of 0 for "not matched", and loses annotations whose ids repeat.
    """
    numbers = {picture: number for number, picture in enumerate(annotations.pictures, start=1)}
    return {
        "images": [{"id": number} for number in numbers.values()],
        "categories": [{"id": number} for number in annotations.categories],
        "annotations": [
            {
                "id": number,
                "image_id": numbers[instance.picture],
                "category_id": instance.category,
                "iscrowd": int(instance.crowd),
                "num_keypoints": int(instance.labeled.sum()),
                "keypoints": np.c_[instance.points, instance.visibility].ravel().tolist(),
                "bbox": list(instance.box or (0.0, 0.0, 0.0, 0.0)),
                "area": float(instance.area or 0.0),
            }
            for number, instance in enumerate(annotations.instances, start=1)
        ],
    }


def pycocotools_scores(
    content: Mapping[str, Any],
    found: Sequence[Mapping[str, Any]],
    sigmas: Sequence[float],
    images: Collection[int] | None = None,
) -> dict[str, float]:
    """Return the ten numbers of pycocotools for content and results whose ids agree. See `coco_scores`."""
    coco, evaluator = load_pycocotools()
    if not content["annotations"] or not found:  # pycocotools fails on empty lists
        return dict.fromkeys(NAMES, 0.0 if content["annotations"] else float("nan"))
    with contextlib.redirect_stdout(io.StringIO()):
        true = coco()
        true.dataset = {**content, "annotations": [dict(entry) for entry in content["annotations"]]}
        true.createIndex()
        run = evaluator(true, true.loadRes([dict(result) for result in found]), "keypoints")
        run.params.kpt_oks_sigmas = np.array(sigmas, np.float64)
        if images is not None:
            run.params.imgIds = sorted(images)
        run.evaluate()
        run.accumulate()
        run.summarize()
    values = [float(value) if value >= 0 else float("nan") for value in run.stats]
    return dict(zip(NAMES, values, strict=True))


def coco_ap(
    truths: Sequence[Mapping[str, Any]], detections: Sequence[Mapping[str, Any]], sigmas: Sequence[float]
) -> tuple[float, float, float]:
    """Return AP over OKS 0.50 to 0.95, AP50 and AP75, each 0..1, as pycocotools computes them.

    Args:
        truths: COCO keypoint annotations, with ids from 1.
        detections: COCO results with ``image_id``, ``category_id``, ``keypoints`` and ``score``.
        sigmas: OKS constants ``(K,)``.

    Returns:
        The three numbers, NaN without an annotation. Pictures named on either side count.
    """
    content = {
        "images": [{"id": number} for number in {item["image_id"] for item in (*truths, *detections)}],
        "categories": [{"id": number} for number in {item["category_id"] for item in truths}],
        "annotations": list(truths),
    }
    found = pycocotools_scores(content, detections, sigmas)
    return found["AP"], found["AP50"], found["AP75"]


def load_pycocotools() -> tuple[Any, Any]:
    """Return the classes COCO and COCOeval.

    Raises:
        MissingExtraError: pycocotools is not installed.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise MissingExtraError("AP needs pycocotools; type: pip install 'edgehrnet[train]'") from None
    return COCO, COCOeval
