"""The corners of one outline, chosen together.

Where something covers a corner, or another sheet shows one of its own, a heatmap has several peaks, and the highest may
belong to another thing. A network with a signed distance field says besides how far each cell lies from the outline,
and three right corners show where the fourth is not: sides that end there leave the outline. Where two are wrong, what
the corners enclose is not what lies inside the field's outline.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgehrnet.decoding.peaks import peak_cells

Array = NDArray[np.float32]
Points = NDArray[np.float64]

LOWEST = 0.02  # height from which on a second peak may be the corner
COMBINATIONS = 256  # at most so many outlines are compared: four peaks of each of four corners
APART = 2.0  # cells between two corners at least: a side of no length lies on any outline
FAR = 100.0  # cells; what the sides of corners that are nearer count as
ALONG = np.linspace(0.02, 0.98, 25)  # where a side is looked at, in shares of its length
# Found on drawn documents that neither train nor score; half and twice as much do nearly as well.
OVERLAP = 2.0  # power of an outline's overlap with the field's
SKEW = 4.0  # what a skew of 1 costs, in nats


def choose(
    heatmaps: Array, offsets: Array | None, sdf: Array, mask: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.intp], Array]:
    """Return the cell (x, y) of each corner, ``(K, 2)``, and what its height is worth, ``(K,)`` 0..1.

    ``heatmaps`` ``(K, h, w)`` 0..1, of corners in order along the outline; ``offsets`` ``(2K, h, w)`` in cells; ``sdf``
    ``(h, w)``, the distance to the outline in cells, below 0 inside; ``mask`` ``(h, w)``, False where no peak counts.
    Chosen is the combination of peaks with the highest product of what they are worth (`weighed`), of the power OVERLAP
    of its `overlaps`, and of e^(-SKEW `skew`).

    >>> heat = np.zeros((3, 9, 9), np.float32)
    >>> heat[0, 1, 1], heat[1, 1, 7], heat[2, 7, 7], heat[2, 4, 4] = 0.9, 0.9, 0.6, 0.7
    >>> y, x = np.mgrid[:9, :9].astype(np.float32)
    >>> choose(heat, None, np.maximum(np.maximum(1 - y, x - 7), y - x))[0].tolist()
    [[1, 1], [7, 1], [7, 7]]
    """
    # What is no number is no peak, and no distance.
    heatmaps, sdf = (np.nan_to_num(maps, nan=0.0, posinf=0.0, neginf=0.0) for maps in (heatmaps, sdf))
    limit = max(1, int(COMBINATIONS ** (1 / len(heatmaps))))
    cells = [_candidates(heatmap, limit, mask) for heatmap in heatmaps]
    peaks = [heatmap[at[:, 1], at[:, 0]].clip(0, 1) for heatmap, at in zip(heatmaps, cells, strict=True)]
    points = [at + _steps(offsets, k, at) for k, at in enumerate(cells)]
    sides = [_distances(sdf, a, b) for a, b in zip(points, [*points[1:], points[0]], strict=True)]
    # Row k: which of its peaks corner k has in each combination.
    choices = np.array(list(itertools.product(*(range(len(at)) for at in cells)))).T
    after = np.roll(choices, -1, axis=0)
    side = np.stack([matrix[a, b] for matrix, a, b in zip(sides, choices, after, strict=True)])
    heights = np.stack([own[a] for own, a in zip(peaks, choices, strict=True)])
    worth = weighed(heights, (side + np.roll(side, 1, axis=0)) / 2)
    outlines = np.stack([own[a] for own, a in zip(points, choices, strict=True)])
    fit = np.log(worth.clip(1e-9)).sum(axis=0)
    fit += OVERLAP * np.log(overlaps(outlines, sdf < 0).clip(0.01)) - SKEW * skew(outlines)
    best = int(fit.argmax())
    return np.stack([at[a] for at, a in zip(cells, choices[:, best], strict=True)]), worth[:, best]


def weighed(heights: Array, distance: Points) -> Array:
    """Return what peaks are worth whose sides lie ``distance`` cells off the outline on average; all of one shape.

    The odds of a peak, p : 1 - p, are divided by 1 + distance.

    >>> weighed(np.array([0.8, 0.8], np.float32), np.array([0.0, 3.0])).tolist()
    [0.800000011920929, 0.5]
    """
    return np.asarray(heights / (heights + (1 - heights) * (1 + distance)), np.float32)


def overlaps(outlines: Points, inside: NDArray[np.bool_]) -> Points:
    """Return how much of what each outline encloses is ``inside``, and the reverse: ``(C,)`` intersections over unions.

    ``outlines`` ``(K, C, 2)``, the K corners of C outlines in cells; ``inside`` ``(h, w)``. A cell is enclosed if its
    center is; the two halves of what crosses itself cancel.

    >>> half, whole = [(0, 0), (4, 0), (4, 2), (0, 2)], [(0, 0), (4, 0), (4, 4), (0, 4)]
    >>> overlaps(np.stack([half, whole], axis=1) - 0.5, np.ones((4, 4), bool)).tolist()
    [0.5, 1.0]
    """
    rows = np.arange(len(inside))
    x, y = np.moveaxis(outlines, -1, 0)[..., None]
    end_x, end_y = np.roll(x, -1, axis=0), np.roll(y, -1, axis=0)
    # Of each side and row (K, C, h): 1 if it crosses downwards, -1 upwards, 0 if not; how many cells lie left of it.
    crosses = (end_y > rows).astype(int) - (y > rows)
    at = x + (rows - y) * (end_x - x) / np.where(end_y == y, 1, end_y - y)
    left = np.ceil(at).clip(0, inside.shape[1]).astype(np.intp)
    inside_left = np.pad(inside.cumsum(axis=1), ((0, 0), (1, 0)))[rows, left]
    both, enclosed = (np.abs((crosses * cells).sum(axis=(0, 2))) for cells in (inside_left, left))
    return np.asarray(both / np.maximum(enclosed + inside.sum() - both, 1), np.float64)


def skew(outlines: Points) -> Points:
    """Return how far each of the outlines ``(K, C, 2)`` is from a parallelogram, ``(C,)``; 0 if K is not 4.

    It is the distance between the middles of the diagonals, in halves of the outline's extent. Of sheets seen aslant,
    few have more than 0.2.

    >>> skew(np.array([[[0.0, 0.0]], [[8.0, 0.0]], [[8.0, 6.0]], [[3.0, 6.0]]])).tolist()
    [0.3]
    """
    if len(outlines) != 4:
        return np.zeros(outlines.shape[1])
    a, b, c, d = outlines
    extent = np.linalg.norm(np.ptp(outlines, axis=0), axis=-1)
    return np.asarray(np.linalg.norm(a - b + c - d, axis=-1) / np.maximum(extent, 1), np.float64)


def cyclic_order(xy: Points, size: tuple[int, int]) -> NDArray[np.intp]:
    """Return the roll of an outline that starts at its smallest x/W + y/H.

    ``xy`` ``(K, 2)`` in picture pixels, ``size`` = (width, height). The result indexes keypoints: ``xy[order]``.

    >>> cyclic_order(np.array([[9.0, 0.0], [9.0, 9.0], [0.0, 9.0], [0.0, 0.0]]), (10, 10)).tolist()
    [3, 0, 1, 2]
    """
    first = int((xy / size).sum(axis=1).argmin())
    return np.roll(np.arange(len(xy)), -first)


def _candidates(heatmap: Array, limit: int, mask: NDArray[np.bool_] | None) -> NDArray[np.intp]:
    """The highest cell, whatever its height, and the other peaks: ``(M, 2)`` x, y, highest first."""
    found: Sequence[tuple[int, int]] = peak_cells(heatmap, limit=limit, threshold=LOWEST, mask=mask)
    if not found:
        highest = (heatmap if mask is None else np.where(mask, heatmap, -np.inf)).argmax()
        y, x = np.unravel_index(highest, heatmap.shape)
        found = [(int(x), int(y))]
    return np.array(found, np.intp)


def _steps(offsets: Array | None, k: int, cells: NDArray[np.intp]) -> Points:
    if offsets is None:
        return np.zeros(cells.shape)
    steps = offsets[2 * k : 2 * k + 2, cells[:, 1], cells[:, 0]].T.astype(np.float64)
    finite: Points = np.nan_to_num(steps, posinf=0.0, neginf=0.0)
    return finite


def _distances(sdf: Array, starts: Points, ends: Points) -> Points:
    """Mean distance from the outline along the side from each of ``starts (A, 2)`` to each of ``ends (B, 2)``.

    FAR for a side that is not APART long.
    """
    start = starts[:, None, None]
    x, y = np.moveaxis(start + ALONG[:, None] * (ends[:, None] - start), -1, 0)
    height, width = sdf.shape
    x, y = x.clip(0, width - 1), y.clip(0, height - 1)
    left, top = x.astype(np.intp).clip(0, width - 2), y.astype(np.intp).clip(0, height - 2)
    right, down = x - left, y - top
    upper = sdf[top, left] * (1 - right) + sdf[top, left + 1] * right
    lower = sdf[top + 1, left] * (1 - right) + sdf[top + 1, left + 1] * right
    mean = np.abs(upper * (1 - down) + lower * down).mean(axis=-1)
    return np.where(np.linalg.norm(ends - starts[:, None], axis=-1) < APART, FAR, mean)
