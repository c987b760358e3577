"""Compare this device's output with the golden output stored in the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgehrnet.decoding import CONFIDENCE_THRESHOLD
from edgehrnet.errors import DeviceError, SpecError
from edgehrnet.golden import Golden
from edgehrnet.result import Result
from edgehrnet.spec import ModelSpec
from runtimes.remote_address import Location

GOLDEN_PX = 2.0  # network input pixels, half a heatmap cell; a device that computes wrongly is off by dozens
GOLDEN_CORRELATION = 0.99


@dataclass(frozen=True)
class SelfCheck:
    """Differences between this device's output and the float network's on the golden picture."""

    passed: bool
    """Both values below are within their limits."""
    device: str
    """Device that ran the file, as the engine calls it."""
    max_px: float
    """Largest keypoint error in network input pixels."""
    correlation: float
    """Pearson's correlation of the heatmaps. 1 is perfect, or says that the file gives none."""


def has_size_of(golden: Golden, spec: ModelSpec) -> bool:
    """Return whether the golden heatmaps have the size that the network gives for its input size."""
    return golden.shape[1:] == tuple(side // spec.stride for side in spec.input_size)


def compare(golden: Golden, result: Result, device: str) -> SelfCheck:
    """Compare a result for the golden picture, possibly several times, with the golden output. The worst one counts.

    Raises SpecError if heatmaps or keypoints differ in shape.
    """
    expected, heatmaps = np.array(golden.xy), golden.heatmap_array()
    if heatmaps.shape != result.heatmaps[0].shape or expected.shape != result.keypoints.xy[0].shape:
        raise SpecError(f"the golden pair has heatmaps {heatmaps.shape}, the file gives {result.heatmaps[0].shape}")
    # Which corner is the first may depend on rounding, so try every cyclic shift. Skip absent keypoints, because their
    # positions depend on rounding, too.
    sure = np.array(golden.conf) >= CONFIDENCE_THRESHOLD
    shifts = range(len(expected) if result.spec.cyclic else 1)
    error, alike = 0.0, 1.0
    for found, maps, transform in zip(result.keypoints.xy, result.heatmaps, result.transforms, strict=True):
        moved = [(np.roll(found, s, axis=0) - expected) * transform.scale for s in shifts]
        errors = [float(np.linalg.norm(xy[sure], axis=1).max(initial=0.0)) for xy in moved]
        best = int(np.argmin(errors))
        error = max(error, errors[best])
        if heatmaps.size:
            alike = min(alike, correlation(np.roll(maps, best, axis=0), heatmaps))
    return SelfCheck(error <= GOLDEN_PX and alike >= GOLDEN_CORRELATION, device, error, alike)


def require_passed(check: SelfCheck, path: Location) -> None:
    """Raise DeviceError unless the self-check of a file passed."""
    if not check.passed:
        raise DeviceError(
            f"{check.device} computes a wrong output for {path}: on its golden picture, keypoints are off by "
            f"{check.max_px:.1f} px of the network input, and the heatmap correlation is {check.correlation:.3f}; "
            "use another device, or a file of another precision"
        )


def correlation(a: NDArray[np.floating[Any]], b: NDArray[np.floating[Any]]) -> float:
    """Return Pearson's correlation of two arrays of the same shape, or 0 if one is constant or not finite."""
    if not (np.isfinite(a).all() and np.isfinite(b).all() and np.ptp(a) and np.ptp(b)):
        return 0.0
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
