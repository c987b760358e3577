"""Read labeled keypoints, and compute the error of a model. Training has readers for more formats."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgehrnet.errors import InputError
from edgehrnet.predictor import Predictor


@dataclass(frozen=True, eq=False)
class Truth:
    """A labeled picture."""

    picture: Path
    points: NDArray[np.float64]
    """``(N, K, 2)`` in pixels, NaN where not labeled."""
    boxes: NDArray[np.float64]
    """``(N, 4)`` xywh."""


def read_truth(path: Path, names: Sequence[str], images: Path | None = None) -> list[Truth]:
    """Read a COCO keypoint file.

    Args:
        path: JSON file. Pictures lie beside it, or in ``images`` there.
        names: Keypoints of the model, which the file must have in any order.
        images: Folder of the pictures.

    Raises:
        InputError: The file is not COCO keypoints, or lacks a keypoint or a picture.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        category = next(one for one in content["categories"] if one.get("keypoints"))
        order = [category["keypoints"].index(name) for name in names]
        rows: dict[Any, list[Mapping[str, Any]]] = {}
        for one in content["annotations"]:
            if one.get("num_keypoints", 1) and not one.get("iscrowd"):
                rows.setdefault(one["image_id"], []).append(one)
        return [_truth(one, rows[one["id"]], order, path, images) for one in content["images"] if one["id"] in rows]
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise InputError(
            f"{str(path)!r} is not a COCO keypoint file with the keypoints {', '.join(names)}: {error!r}"
        ) from None


def _truth(
    image: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], order: list[int], path: Path, images: Path | None
) -> Truth:
    folders = [path.parent, path.parent / "images"] if images is None else [images]
    found = next((folder / image["file_name"] for folder in folders if (folder / image["file_name"]).is_file()), None)
    if found is None:
        raise InputError(f"{str(path)!r}: no picture {image['file_name']!r} in {folders[0]}")
    values = np.array([row["keypoints"] for row in rows], float).reshape(len(rows), -1, 3)[:, order]
    points = np.where(values[..., 2:] > 0, values[..., :2], np.nan)
    return Truth(found, points, np.array([row["bbox"] for row in rows], float))


def error_of(predictor: Predictor, truths: Sequence[Truth]) -> dict[str, float]:
    """Return the error in pixels of the pictures: ``mean``, ``median`` and ``p95``, and the number of ``keypoints``.

    A model that takes whole pictures is compared with their first instance. The corners of an outline may begin at any
    of them.
    """
    errors = [error for truth in truths for error in _errors(predictor, truth)]
    if not errors:
        raise InputError("no labeled keypoint to compare with")
    values = np.array(errors)
    return {"mean": float(values.mean()), "median": float(np.median(values)), "p95": float(np.percentile(values, 95)),
            "keypoints": float(len(values))}  # fmt: skip


def _errors(predictor: Predictor, truth: Truth) -> Iterator[float]:
    boxes = None if predictor.spec.crop is None else truth.boxes
    found = predictor.predict(truth.picture, boxes=boxes).keypoints.xy
    for xy, points in zip(found, truth.points, strict=False):
        shifts = range(len(points)) if predictor.spec.cyclic else (0,)
        distances = [np.linalg.norm(np.roll(xy, shift, axis=0) - points, axis=1) for shift in shifts]
        best = min((one[np.isfinite(one)] for one in distances), key=lambda one: float(one.sum()))
        yield from best.tolist()
