"""COCO's own scores of keypoints: AP and AR over object keypoint similarity, by pycocotools.

The protocol is that of the published pose networks: a box makes a crop, the crop's keypoints a detection, whose score
is the box's times the mean of those keypoints that are seen; of detections that nearly agree, the best is kept.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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
from quant.scoring.pose_metrics import oks_nms, rescore

NAMES = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")
# A picture (H, W, 3) u8 RGB and boxes (N, 4) -> xy (N, K, 2) in its pixels and confidence (N, K).
PredictBoxes = Callable[[NDArray[np.uint8], NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float32]]]


@dataclass(frozen=True)
class Annotations:
    """A COCO keypoint file as it is, and where its pictures lie."""

    path: Path
    content: Mapping[str, Any]

    @classmethod
    def read(cls, path: Path) -> Annotations:
        """Read the file; InputError if it is none."""
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            _ = content["images"], content["annotations"], content["categories"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} holds no COCO annotations: {error!r}") from None
        return cls(path, content)

    @property
    def pictures(self) -> dict[int, Path]:
        """Number of each picture -> its file."""
        return {image["id"]: picture_path(self.path.parent, image["file_name"]) for image in self.content["images"]}

    def true_boxes(self) -> list[dict[str, Any]]:
        """Return the boxes of labeled persons as a detector would give them, all with score 1."""
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
    """Read a detector's boxes: a JSON list of ``image_id``, ``bbox`` (x, y, width, height), ``score`` and category."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        boxes = [{"category_id": 1, "score": 1.0, **box} for box in found]
        for box in boxes:
            _ = box["image_id"], check_boxes([box["bbox"]])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no list of detections with image_id, bbox and score: {error!r}") from None
    return boxes


def detect(
    predict: PredictBoxes,
    annotations: Annotations,
    boxes: Iterable[Mapping[str, Any]],
    sigmas: Sequence[float],
    images: Collection[int] | None = None,
) -> list[dict[str, Any]]:
    """Find the keypoints in each box; return COCO results. ``images``: only these numbers; None is all that there are.

    Raises InputError for a box on a picture that the annotations do not name.
    """
    pictures = annotations.pictures
    by_picture: defaultdict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for box in boxes:
        if box["image_id"] not in pictures:
            raise InputError(f"{annotations.path} has no picture {box['image_id']}, on which there is a box")
        by_picture[box["image_id"]].append(box)
    results: list[dict[str, Any]] = []
    for number in sorted(by_picture):
        if images is not None and number not in images:
            continue
        own = by_picture[number]
        rectangles = np.array([box["bbox"] for box in own], np.float64)
        xy, conf = predict(read_image(pictures[number]), rectangles)
        scores = np.array([rescore(float(box["score"]), row) for box, row in zip(own, conf, strict=True)])
        areas = rectangles[:, 2:].prod(axis=1) * MARGIN**2
        for n in oks_nms(xy, conf, scores, areas, sigmas):
            points = np.c_[xy[n], conf[n]].round(4)
            category = own[n]["category_id"]
            found = {"image_id": number, "category_id": category, "keypoints": points.ravel().tolist()}
            results.append({**found, "score": round(float(scores[n]), 6)})
    return results


def coco_scores(
    content: Mapping[str, Any],
    results: Sequence[Mapping[str, Any]],
    sigmas: Sequence[float],
    images: Collection[int] | None = None,
) -> dict[str, float]:
    """Return pycocotools' ten numbers by name (`NAMES`), each 0..1; NaN where nothing could be counted.

    ``content`` as of a COCO file, ``results`` with ``image_id``, ``category_id``, ``keypoints`` and ``score``;
    ``sigmas`` ``(K,)``. ``images``: only these count. Raises MissingExtraError without pycocotools.
    """
    coco, evaluator = load_pycocotools()
    kept = ("image_id", "category_id", "keypoints", "score")
    found = [{key: result[key] for key in kept} for result in results]
    if not content["annotations"] or not found:  # of which pycocotools can make nothing
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
    """Return the classes COCO and COCOeval, or raise MissingExtraError."""
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise MissingExtraError("OKS-AP needs pycocotools: pip install 'edgehrnet[train]'") from None
    return COCO, COCOeval
