"""Limit the numbers of a ModelSpec, so no file makes a prediction hang, fill the memory or give endless points."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from edgehrnet.errors import SpecError

# field -> smallest and largest value
LIMITS: dict[str, tuple[float, float]] = {
    "stride": (1, 256),
    "kernel": (1, 255),
    "cell_offset": (-4096, 4096),
    "maps": (1, 10_000),
    "mean": (-1, 1),
    "confidence": (-1e4, 1e4),
    "oks_sigmas": (1e-6, 10),
}
KEYPOINTS = 10_000
HEATMAP_VALUES = 1 << 24
"""Most values of the heatmaps in a golden pair, for example 133 maps of 384x288 cells."""


def check_ranges(spec: Any) -> None:
    """Raise SpecError if a number of a ModelSpec is outside `LIMITS`."""
    for name, (low, high) in LIMITS.items():
        value = getattr(spec, name)
        numbers: Iterable[float] = value if isinstance(value, tuple) else () if value is None else (value,)
        if not all(low <= number <= high for number in numbers):
            hint = ": values are for pixels in 0..1, divide by 255" if name == "mean" else ""
            raise SpecError(f"{name}={value}; accepted is {low:g} to {high:g}{hint}")
    if not all(1e-3 <= abs(value) <= 1 for value in spec.std):
        raise SpecError(f"std={spec.std}; accepted is 0.001 to 1: values are for pixels in 0..1, divide by 255")
    if len(spec.keypoints) > KEYPOINTS:
        raise SpecError(f"{len(spec.keypoints)} keypoints; at most {KEYPOINTS} are accepted")
    if spec.crop == "udp" and min(spec.input_size) < 2 * spec.stride:
        raise SpecError(f"stride={spec.stride}; with crop='udp' an input has two cells or more on each side")


def check_golden_shape(shape: tuple[int, int, int]) -> None:
    """Raise SpecError if the heatmaps of a golden pair are empty or too large.

    Those of a file that gives coordinates are (K, 0, 0).
    """
    count, *sides = shape
    smallest = count if sides == [0, 0] else min(shape)
    if smallest < 1 or math.prod(shape) > HEATMAP_VALUES:
        raise SpecError(f"shape={shape}; heatmaps have 1 to {HEATMAP_VALUES} values")
