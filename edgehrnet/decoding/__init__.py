"""Heatmaps -> keypoints, in numpy. Coordinates are x, y in heatmap cells; a cell's center is an integer.

Each decoder finds the strongest cell of a channel and refines it:

==================  =====================================================================================
``argmax``          the cell itself; off by up to half a cell
``quarter``         a quarter of a cell towards the stronger neighbor (Stacked Hourglass, Newell 2016),
                    from the third row and column on, as the published HRNets have it
``quarter-mmpose``  the same with each axis by itself, as MMPose has it
``dark``            the top of a Gaussian, from the log-heatmap's derivatives (DARK, Zhang, CVPR 2020)
``udp``             the same with derivatives over one cell (UDP, Huang, CVPR 2020)
``udp-offset``      the network's offset at the top of a blurred disc (UDP; G-RMI)
``offset``          the network's own offset at that cell (G-RMI, Papandreou, CVPR 2017)
``softargmax``      center of mass of a window around the cell (integral regression, Sun, ECCV 2018)
==================  =====================================================================================
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgehrnet.decoding.outline import choose, cyclic_order
from edgehrnet.decoding.refiners import KERNEL, REFINERS, blur
from edgehrnet.errors import InputError, UnsupportedError, nearest
from edgehrnet.picture.crops import Crop
from edgehrnet.picture.letterbox import Letterbox
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
    at: NDArray[np.intp] | None = None,
) -> tuple[NDArray[np.float64], Array]:
    """Find one keypoint in every channel.

    ``heatmaps`` ``(N, K, h, w)`` heights, 0 or less is no peak; ``offsets`` ``(N, 2K, h, w)`` in cells, channel 2k is
    dx and 2k + 1 is dy; ``mask`` ``(h, w)``, False in the padding, where no peak counts; ``kernel``, odd: cells that
    ``dark``, ``udp`` and ``udp-offset`` blur over; ``at`` ``(N, K, 2)``: the cells (x, y) of the peaks, if not each
    map's highest. Returns xy ``(N, K, 2)`` in cells, always finite, and confidence ``(N, K)``, the height of the peak
    (for ``udp-offset``, once blurred), at least 0. A map without a peak is answered by its first cell. Raises
    UnsupportedError for an unknown method, and for those with offsets where there are none; InputError for another
    kernel.

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
    cells = _highest(maps, mask) if at is None else at
    xy, conf = cells.astype(np.float64), np.zeros(maps.shape[:2], np.float32)
    for n, k in np.ndindex(conf.shape):
        x, y = cells[n, k].tolist()
        conf[n, k] = max(maps[n, k, y, x], 0)
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


def _highest(maps: Array, mask: NDArray[np.bool_] | None) -> NDArray[np.intp]:
    """Return the cell (x, y) of each map's highest value in the mask, ``(N, K, 2)``; its first one if blank."""
    allowed = maps if mask is None else np.where(mask, maps, np.float32(-np.inf))
    flat = allowed.reshape(*maps.shape[:2], -1)
    first = 0 if mask is None else int(mask.argmax())
    rows, columns = np.divmod(np.where(flat.max(axis=2) > 0, flat.argmax(axis=2), first), maps.shape[3])
    return np.stack([columns, rows], axis=-1)


def locate(
    heatmaps: Array,
    offsets: Array | None,
    spec: ModelSpec,
    box: Letterbox | Crop,
    method: str | None = None,
    *,
    sdf: Array | None = None,
) -> tuple[NDArray[np.float64], Array, NDArray[np.intp]]:
    """Decode one picture's maps into picture pixels: xy ``(K, 2)``, always finite, and confidence ``(K,)``.

    ``heatmaps`` ``(K, h, w)`` heights, ``offsets`` ``(2K, h, w)`` or None; ``method`` None is the spec's own;
    ``sdf`` ``(1, h, w)`` in cells, where the network has it: the corners of an outline are then chosen together, see
    outline. The padding holds no peaks. A cyclic outline starts at its smallest x/W + y/H, once every peak of it
    reaches CERTAIN; with one missing, channel order is all that is known. The third value ``(K,)`` is the channel that
    each keypoint was found in.
    """
    # The published decoders look everywhere, and a box at the edge of a picture may well end beyond it.
    mask = box.cell_mask(spec.grid) if isinstance(box, Letterbox) else None
    at = worth = None
    if sdf is not None and spec.cyclic:
        at, worth = choose(heatmaps, offsets, sdf[0], mask)
    cells, found = decode(
        heatmaps[None],
        None if offsets is None else offsets[None],
        method=method or spec.decode,
        mask=mask,
        kernel=spec.kernel,
        at=None if at is None else at[None],
    )
    peaks = found[0] if worth is None else worth
    xy, conf = box.inverse(spec.grid.to_pixels(cells[0])), probability(peaks, spec.confidence)
    order = np.arange(len(xy))
    if spec.cyclic and peaks.min() >= CERTAIN:
        order = cyclic_order(xy, (box.width, box.height))
    return xy[order], conf[order], order
