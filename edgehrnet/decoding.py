"""Heatmaps -> keypoints, in numpy. Coordinates are x, y in heatmap cells; a cell's centre is an integer.

Each decoder finds the strongest cell of a channel and refines it:

==============  =====================================================================================
``argmax``      the cell itself; off by up to half a cell
``quarter``     a quarter of a cell towards the stronger neighbour (Stacked Hourglass, Newell 2016)
``dark``        the top of a Gaussian, from the log-heatmap's derivatives (DARK, Zhang, CVPR 2020)
``offset``      the network's own offset at that cell (G-RMI, Papandreou, CVPR 2017)
``softargmax``  centre of mass of a window around the cell (integral regression, Sun, ECCV 2018)
==============  =====================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from edgehrnet.errors import UnsupportedError, nearest
from edgehrnet.letterbox import Letterbox
from edgehrnet.spec import ModelSpec

Array = NDArray[np.float32]

DARK_KERNEL = 11  # cells; the published blur for sigma 2
CERTAIN = 0.25  # from here on a keypoint counts as found
WINDOW = 4  # cells on each side that softargmax weighs; nearly three times the training sigma of 1.5


def sigmoid(logits: Array) -> Array:
    """Map logits of any shape to probabilities, without overflow.

    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0], np.float32)).tolist()
    [0.0, 0.5, 1.0]
    """
    return np.asarray(0.5 * np.tanh(0.5 * logits) + 0.5, np.float32)


def probability(peaks: Array, calibration: tuple[float, float, float] | None) -> Array:
    """Map peak heights 0..1 of any shape to the probability that the keypoint is where it was found.

    ``calibration`` (a, b, c) of ModelSpec.confidence: sigmoid(a ln p - b ln(1 - p) + c); None leaves the heights.
    Source: beta calibration, Kull, AISTATS 2017.

    >>> probability(np.array([0.2, 0.5], np.float32), (1.0, 1.0, 0.0)).round(3).tolist()
    [0.20000000298023224, 0.5]
    """
    if calibration is None:
        return peaks
    a, b, c = calibration
    p = peaks.astype(np.float64).clip(1e-6, 1 - 1e-6)
    return sigmoid(np.asarray(a * np.log(p) - b * np.log1p(-p) + c, np.float32))


def decode(
    heatmaps: Array,
    offsets: Array | None = None,
    *,
    method: str = "offset",
    mask: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float64], Array]:
    """Find one keypoint in every channel.

    ``heatmaps`` ``(N, K, h, w)`` probabilities 0..1; ``offsets`` ``(N, 2K, h, w)`` in cells, channel 2k is dx and
    2k + 1 is dy; ``mask`` ``(h, w)``, False in the padding, where no peak counts. Returns xy ``(N, K, 2)`` in
    cells, always finite, and confidence ``(N, K)``: the value of the peak. Raises UnsupportedError for an unknown
    method, and for ``offset`` without offsets.

    >>> heat = np.zeros((1, 1, 5, 7), np.float32); heat[0, 0, 2, 3] = 0.9
    >>> xy, conf = decode(heat, method="argmax")
    >>> xy.tolist(), conf.round(3).tolist()
    ([[[3.0, 2.0]]], [[0.8999999761581421]])
    """
    if method not in REFINERS and method != "offset":
        raise UnsupportedError(f"decode={method!r}; {nearest(method, [*REFINERS, 'offset'])}")
    if method == "offset" and offsets is None:
        raise UnsupportedError(f"decode='offset' needs offsets, this model has none; use {', '.join(REFINERS)}")
    count, channels, _, width = heatmaps.shape
    # What is no number is no peak; and below every probability lies what may not be chosen at all.
    allowed = np.nan_to_num(heatmaps, nan=0.0, posinf=0.0, neginf=0.0)
    if mask is not None:
        allowed = np.where(mask, allowed, np.float32(-1))
    flat = allowed.reshape(count, channels, -1)
    best = flat.argmax(axis=2)
    conf = np.take_along_axis(flat, best[..., None], axis=2)[..., 0]
    rows, columns = np.divmod(best, width)
    xy = np.stack([columns, rows], axis=-1).astype(np.float64)
    for n in range(count):
        for k in range(channels):
            x, y = int(columns[n, k]), int(rows[n, k])
            if method == "offset":
                assert offsets is not None
                xy[n, k] += offsets[n, 2 * k : 2 * k + 2, y, x]
            else:
                xy[n, k] += REFINERS[method](heatmaps[n, k], x, y)
    return np.nan_to_num(xy, posinf=0.0, neginf=0.0), conf.clip(0)


def locate(
    heatmaps: Array, offsets: Array | None, spec: ModelSpec, box: Letterbox, method: str | None = None
) -> tuple[NDArray[np.float64], Array, NDArray[np.intp]]:
    """Decode one picture's maps into picture pixels: xy ``(K, 2)``, always finite, and confidence ``(K,)``.

    ``heatmaps`` ``(K, h, w)`` probabilities, ``offsets`` ``(2K, h, w)`` or None; ``method`` None is the spec's own.
    The padding holds no peaks. A cyclic outline starts at its smallest x/W + y/H, once every peak of it reaches
    CERTAIN; with one missing, channel order is all that is known. The third value ``(K,)`` is the channel that
    each keypoint was found in.
    """
    cells, peaks = decode(
        heatmaps[None],
        None if offsets is None else offsets[None],
        method=method or spec.decode,
        mask=box.cell_mask(spec.grid),
    )
    xy, conf = box.inverse(spec.grid.to_pixels(cells[0])), probability(peaks[0], spec.confidence)
    order = np.arange(len(xy))
    if spec.cyclic and peaks.min() >= CERTAIN:
        order = cyclic_order(xy, (box.width, box.height))
    return xy[order], conf[order], order


def find_peaks(
    heatmap: Array,
    offsets: Array | None = None,
    *,
    limit: int = 20,
    threshold: float = 0.3,
    radius: int = 2,
    mask: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Find many instances in one channel: local maxima, strongest first (non-maximum suppression).

    ``heatmap`` ``(h, w)`` 0..1, ``offsets`` ``(2, h, w)`` in cells or None (then a quarter offset refines).
    A cell is a peak if it reaches ``threshold`` and no other within ``radius`` cells, the square around it, is
    stronger; of equals the first in reading order wins. Returns ``(M, 3)`` x, y in cells and score, M <= limit.

    >>> heat = np.zeros((6, 9), np.float32); heat[1, 1], heat[1, 2], heat[4, 7] = 0.9, 0.8, 0.5
    >>> find_peaks(heat)[:, :2].round(2).tolist()
    [[1.25, 1.0], [7.0, 4.0]]
    """
    allowed = heatmap if mask is None else np.where(mask, heatmap, np.float32(0))
    around = np.lib.stride_tricks.sliding_window_view(np.pad(allowed, radius), (2 * radius + 1,) * 2)
    rows, columns = np.nonzero((allowed >= around.max(axis=(2, 3))) & (allowed >= threshold) & (allowed > 0))
    peaks: list[tuple[int, int]] = []
    for index in np.argsort(-allowed[rows, columns], kind="stable"):
        x, y = int(columns[index]), int(rows[index])
        if all(max(abs(x - other_x), abs(y - other_y)) > radius for other_x, other_y in peaks):
            peaks.append((x, y))
    found = [
        (*((x, y) + (_quarter(heatmap, x, y) if offsets is None else offsets[:, y, x])), allowed[y, x])
        for x, y in peaks[:limit]
    ]
    return np.array(found, np.float64).reshape(-1, 3)


