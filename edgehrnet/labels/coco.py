"""Write predictions as COCO keypoint annotations."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgehrnet.labels.boxes import boxes_of
from edgehrnet.labels.candidates import Candidate
from edgehrnet.spec import ModelSpec
from runtimes.writing import write_file

FILE = "annotations.json"


def write(candidates: Sequence[Candidate], spec: ModelSpec, folder: Path, min_confidence: float) -> list[Path]:
    """Write `FILE`. Visible keypoints have 2 as their third number. Pictures and instances have their ``score``."""
    images = [
        {"id": number, "file_name": one.name, "width": one.size[1], "height": one.size[0]}
        for number, one in enumerate(candidates, start=1)
    ]
    annotations: list[dict[str, Any]] = []
    for number, one in enumerate(candidates, start=1):
        for points, confidence, box in zip(one.points, one.confidence, boxes_of(one), strict=True):
            labeled = confidence >= min_confidence
            values = np.where(labeled[:, None], np.c_[points, np.full(len(points), 2)], 0.0)
            annotations.append({
                "id": len(annotations) + 1, "image_id": number, "category_id": 1, "iscrowd": 0, "segmentation": [],
                "keypoints": [_short(value) for value in values.ravel()], "num_keypoints": int(labeled.sum()),
                "bbox": [_short(value) for value in box], "area": _short(box[2] * box[3]),
                "score": round(float(confidence.mean()), 4),
            })  # fmt: skip
    skeleton = [[a + 1, b + 1] for a, b in spec.skeleton]
    category = {"id": 1, "name": spec.name, "supercategory": spec.name, "keypoints": list(spec.keypoints),
                "skeleton": skeleton}  # fmt: skip
    content = {"images": images, "annotations": annotations, "categories": [category]}
    write_file(folder / FILE, json.dumps(content, ensure_ascii=False))
    return [folder / FILE]


def _short(value: float) -> float | int:
    """Return a number with three digits behind the point, and whole numbers without a point."""
    rounded = round(float(value), 3)
    return int(rounded) if rounded.is_integer() else rounded
