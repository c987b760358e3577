"""Find the local maxima of one heatmap.

They are several instances of one keypoint, or several candidates for one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgehrnet.decoding.refiners import quarter_step

Array = NDArray[np.float32]
CELLS = 2**16  # that are compared with their neighbors at once, which takes 100 bytes each


def finite(maps: Array) -> Array:
    """Return maps of any shape with zeros in place of NaN and infinity. Copies only if there are some."""
    return maps if np.isfinite(maps).all() else np.nan_to_num(maps, nan=0.0, posinf=0.0, neginf=0.0)


def peak_cells(
    heatmaps: Array, *, limit: int, threshold: float, radius: int = 2, mask: NDArray[np.bool_] | None = None
) -> list[list[tuple[int, int]]]:
    """Find the cells (x, y) of each map's highest local maxima, highest first (non-maximum suppression).

    Of equal neighbors the first in reading order is the peak.

    Args:
        heatmaps: Activations ``(K, h, w)``. Peaks are above 0.
        limit: Largest number of peaks in a map.
        threshold: Smallest activation of a peak.
        radius: Cells in each direction, a square, within which no other cell may be higher.
        mask: ``(h, w)``, False where no cell counts.
    """
    allowed = heatmaps if mask is None else np.where(mask, heatmaps, np.float32(0))
    above = np.nonzero(allowed >= max(threshold, np.nextafter(np.float32(0), np.float32(1))))
    highest = np.zeros(len(above[0]), bool)
    for start in range(0, len(highest), CELLS):
        part = slice(start, start + CELLS)
        highest[part] = _are_highest(allowed, [axis[part] for axis in above], radius)
    maps, rows, columns = (axis[highest] for axis in above)
    order = np.argsort(-allowed[maps, rows, columns], kind="stable")
    peaks: list[list[tuple[int, int]]] = [[] for _ in heatmaps]
    for k, x, y in zip(*(axis[order].tolist() for axis in (maps, columns, rows)), strict=True):
        if all(max(abs(x - other_x), abs(y - other_y)) > radius for other_x, other_y in peaks[k]):
            peaks[k].append((x, y))
    return [found[:limit] for found in peaks]


def _are_highest(maps: Array, cells: Sequence[NDArray[np.intp]], radius: int) -> NDArray[np.bool_]:
    """Return whether no cell within a radius of each of the cells (map, row, column) is higher, ``(n,)``."""
    k, rows, columns = cells
    # Compare only the few cells above the threshold: comparing all would take longer than an INT8 layer. Beyond an edge
    # the edge itself is compared, which is among the neighbors anyway.
    steps = np.arange(-radius, radius + 1)
    near_rows = (rows[:, None] + steps).clip(0, maps.shape[1] - 1)
    near_columns = (columns[:, None] + steps).clip(0, maps.shape[2] - 1)
    around = maps[k[:, None, None], near_rows[:, :, None], near_columns[:, None, :]].max(axis=(1, 2), initial=0)
    return np.asarray(maps[k, rows, columns] >= around)


def find_peaks(
    heatmap: Array,
    offsets: Array | None = None,
    *,
    limit: int = 20,
    threshold: float = 0.3,
    radius: int = 2,
    mask: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Find several instances of one keypoint, highest peak first.

    Args:
        heatmap: Activations ``(h, w)`` in 0..1.
        offsets: Offsets ``(2, h, w)`` in cells. None: refine by a quarter of a cell.
        limit: Largest number of peaks.
        threshold: Smallest activation of a peak.
        radius: Cells in each direction within which no other cell may be higher.
        mask: ``(h, w)``, False where no cell counts.

    Returns:
        One row per peak, ``(M, 3)``: x and y in cells, and the activation.

    >>> heat = np.zeros((6, 9), np.float32)
    >>> heat[1, 1], heat[1, 2], heat[4, 7] = 0.9, 0.8, 0.5
    >>> find_peaks(heat)[:, :2].round(2).tolist()
    [[1.25, 1.0], [7.0, 4.0]]
    """
    (cells,) = peak_cells(heatmap[None], limit=limit, threshold=threshold, radius=radius, mask=mask)
    found = [
        (*((x, y) + (quarter_step(heatmap, x, y) if offsets is None else offsets[:, y, x])), heatmap[y, x])
        for x, y in cells
    ]
    return np.array(found, np.float64).reshape(-1, 3)
