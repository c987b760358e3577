"""Convert keypoints to the classes of other packages, which are imported only when they are used."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgehrnet.decoding import CONFIDENCE_THRESHOLD
from edgehrnet.errors import MissingExtraError

COLUMNS = ("image", "instance", "keypoint", "x", "y", "confidence")
BOX_COLUMNS = ("box_left", "box_top", "box_width", "box_height")


def frame_of(
    xy: NDArray[np.float64],
    conf: NDArray[np.float32],
    names: Sequence[str],
    image: str | None,
    boxes: NDArray[np.float64] | None,
) -> Any:
    """Return a pandas DataFrame with one row per keypoint of each instance.

    Args:
        xy: ``(N, K, 2)`` positions in pixels.
        conf: ``(N, K)`` confidences.
        names: Names of the K keypoints.
        image: Value of the first column.
        boxes: ``(N, 4)`` xywh, or None for a frame without columns of boxes.

    Raises:
        MissingExtraError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise MissingExtraError("to_df() needs pandas; type: pip install pandas") from None
    rows = [
        (image, n, name, float(x), float(y), float(c), *([] if boxes is None else boxes[n].tolist()))
        for n in range(len(xy))
        for name, (x, y), c in zip(names, xy[n], conf[n], strict=True)
    ]
    return pandas.DataFrame(rows, columns=[*COLUMNS, *(() if boxes is None else BOX_COLUMNS)])


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
