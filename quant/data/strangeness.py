"""Measure how much the labels of an instance differ from those of the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from quant.data.annotations import Instance

SMALLEST = 0.02
"""Smallest usual distance, as a share of the box. Without it, keypoints that hardly move would seem strangest."""


def strangeness(instances: Sequence[Instance]) -> NDArray[np.float64]:
    """Return ``(N, K)``, how many usual distances each keypoint is from its usual place. NaN where not labeled.

    Places are shares of the box's sides. The usual place of a keypoint is its median over all instances, and the usual
    distance is the median distance from there.

    Args:
        instances: instances with boxes and the same keypoints.
    """
    boxes = np.array([instance.box or (0.0, 0.0, 1.0, 1.0) for instance in instances])
    points = np.stack([instance.points for instance in instances])
    places = (points - boxes[:, None, :2]) / np.maximum(boxes[:, None, 2:], 1e-6)
    places[~np.stack([instance.labeled for instance in instances])] = np.nan
    found = np.full(places.shape[:2], np.nan)
    for k in np.flatnonzero(np.isfinite(places[..., 0]).any(axis=0)):
        distance = np.linalg.norm(places[:, k] - np.nanmedian(places[:, k], axis=0), axis=1)
        found[:, k] = distance / max(float(np.nanmedian(distance)), SMALLEST)
    return found
