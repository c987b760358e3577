"""Fuzz boxes, as arguments and as JSON files."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from edgehrnet.picture.boxes import read_boxes
from edgehrnet.predictor import Predictor
from tools.fuzz.engine import Entry, NotFiniteError, require_finite
from tools.fuzz.files import null_file
from tools.fuzz.mutations import damaged_json, damaged_json_text, extreme

ROWS: tuple[Any, ...] = (
    [[1.0, 2.0, 20.0, 30.0]],
    [[0, 0, 50, 40], [-10.5, 3, 20, 20], [1e6, -1e6, 3, 3]],
    [[5, 5, 1e-6, 1e7]],
)
FILES: tuple[Any, ...] = (
    [
        {"image_id": 785, "bbox": [1, 2, 30, 40], "score": 0.98, "category_id": 1},
        {"file_name": "a.jpg", "bbox": [1, 2, 3, 4]},
    ],
    {
        "images": [{"id": 785, "file_name": "photo.jpg"}, {"id": "b", "file_name": "b/photo.jpg"}],
        "annotations": [
            {"image_id": 785, "bbox": [1, 2, 3, 4], "iscrowd": 0},
            {"image_id": "b", "bbox": [1.5, 2, 3, 4]},
        ],
    },
    {"photo.jpg": [[1, 2, 30, 40], [0.5, 0, 3, 3]], "b.png": []},
)


def make(rng: Random) -> tuple[Any, Any]:
    """Return something passed as boxes, and something passed as their format."""
    kind = rng.randrange(4)
    if kind == 0:
        exponent = rng.uniform(-10, 10)
        boxes: Any = np.array([[rng.gauss(0, 10**exponent) for _ in range(4)]])
    elif kind == 1:
        boxes = np.array(rng.choice(ROWS)).astype(rng.choice(("f4", "f8", "i4", "O", "c8", "U5")))
    else:
        boxes = damaged_json(rng, ROWS)
    return boxes, rng.choice(("xywh", "xywh", "xyxy", "xyxy", extreme(rng)))


def entry(folder: Path) -> Entry:
    """Return the entry. It predicts a picture with each box, in both conventions of crops."""
    predictors = [Predictor(null_file(folder, crop, crop=crop)) for crop in ("hrnet", "udp")]
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)

    def check(case: tuple[Any, Any]) -> None:
        for predictor in predictors:
            require_finite(predictor.predict(picture, boxes=case[0], box_format=case[1]))

    return Entry("boxes", make, check)


def file_entry(folder: Path) -> Entry:
    """Return the entry that reads JSON files of boxes."""
    path = folder / "boxes.json"

    def check(case: bytes) -> None:
        path.write_bytes(case)
        boxes = read_boxes(path, min_score=0.1, category=1)
        for rows in boxes.of_each(["photo.jpg", "COCO_000000000785.jpg"]):
            if not np.isfinite(np.asarray(rows, np.float64)).all():
                raise NotFiniteError(f"{rows}")

    return Entry("box-files", partial(damaged_json_text, seeds=FILES), check)
