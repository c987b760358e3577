"""Does a file, on the device at hand, still give what the float network gave for the picture that it carries?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgehrnet.decoding import CERTAIN
from edgehrnet.errors import SpecError
from edgehrnet.result import Result
from edgehrnet.spec import Golden

GOLDEN_PX = 2.0  # network-input pixels, half a heatmap cell; a wrong device is off by dozens
GOLDEN_CORRELATION = 0.99


@dataclass(frozen=True)
class Report:
    """How a file did on the picture it carries, on the device at hand.

    ``max_px``: largest keypoint error in network-input pixels; ``correlation``: of the heatmaps with the float
    network's, 1 is perfect.
    """

    passed: bool
    device: str
    max_px: float
    correlation: float


def compare(golden: Golden, result: Result, device: str) -> Report:
    """Compare the answer to a golden pair's picture with the pair's own; SpecError if they are of two networks."""
    expected, heatmaps = np.array(golden.xy), golden.heatmap_array()
    if heatmaps.shape != result.heatmaps[0].shape or expected.shape != result.keypoints.xy[0].shape:
        raise SpecError("the golden pair is of another size or number of keypoints than the file")
    # Two corners may tie for the first of an outline; and where a keypoint is absent, the last bit places it.
    sure = np.array(golden.conf) >= CERTAIN
    shifts = range(len(expected) if result.spec.cyclic else 1)
    moved = [(np.roll(result.keypoints.xy[0], s, axis=0) - expected) * result.transform.scale for s in shifts]
    errors = [float(np.linalg.norm(xy[sure], axis=1).max(initial=0.0)) for xy in moved]
    best = int(np.argmin(errors))
    alike = correlation(np.roll(result.heatmaps[0], best, axis=0), heatmaps)
    return Report(errors[best] <= GOLDEN_PX and alike >= GOLDEN_CORRELATION, device, errors[best], alike)


def correlation(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]]) -> float:
    """Return Pearson's correlation of two arrays of one shape; 0 where one is constant or holds NaN."""
    if not (np.isfinite(a).all() and np.isfinite(b).all() and np.ptp(a) and np.ptp(b)):
        return 0.0
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
