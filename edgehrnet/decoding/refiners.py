"""From the strongest cell of a heatmap to a point between cells; see decoding for which is which.

A refiner takes a heatmap ``(h, w)`` of finite values, its cell x, y, and the cells that a blur reaches over, and
returns the step (dx, dy) in cells from there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Step = NDArray[np.float64]

KERNEL = 11  # cells; the published blur for sigma 2, and 17 for sigma 3
RADIUS = 0.0546875  # of a map's longer side; the disc of UDP's offsets
WINDOW = 4  # cells on each side that softargmax weighs; nearly three times the training sigma of 1.5


def blur(maps: Array, kernel: int, edge: Literal["zero", "mirror"]) -> NDArray[np.float64]:
    """Blur ``(..., h, w)`` maps with the Gaussian that OpenCV derives from an odd ``kernel`` of cells, 9 or more.

    ``edge``: beyond the map lies nothing, or its mirror image about the outermost cells.

    >>> flat = np.ones((3, 4), np.float32)
    >>> blur(flat, 11, "mirror").round(6).tolist()[0]
    [1.0, 1.0, 1.0, 1.0]
    """
    height, width = maps.shape[-2:]
    blurred: NDArray[np.float64] = _blur(height, kernel, edge) @ maps @ _blur(width, kernel, edge).T
    return blurred


def towards_stronger(heatmap: Array, x: int, y: int) -> Step:
    """Step a quarter of a cell on each axis that has a neighbor on both sides."""
    height, width = heatmap.shape
    dx = heatmap[y, x + 1] - heatmap[y, x - 1] if 0 < x < width - 1 else 0.0
    dy = heatmap[y + 1, x] - heatmap[y - 1, x] if 0 < y < height - 1 else 0.0
    return 0.25 * np.sign([dx, dy])


def offset_radius(shape: tuple[int, int]) -> float:
    """Return the radius in cells of UDP's discs, which its networks learn offsets in, for maps of (h, w) cells.

    >>> offset_radius((64, 48))
    3.5
    """
    return RADIUS * max(shape)


def _argmax(heatmap: Array, x: int, y: int, kernel: int) -> Step:  # noqa: ARG001 - a refiner's signature
    return np.zeros(2)


def _quarter(heatmap: Array, x: int, y: int, kernel: int) -> Step:  # noqa: ARG001 - a refiner's signature
    """Both axes or none: as published, a cell in the second column or row is not refined either."""
    height, width = heatmap.shape
    return towards_stronger(heatmap, x, y) if 1 < x < width - 1 and 1 < y < height - 1 else np.zeros(2)


def _quarter_mmpose(heatmap: Array, x: int, y: int, kernel: int) -> Step:  # noqa: ARG001 - a refiner's signature
    """Each axis by itself; the other one must only not be at its first cell."""
    return towards_stronger(heatmap, x, y) * [x > 1 and y > 0, y > 1 and x > 0]


def _dark(heatmap: Array, x: int, y: int, kernel: int) -> Step:
    """Newton step on the log of the blurred heatmap, as published; none within two cells of the border.

    The published code blurs the whole map and rescales it to its old maximum; a constant factor does not move the
    top of a logarithm, so blurring the 5x5 cells that the derivatives need gives the same point.
    """
    height, width = heatmap.shape
    if not (1 < x < width - 2 and 1 < y < height - 2):
        return np.zeros(2)
    rows, columns = _blur(height, kernel, "zero")[y - 2 : y + 3], _blur(width, kernel, "zero")[x - 2 : x + 3]
    log = np.log(np.maximum(rows @ heatmap @ columns.T, 1e-10))
    gradient = 0.5 * np.array([log[2, 3] - log[2, 1], log[3, 2] - log[1, 2]])
    dxx = 0.25 * (log[2, 4] - 2 * log[2, 2] + log[2, 0])
    dyy = 0.25 * (log[4, 2] - 2 * log[2, 2] + log[0, 2])
    dxy = 0.25 * (log[3, 3] - log[1, 3] - log[3, 1] + log[1, 1])
    if dxx * dyy - dxy**2 == 0:
        return np.zeros(2)
    step = -np.linalg.solve(np.array([[dxx, dxy], [dxy, dyy]]), gradient)
    # The top lies within half a cell of the strongest cell; a longer step means the peak is no Gaussian.
    return step if np.abs(step).max() <= 1 else np.zeros(2)


def _udp(heatmap: Array, x: int, y: int, kernel: int) -> Step:
    """Newton step on the log of the blurred heatmap with its outer cells repeated, as published (UDP, CVPR 2020).

    There is no border rule, so that the step may leave the map, and no limit to a step where the map is no Gaussian.
    """
    blurred = blur(heatmap, kernel, "zero")
    # The bounds below are those of heights as the network drew them, before the blur lowered them.
    blurred *= heatmap.max() / max(float(blurred.max()), 1e-12)
    log = np.pad(np.log(blurred.clip(1e-3, 50)), 1, mode="edge")[y : y + 3, x : x + 3]
    gradient = 0.5 * np.array([log[1, 2] - log[1, 0], log[2, 1] - log[0, 1]])
    dxx = log[1, 2] - 2 * log[1, 1] + log[1, 0]
    dyy = log[2, 1] - 2 * log[1, 1] + log[0, 1]
    dxy = 0.5 * (log[2, 2] - log[1, 2] - log[2, 1] + 2 * log[1, 1] - log[1, 0] - log[0, 1] + log[0, 0])
    hessian = np.array([[dxx, dxy], [dxy, dyy]]) + np.finfo(np.float32).eps * np.eye(2)
    if np.linalg.det(hessian) == 0:
        return np.zeros(2)
    return -np.linalg.solve(hessian, gradient)


def _softargmax(heatmap: Array, x: int, y: int, kernel: int) -> Step:  # noqa: ARG001 - a refiner's signature
    """Center of mass within WINDOW cells; the window shrinks alike on both sides at a border, lest it pull."""
    height, width = heatmap.shape
    reach_x, reach_y = min(WINDOW, x, width - 1 - x), min(WINDOW, y, height - 1 - y)
    window = heatmap[y - reach_y : y + reach_y + 1, x - reach_x : x + reach_x + 1].astype(np.float64)
    total = window.sum()
    if total <= 0:
        return np.zeros(2)
    dx = window.sum(axis=0) @ np.arange(-reach_x, reach_x + 1) / total
    dy = window.sum(axis=1) @ np.arange(-reach_y, reach_y + 1) / total
    return np.array([dx, dy])


@lru_cache(maxsize=64)
def _blur(size: int, kernel: int, edge: Literal["zero", "mirror"]) -> NDArray[np.float64]:
    """Return ``(size, size)``: the blur of an axis of ``size`` cells as a matrix."""
    sigma = 0.3 * ((kernel - 1) / 2 - 1) + 0.8  # what OpenCV derives from a kernel's size
    reach = kernel // 2
    taps = [math.exp(-(i**2) / (2 * sigma**2)) for i in range(-reach, reach + 1)]
    padding = ((reach, reach), (0, 0))
    cells = np.pad(np.eye(size), padding) if edge == "zero" else np.pad(np.eye(size), padding, mode="reflect")
    matrix = np.zeros((size, size))
    for i, tap in enumerate(taps):
        matrix += tap / sum(taps) * cells[i : i + size]
    matrix.flags.writeable = False
    return matrix


REFINERS: Mapping[str, Callable[[Array, int, int, int], Step]] = {
    "argmax": _argmax,
    "quarter": _quarter,
    "quarter-mmpose": _quarter_mmpose,
    "dark": _dark,
    "udp": _udp,
    "softargmax": _softargmax,
}
