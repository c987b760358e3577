"""The local maxima of one heatmap: many instances of one keypoint, or several places where one may be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgehrnet.decoding.refiners import towards_stronger

Array = NDArray[np.float32]


def peak_cells(
    heatmap: Array, *, limit: int, threshold: float, radius: int = 2, mask: NDArray[np.bool_] | None = None
) -> list[tuple[int, int]]:
    """Find the cells (x, y) of at most ``limit`` local maxima, highest first (non-maximum suppression).

    ``heatmap`` ``(h, w)``; a cell counts in the mask ``(h, w)`` alone. It is a peak if it reaches ``threshold``, is
    above 0, and no other within ``radius`` cells, the square around it, is higher; of equals the first in reading
    order wins.
    """
    allowed = heatmap if mask is None else np.where(mask, heatmap, np.float32(0))
    padded = np.pad(allowed, radius)
    rows, columns = np.nonzero((allowed >= threshold) & (allowed > 0))
    # Only around the few cells that are high enough: a look at every cell would take longer than an INT8 layer.
    steps = np.arange(2 * radius + 1)
    around = padded[rows[:, None, None] + steps[:, None], columns[:, None, None] + steps].max(axis=(1, 2))
    highest = allowed[rows, columns] >= around
    rows, columns = rows[highest], columns[highest]
    peaks: list[tuple[int, int]] = []
    for index in np.argsort(-allowed[rows, columns], kind="stable"):
        x, y = int(columns[index]), int(rows[index])
        if all(max(abs(x - other_x), abs(y - other_y)) > radius for other_x, other_y in peaks):
            peaks.append((x, y))
    return peaks[:limit]


def find_peaks(
    heatmap: Array,
    offsets: Array | None = None,
    *,
    limit: int = 20,
    threshold: float = 0.3,
    radius: int = 2,
    mask: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Find many instances in one channel, highest first.

    ``heatmap`` ``(h, w)`` 0..1, ``offsets`` ``(2, h, w)`` in cells or None (then a quarter offset refines); the rest
    is as of `peak_cells`. Returns ``(M, 3)`` x, y in cells and height, M <= limit.

    >>> heat = np.zeros((6, 9), np.float32); heat[1, 1], heat[1, 2], heat[4, 7] = 0.9, 0.8, 0.5
    >>> find_peaks(heat)[:, :2].round(2).tolist()
    [[1.25, 1.0], [7.0, 4.0]]
    """
    found = [
        (*((x, y) + (towards_stronger(heatmap, x, y) if offsets is None else offsets[:, y, x])), heatmap[y, x])
        for x, y in peak_cells(heatmap, limit=limit, threshold=threshold, radius=radius, mask=mask)
    ]
    return np.array(found, np.float64).reshape(-1, 3)
