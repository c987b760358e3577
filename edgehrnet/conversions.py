"""Convert results to JSON values, and to the classes of other packages, which are imported when they are used."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgehrnet.decoding import CONFIDENCE_THRESHOLD
from edgehrnet.errors import MissingExtraError

if TYPE_CHECKING:
    from edgehrnet.result import Result

COLUMNS = ("image", "instance", "keypoint", "x", "y", "confidence")
BOX_COLUMNS = ("box_left", "box_top", "box_width", "box_height")


def result_values(result: Result) -> dict[str, Any]:
    """Return the JSON values that `Result.to_dict` describes."""
    height, width = result.keypoints.size
    points = result.keypoints
    instances: list[dict[str, Any]] = [
        {
            "score": round(float(score), 4),
            "keypoints": [
                {"name": name, "x": round(float(x), 3), "y": round(float(y), 3), "conf": round(float(c), 4)}
                for name, (x, y), c in zip(points.names, xy, conf, strict=True)
            ],
        }
        for score, xy, conf in zip(result.score, points.xy, points.conf, strict=True)
    ]
    for instance, box in zip(instances, () if result.boxes is None else result.boxes, strict=False):
        instance["box"] = [round(float(side), 3) for side in box]
    for instance, key in zip(instances, () if result.ids is None else result.ids, strict=False):
        instance["id"] = int(key)
    for instance, row in zip(instances, () if result.predicted is None else result.predicted, strict=False):
        for point, predicted in zip(instance["keypoints"], row, strict=True):
            point["predicted"] = bool(predicted)
    place: dict[str, float] = {} if result.frame is None else {"frame": result.frame}
    if result.time is not None:
        place["time"] = round(result.time, 6)
    return {
        "model": result.spec.name,
        "source": result.source,
        **place,
        "width": width,
        "height": height,
        "instances": instances,
        "speed_ms": {stage: round(ms, 3) for stage, ms in result.speed.items()},
    }


def coco_results(result: Result, image_id: int, category_id: int) -> list[dict[str, Any]]:
    """Return the rows that `Result.to_coco` describes."""
    rows = np.concatenate([result.keypoints.xy, result.keypoints.conf[..., None]], axis=2)
    return [
        {
            "image_id": image_id,
            "category_id": category_id,
            "keypoints": [round(float(v), 3) for v in row.ravel()],
            "score": round(float(score), 5),
        }
        for row, score in zip(rows, result.score, strict=True)
    ]


def frame_of(
    xy: NDArray[np.float64],
    conf: NDArray[np.float32],
    names: Sequence[str],
    image: str | None,
    boxes: NDArray[np.float64] | None,
    ids: NDArray[np.int_] | None = None,
    predicted: NDArray[np.bool_] | None = None,
) -> Any:
    """Return a pandas DataFrame with one row per keypoint of each instance.

    Args:
        xy: ``(N, K, 2)`` positions in pixels.
        conf: ``(N, K)`` confidences.
        names: Names of the K keypoints.
        image: Value of the first column.
        boxes: ``(N, 4)`` xywh, or None for a frame without columns of boxes.
        ids: ``(N,)`` numbers of the instances, None to count them.
        predicted: ``(N, K)``, or None for a frame without this column.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise MissingExtraError("to_df() needs pandas; type: pip install pandas") from None
    rows = [
        (
            image,
            n if ids is None else int(ids[n]),
            name,
            float(x),
            float(y),
            float(c),
            *([] if predicted is None else [bool(predicted[n, k])]),
            *([] if boxes is None else boxes[n].tolist()),
        )
        for n in range(len(xy))
        for k, (name, (x, y), c) in enumerate(zip(names, xy[n], conf[n], strict=True))
    ]
    more = (*(() if predicted is None else ("predicted",)), *(() if boxes is None else BOX_COLUMNS))
    return pandas.DataFrame(rows, columns=[*COLUMNS, *more])


def supervision_keypoints(xy: NDArray[np.float64], conf: NDArray[np.float32], score: NDArray[np.float32]) -> Any:
    """Return supervision.KeyPoints with all values for which the installed release has a field.

    Args:
        xy: ``(N, K, 2)`` positions in pixels.
        conf: ``(N, K)`` confidences.
        score: ``(N,)`` confidences of the instances.

    Raises:
        MissingExtraError: supervision is not installed.
    """
    try:
        import supervision
    except ImportError:
        raise MissingExtraError("to_supervision() needs supervision; type: pip install supervision") from None
    accepted = inspect.signature(supervision.KeyPoints).parameters
    # Releases before 0.29 call it ``confidence``, and 0.32 removes that name.
    name = "keypoint_confidence" if "keypoint_confidence" in accepted else "confidence"
    values: dict[str, Any] = {name: conf.astype(np.float32)}
    more = {"detection_confidence": score.astype(np.float32), "visible": conf >= CONFIDENCE_THRESHOLD}
    values |= {field: value for field, value in more.items() if field in accepted}
    return supervision.KeyPoints(xy=xy.astype(np.float32), **values)
