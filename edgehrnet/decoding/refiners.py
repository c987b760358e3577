"""Refine the strongest cell of a heatmap to a point between cells.

The table in `edgehrnet.decoding` describes the methods. A refiner takes

- a heatmap ``(h, w)`` of finite values,
- the x and y of its strongest cell,
- the size in cells of the blur kernel,

and returns the step (dx, dy) from that cell's center in cells.
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

KERNEL = 11  # cells; the published blur for a sigma of 2 (17 for a sigma of 3)
UDP_RADIUS = 0.0546875  # radius of UDP's offset discs, as a fraction of the heatmap's longer side
WINDOW = 4  # cells in each direction that softargmax averages, nearly three times the training sigma of 1.5


def blur(maps: Array, kernel: int, edge: Literal["zero", "mirror"]) -> NDArray[np.float64]:
    """Blur maps with the Gaussian that OpenCV derives from a kernel size.

    Args:
        maps: Maps ``(..., h, w)``.
        kernel: Kernel size in cells, odd and at least 9.
        edge: Values beyond the edge: zero, or the mirror image about the outermost cells.

    >>> flat = np.ones((3, 4), np.float32)
    >>> blur(flat, 11, "mirror").round(6).tolist()[0]
    [1.0, 1.0, 1.0, 1.0]
    """
    height, width = maps.shape[-2:]
    blurred: NDArray[np.float64] = _blur(height, kernel, edge) @ maps @ _blur(width, kernel, edge).T
    return blurred


def quarter_step(heatmap: Array, x: int, y: int) -> Step:
    """Return a step of a quarter of a cell towards the stronger neighbor, on each axis with neighbors on both sides."""
    height, width = heatmap.shape
    dx = heatmap[y, x + 1] - heatmap[y, x - 1] if 0 < x < width - 1 else 0.0
    dy = heatmap[y + 1, x] - heatmap[y - 1, x] if 0 < y < height - 1 else 0.0
    return 0.25 * np.sign([dx, dy])


def offset_radius(shape: tuple[int, int]) -> float:
    """Return the radius in cells of the discs on which UDP's networks learn offsets, for maps of (h, w) cells.

    >>> offset_radius((64, 48))
    3.5
    """
    return UDP_RADIUS * max(shape)


def _argmax(heatmap: Array, x: int, y: int, kernel: int) -> Step:  # noqa: ARG001 - every refiner has this signature
    return np.zeros(2)


def _quarter(heatmap: Array, x: int, y: int, kernel: int) -> Step:  # noqa: ARG001 - every refiner has this signature
    """Step a quarter of a cell on both axes or none.

    As published, a cell in the first two columns or rows or in the last one is not refined.
    """
    height, width = heatmap.shape
    return quarter_step(heatmap, x, y) if 1 < x < width - 1 and 1 < y < height - 1 else np.zeros(2)


def _quarter_mmpose(heatmap: Array, x: int, y: int, kernel: int) -> Step:  # noqa: ARG001 - every refiner has this signature
    """Step a quarter of a cell on each axis separately, as MMPose does.

    An axis is refined from its third cell on if the other axis is not at its first cell.
    """
    return quarter_step(heatmap, x, y) * [x > 1 and y > 0, y > 1 and x > 0]


def _dark(heatmap: Array, x: int, y: int, kernel: int) -> Step:
    """Take a Newton step on the log of the blurred heatmap, as published (DARK, Zhang, CVPR 2020).

    Cells within two cells of the border are not refined. The published code blurs the whole map and rescales it to
    its old maximum. A constant factor does not move the maximum of a logarithm, so blurring the 5x5 cells that the
    derivatives need gives the same point.
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
    # The maximum is within half a cell of the strongest cell. A longer step means the peak is not a Gaussian.
    return step if np.abs(step).max() <= 1 else np.zeros(2)


def _udp(heatmap: Array, x: int, y: int, kernel: int) -> Step:
    """Take a Newton step on the log of the blurred heatmap with edge cells repeated, as published (UDP, CVPR 2020).

    No cell is excluded at the border, so that a step may leave the map. The length of a step is not limited where a
    peak is not a Gaussian.
    """
    blurred = blur(heatmap, kernel, "zero")
    # The bounds below apply to activations before the blur lowered them.
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


def _softargmax(heatmap: Array, x: int, y: int, kernel: int) -> Step:  # noqa: ARG001 - every refiner has this signature
    """Step to the center of mass within WINDOW cells.

    At a border the window shrinks on both sides alike, so that it is not biased.
    """
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
    """Return the blur of an axis of ``size`` cells as a matrix ``(size, size)``."""
    sigma = 0.3 * ((kernel - 1) / 2 - 1) + 0.8  # OpenCV's sigma for a kernel size
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
