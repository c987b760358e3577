"""Heatmaps -> keypoints, in numpy. Coordinates are x, y in heatmap cells; a cell's centre is an integer.

Each decoder finds the strongest cell of a channel and refines it:

==================  =====================================================================================
``argmax``          the cell itself; off by up to half a cell
``quarter``         a quarter of a cell towards the stronger neighbour (Stacked Hourglass, Newell 2016),
                    from the third row and column on, as the published HRNets have it
``quarter-mmpose``  the same with each axis by itself, as MMPose has it
``dark``            the top of a Gaussian, from the log-heatmap's derivatives (DARK, Zhang, CVPR 2020)
``udp``             the same with derivatives over one cell (UDP, Huang, CVPR 2020)
``udp-offset``      the network's offset at the top of a blurred disc (UDP; G-RMI)
``offset``          the network's own offset at that cell (G-RMI, Papandreou, CVPR 2017)
``softargmax``      centre of mass of a window around the cell (integral regression, Sun, ECCV 2018)
==================  =====================================================================================
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgehrnet.crops import Crop
from edgehrnet.errors import InputError, UnsupportedError, nearest
from edgehrnet.letterbox import Letterbox
from edgehrnet.refiners import KERNEL, REFINERS, blur, towards_stronger
from edgehrnet.spec import ModelSpec

Array = NDArray[np.float32]

OFFSET_METHODS = ("offset", "udp-offset")  # need what only some networks answer
CERTAIN = 0.25  # from here on a keypoint counts as found


def sigmoid(logits: Array) -> Array:
    """Map logits of any shape to probabilities, without overflow.

    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0], np.float32)).tolist()
    [0.0, 0.5, 1.0]
    """
    return np.asarray(0.5 * np.tanh(0.5 * logits) + 0.5, np.float32)


def heights(heatmaps: Array, spec: ModelSpec) -> Array:
    """Map what a network answers, of any shape, to peak heights: 1 at a keypoint, about 0 far from it.

    >>> heights(np.array([0.0], np.float32), ModelSpec("test", ("nose",))).tolist()
    [0.5]
    """
    return sigmoid(heatmaps) if spec.heatmap_values == "logits" else heatmaps


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
    kernel: int = KERNEL,
) -> tuple[NDArray[np.float64], Array]:
    """Find one keypoint in every channel.

    ``heatmaps`` ``(N, K, h, w)`` heights, 0 or less is no peak; ``offsets`` ``(N, 2K, h, w)`` in cells, channel 2k is
    dx and 2k + 1 is dy; ``mask`` ``(h, w)``, False in the padding, where no peak counts; ``kernel``, odd: cells that
    ``dark``, ``udp`` and ``udp-offset`` blur over. Returns xy ``(N, K, 2)`` in cells, always finite, and confidence
    ``(N, K)``, the height of the peak (for ``udp-offset``, once blurred), at least 0. A map without a peak is answered
    by its first cell. Raises UnsupportedError for an unknown method, and for those with offsets where there are none;
    InputError for another kernel.

    >>> heat = np.zeros((1, 1, 5, 7), np.float32); heat[0, 0, 2, 3] = 0.9
    >>> xy, conf = decode(heat, method="argmax")
    >>> xy.tolist(), conf.round(3).tolist()
    ([[[3.0, 2.0]]], [[0.8999999761581421]])
    """
    _check(method, offsets, kernel)
    # What is no number is no peak.
    maps = np.nan_to_num(heatmaps, nan=0.0, posinf=0.0, neginf=0.0)
    steps = None if offsets is None else np.nan_to_num(offsets, nan=0.0, posinf=0.0, neginf=0.0)
    if method == "udp-offset" and steps is not None:
        # As published: the discs are blurred over twice as many cells as the offsets.
        maps = blur(maps, 2 * kernel + 1, "mirror").astype(np.float32)
        steps = blur(steps, kernel, "mirror").astype(np.float32)
    columns, rows, conf = _strongest(maps, mask)
    xy = np.stack([columns, rows], axis=-1).astype(np.float64)
    for n, k in np.ndindex(columns.shape):
        x, y = int(columns[n, k]), int(rows[n, k])
        if method in OFFSET_METHODS and steps is not None:
            xy[n, k] += steps[n, 2 * k : 2 * k + 2, y, x]
        else:
            xy[n, k] += REFINERS[method](maps[n, k], x, y, kernel)
    return np.nan_to_num(xy, posinf=0.0, neginf=0.0), conf


def _check(method: str, offsets: Array | None, kernel: int) -> None:
    if method not in REFINERS and method not in OFFSET_METHODS:
        raise UnsupportedError(f"decode={method!r}; {nearest(method, [*REFINERS, *OFFSET_METHODS])}")
    if method in OFFSET_METHODS and offsets is None:
        raise UnsupportedError(f"decode={method!r} needs offsets, this model has none; use {', '.join(REFINERS)}")
    if kernel < 1 or kernel % 2 == 0:
        raise InputError(f"kernel={kernel}: an odd number of cells, such as {KERNEL}")


def _strongest(maps: Array, mask: NDArray[np.bool_] | None) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
    """Return column, row and height ``(N, K)`` of each map's strongest cell in the mask; its first one if blank."""
    allowed = maps if mask is None else np.where(mask, maps, np.float32(-np.inf))
    flat = allowed.reshape(*maps.shape[:2], -1)
    best = flat.argmax(axis=2)
    height = np.take_along_axis(flat, best[..., None], axis=2)[..., 0]
    first = 0 if mask is None else int(mask.argmax())
    rows, columns = np.divmod(np.where(height > 0, best, first), maps.shape[3])
    return columns, rows, height.clip(0)


def locate(
    heatmaps: Array, offsets: Array | None, spec: ModelSpec, box: Letterbox | Crop, method: str | None = None
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
        # The published decoders look everywhere, and a box at the edge of a picture may well end beyond it.
        mask=box.cell_mask(spec.grid) if isinstance(box, Letterbox) else None,
        kernel=spec.kernel,
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
        (*((x, y) + (towards_stronger(heatmap, x, y) if offsets is None else offsets[:, y, x])), allowed[y, x])
        for x, y in peaks[:limit]
    ]
    return np.array(found, np.float64).reshape(-1, 3)


def cyclic_order(xy: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.intp]:
    """Return the roll of an outline that starts at its smallest x/W + y/H.

    ``xy`` ``(K, 2)`` in picture pixels, ``size`` = (width, height). The result indexes keypoints: ``xy[order]``.

    >>> cyclic_order(np.array([[9.0, 0.0], [9.0, 9.0], [0.0, 9.0], [0.0, 0.0]]), (10, 10)).tolist()
    [3, 0, 1, 2]
    """
    first = int((xy / size).sum(axis=1).argmin())
    return np.roll(np.arange(len(xy)), -first)
