"""Decode heatmaps into keypoints, in NumPy.

Coordinates are x, y in heatmap cells. The center of a cell is an integer. Each method takes the strongest cell of a
channel and refines it:

==================  =====================================================================================
``argmax``          the cell itself, off by up to half a cell
``quarter``         a quarter of a cell towards the stronger neighbor (Stacked Hourglass, Newell 2016),
                    from the third row and column on, as the published HRNets do
``quarter-mmpose``  the same for each axis separately, as MMPose does
``dark``            the maximum of a Gaussian, from the log-heatmap's derivatives (DARK, Zhang, CVPR 2020)
``udp``             the same with derivatives from neighboring cells (UDP, Huang, CVPR 2020)
``udp-offset``      the network's offset at the maximum of a blurred disc (UDP and G-RMI)
``offset``          the network's offset at the strongest cell (G-RMI, Papandreou, CVPR 2017)
``softargmax``      center of mass of a window around the cell (integral regression, Sun, ECCV 2018)
==================  =====================================================================================

`decode` works on maps alone and `locate` returns picture coordinates. ``refiners`` steps from a cell to a point
between cells, ``peaks`` finds several maxima in one map, ``outline`` chooses the corners of an outline together, and
``flipping`` averages the maps of a picture and of its mirror image.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgehrnet.decoding.outline import choose, cyclic_order
from edgehrnet.decoding.peaks import finite
from edgehrnet.decoding.refiners import KERNEL, REFINERS, blur
from edgehrnet.errors import InputError, UnsupportedError, nearest
from edgehrnet.picture.crops import Crop
from edgehrnet.picture.letterbox import Letterbox
from edgehrnet.spec import ModelSpec

Array = NDArray[np.float32]

OFFSET_METHODS = ("offset", "udp-offset")  # they need offsets, which only some networks return
CONFIDENCE_THRESHOLD = 0.25  # smallest confidence of a keypoint that counts as found


def sigmoid(logits: Array) -> Array:
    """Convert logits of any shape to probabilities, without overflow.

    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0], np.float32)).tolist()
    [0.0, 0.5, 1.0]
    """
    return np.asarray(0.5 * np.tanh(0.5 * logits) + 0.5, np.float32)


def activations(heatmaps: Array, spec: ModelSpec) -> Array:
    """Convert a network's heatmaps, of any shape, to activations: 1 at a keypoint, about 0 far from it.

    >>> activations(np.array([0.0], np.float32), ModelSpec("test", ("nose",))).tolist()
    [0.5]
    """
    return sigmoid(heatmaps) if spec.heatmap_values == "logits" else heatmaps


def probability(peaks: Array, calibration: tuple[float, float, float] | None) -> Array:
    """Convert peak activations to the probability that the keypoint is where it was found.

    Source: beta calibration, Kull, AISTATS 2017.

    Args:
        peaks: Activations p in 0..1, of any shape.
        calibration: (a, b, c) of ModelSpec.confidence, for sigmoid(a ln p - b ln(1 - p) + c). None returns ``peaks``.

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

    Args:
        heatmaps: Activations ``(N, K, h, w)``. A value of 0 or less is not a peak.
        offsets: Offsets ``(N, 2K, h, w)`` in cells, dx in channel 2k and dy in channel 2k + 1.
        method: One of the methods in the table above.
        mask: ``(h, w)``, False in the padding, where no peak counts.
        kernel: Size in cells of the blur of ``dark``, ``udp`` and ``udp-offset``, odd.
        at: Cells (x, y) of the peaks, ``(N, K, 2)``. None: the highest cell of each map.

    Returns:
        Points ``(N, K, 2)`` in cells, always finite, and their confidence ``(N, K)``, the activation at the peak (after
        blurring for ``udp-offset``), at least 0. For a map without a peak the point is its first cell.

    Raises:
        UnsupportedError: If the method is unknown, or needs offsets where there are none.
        InputError: If the kernel is not odd.

    >>> heat = np.zeros((1, 1, 5, 7), np.float32)
    >>> heat[0, 0, 2, 3] = 0.9
    >>> xy, conf = decode(heat, method="argmax")
    >>> xy.tolist(), conf.round(3).tolist()
    ([[[3.0, 2.0]]], [[0.8999999761581421]])
    """
    _check(method, offsets, kernel)
    # NaN and infinity are not a peak.
    maps, steps = finite(heatmaps), None if offsets is None else finite(offsets)
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
        raise UnsupportedError(f"unknown decode={method!r}; {nearest(method, [*REFINERS, *OFFSET_METHODS])}")
    if method in OFFSET_METHODS and offsets is None:
        raise UnsupportedError(
            f"decode={method!r} needs offsets, which this model does not have; use one of {', '.join(REFINERS)}"
        )
    if kernel < 1 or kernel % 2 == 0:
        raise InputError(f"kernel={kernel} is not an odd number of cells; use one such as {KERNEL}")


def _highest(maps: Array, mask: NDArray[np.bool_] | None) -> NDArray[np.intp]:
    """Return the cell (x, y) of each map's highest value in the mask, ``(N, K, 2)``, or the first cell if blank."""
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
    """Decode the maps of one picture into picture coordinates.

    With a signed distance field the corners of an outline are chosen together (see `outline`). The result
    starts at the corner with the smallest x / width + y / height if all peaks of the outline reach the confidence
    threshold. Otherwise the order of the channels is kept, because only the cyclic order is known.

    Args:
        heatmaps: Activations ``(K, h, w)``.
        offsets: Offsets ``(2K, h, w)`` in cells, or None.
        spec: Description of the model.
        box: Map between picture and input. Padding of a Letterbox has no peaks.
        method: Decoding method. None: the spec's.
        sdf: Signed distance field ``(1, h, w)`` in cells, if the network has one.

    Returns:
        Points ``(K, 2)`` in picture pixels, always finite, their confidence ``(K,)``, and the channel ``(K,)`` in which
        each was found.
    """
    # Crops have no mask: the published decoders search the whole map, and a box may extend beyond the picture.
    mask = box.cell_mask(spec.grid) if isinstance(box, Letterbox) else None
    at = scores = None
    if sdf is not None and spec.cyclic:
        at, scores = choose(heatmaps, offsets, sdf[0], mask)
    cells, found = decode(
        heatmaps[None],
        None if offsets is None else offsets[None],
        method=method or spec.decode,
        mask=mask,
        kernel=spec.kernel,
        at=None if at is None else at[None],
    )
    peaks = found[0] if scores is None else scores
    xy, conf = box.inverse(spec.grid.to_pixels(cells[0])), probability(peaks, spec.confidence)
    order = np.arange(len(xy))
    if spec.cyclic and peaks.min() >= CONFIDENCE_THRESHOLD:
        order = cyclic_order(xy, (box.width, box.height))
    return xy[order], conf[order], order