def _argmax(heatmap: Array, x: int, y: int) -> NDArray[np.float64]:  # noqa: ARG001 - a refiner's signature
    return np.zeros(2)


def _quarter(heatmap: Array, x: int, y: int) -> NDArray[np.float64]:
    height, width = heatmap.shape
    dx = heatmap[y, x + 1] - heatmap[y, x - 1] if 0 < x < width - 1 else 0.0
    dy = heatmap[y + 1, x] - heatmap[y - 1, x] if 0 < y < height - 1 else 0.0
    return 0.25 * np.sign([dx, dy])


def _dark(heatmap: Array, x: int, y: int) -> NDArray[np.float64]:
    """Newton step on the log of the blurred heatmap, as published; none within two cells of the border.

    The published code blurs the whole map and rescales it to its old maximum; a constant factor does not move the
    top of a logarithm, so blurring the 5x5 cells that the derivatives need gives the same point.
    """
    height, width = heatmap.shape
    if not (1 < x < width - 2 and 1 < y < height - 2):
        return np.zeros(2)
    reach = 2 + DARK_KERNEL // 2
    patch = np.pad(heatmap, reach)[y : y + 2 * reach + 1, x : x + 2 * reach + 1].astype(np.float64)
    blur = _blur_matrix(len(patch))
    log = np.log(np.maximum(blur @ patch @ blur.T, 1e-10))
    gradient = 0.5 * np.array([log[2, 3] - log[2, 1], log[3, 2] - log[1, 2]])
    dxx = 0.25 * (log[2, 4] - 2 * log[2, 2] + log[2, 0])
    dyy = 0.25 * (log[4, 2] - 2 * log[2, 2] + log[0, 2])
    dxy = 0.25 * (log[3, 3] - log[1, 3] - log[3, 1] + log[1, 1])
    if dxx * dyy - dxy**2 == 0:
        return np.zeros(2)
    step = -np.linalg.solve(np.array([[dxx, dxy], [dxy, dyy]]), gradient)
    # The top lies within half a cell of the strongest cell; a longer step means the peak is no Gaussian.
    return step if np.abs(step).max() <= 1 else np.zeros(2)


