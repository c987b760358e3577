"""Compute the boxes of instances that were found without one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgehrnet.labels.candidates import Candidate


def boxes_of(candidate: Candidate) -> NDArray[np.float64]:
    """Return ``(N, 4)`` boxes xywh: those that were given, or those around the keypoints."""
    if candidate.boxes is not None:
        return candidate.boxes
    low, high = candidate.points.min(axis=1), candidate.points.max(axis=1)
    return np.concatenate([low, high - low], axis=1)