def _blur_matrix(size: int) -> NDArray[np.float64]:
    """Rows of a Gaussian blur that keeps only the 5 central samples of ``size``."""
    sigma = 0.3 * ((DARK_KERNEL - 1) / 2 - 1) + 0.8  # what OpenCV derives from a kernel size
    taps = [math.exp(-((i - DARK_KERNEL // 2) ** 2) / (2 * sigma**2)) for i in range(DARK_KERNEL)]
    matrix = np.zeros((size - DARK_KERNEL + 1, size))
    for row in range(len(matrix)):
        matrix[row, row : row + DARK_KERNEL] = taps
    return matrix / sum(taps)


def _softargmax(heatmap: Array, x: int, y: int) -> NDArray[np.float64]:
    """Centre of mass within WINDOW cells; the window shrinks alike on both sides at a border, lest it pull."""
    height, width = heatmap.shape
    reach_x, reach_y = min(WINDOW, x, width - 1 - x), min(WINDOW, y, height - 1 - y)
    window = heatmap[y - reach_y : y + reach_y + 1, x - reach_x : x + reach_x + 1].astype(np.float64)
    total = window.sum()
    if total <= 0:
        return np.zeros(2)
    dx = window.sum(axis=0) @ np.arange(-reach_x, reach_x + 1) / total
    dy = window.sum(axis=1) @ np.arange(-reach_y, reach_y + 1) / total
    return np.array([dx, dy])


REFINERS: Mapping[str, Callable[[Array, int, int], NDArray[np.float64]]] = {
    "argmax": _argmax,
    "quarter": _quarter,
    "dark": _dark,
    "softargmax": _softargmax,
}


def cyclic_order(xy: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.intp]:
    """Return the roll of an outline that starts at its smallest x/W + y/H.

    ``xy`` ``(K, 2)`` in picture pixels, ``size`` = (width, height). The result indexes keypoints: ``xy[order]``.

    >>> cyclic_order(np.array([[9.0, 0.0], [9.0, 9.0], [0.0, 9.0], [0.0, 0.0]]), (10, 10)).tolist()
    [3, 0, 1, 2]
    """
    first = int((xy / size).sum(axis=1).argmin())
    return np.roll(np.arange(len(xy)), -first)
