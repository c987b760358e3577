"""Choose the corners of one outline together.

A heatmap may have several peaks, for example where something covers a corner or where another sheet shows one of its
corners, and the highest peak may belong to the wrong object. A network with a signed distance field also predicts how
far each cell lies from the outline. This shows which peaks are wrong:

- If one corner is wrong, the sides that end there leave the predicted outline.
- If two corners are wrong, the area that the corners enclose differs from the area inside the predicted outline.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgehrnet.decoding.peaks import finite, peak_cells

Array = NDArray[np.float32]
Points = NDArray[np.float64]

SECOND_PEAK = 0.02  # activation above which a lower peak is considered as well
COMBINATIONS = 256  # limit for the number of outlines compared: four peaks for each of four corners
SHORTEST_SIDE = 2.0  # cells; a side of length 0 would lie on any outline
SHORT_SIDE_DISTANCE = 100.0  # cells; distance from the outline that is assigned to a side shorter than that
SAMPLES = np.linspace(
    0.02, 0.98, 25
)  # positions along a side at which the field is sampled, as fractions of its length
# Tuned on synthetic documents outside the training and test sets. Half and twice these values do nearly as well.
OVERLAP_POWER = 2.0  # exponent of the overlap between an outline and the predicted one
SKEW_COST = 4.0  # subtracted from the log-likelihood for a skew of 1, in nats


def choose(
    heatmaps: Array, offsets: Array | None, sdf: Array, mask: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.intp], Array]:
    """Choose one peak for each corner of an outline.

    The result is the combination of peaks that maximizes the product of the peak scores (`score_peaks`), the overlap
    (`overlaps`) to the power of OVERLAP_POWER, and e^(-SKEW_COST * `skew`).

    Args:
        heatmaps: Activations ``(K, h, w)`` in 0..1, one map per corner, in order along the outline.
        offsets: Offsets ``(2K, h, w)`` in cells, or None.
        sdf: Signed distance to the outline ``(h, w)`` in cells, negative inside.
        mask: ``(h, w)``, False where no peak counts.

    Returns:
        The cells (x, y) of the corners, ``(K, 2)``, and the score of each peak, ``(K,)`` in 0..1.

    >>> heat = np.zeros((3, 9, 9), np.float32)
    >>> heat[0, 1, 1], heat[1, 1, 7], heat[2, 7, 7], heat[2, 4, 4] = 0.9, 0.9, 0.6, 0.7
    >>> y, x = np.mgrid[:9, :9].astype(np.float32)
    >>> choose(heat, None, np.maximum(np.maximum(1 - y, x - 7), y - x))[0].tolist()
    [[1, 1], [7, 1], [7, 7]]
    """
    # NaN and infinity are neither a peak nor a distance.
    heatmaps, sdf = finite(heatmaps), finite(sdf)
    found = _candidates(heatmaps, max(1, int(COMBINATIONS ** (1 / len(heatmaps)))), mask)
    corner = np.repeat(np.arange(len(found)), [len(at) for at in found])  # of each candidate
    cells = np.array([cell for at in found for cell in at], np.intp)
    peaks = heatmaps[corner, cells[:, 1], cells[:, 0]].clip(0, 1)
    points = cells + _steps(offsets, corner, cells)
    choices = _combinations([len(at) for at in found])
    # Combinations share most of their sides, and the field is sampled along each side once.
    sides, place = np.unique(choices * len(cells) + np.roll(choices, -1, axis=0), return_inverse=True)
    side = _distances(sdf, *(points[end] for end in divmod(sides, len(cells))))[place.reshape(choices.shape)]
    scores = score_peaks(peaks[choices], (side + np.roll(side, 1, axis=0)) / 2)
    best = 0
    if choices.shape[1] > 1:
        outlines = points[choices]
        fit = np.log(scores.clip(1e-9)).sum(axis=0)
        fit += OVERLAP_POWER * np.log(overlaps(outlines, sdf < 0).clip(0.01)) - SKEW_COST * skew(outlines)
        best = int(fit.argmax())
    return cells[choices[:, best]], scores[:, best]


def score_peaks(peaks: Array, distance: Points) -> Array:
    """Lower the activations of peaks whose sides lie off the outline.

    The odds of a peak, p : 1 - p, are divided by 1 + ``distance``.

    Args:
        peaks: Activations in 0..1, of any shape.
        distance: Mean distance in cells of the two sides of each peak from the outline, of the same shape.

    >>> score_peaks(np.array([0.8, 0.8], np.float32), np.array([0.0, 3.0])).tolist()
    [0.800000011920929, 0.5]
    """
    return np.asarray(peaks / (peaks + (1 - peaks) * (1 + distance)), np.float32)


def overlaps(outlines: Points, inside: NDArray[np.bool_]) -> Points:
    """Return the intersection over union of each outline's area and the cells ``inside``, ``(C,)``.

    A cell belongs to an outline if its center does. Where an outline crosses itself, its two parts cancel.

    Args:
        outlines: The K corners of C outlines in cells, ``(K, C, 2)``.
        inside: ``(h, w)``, True for each cell inside the predicted outline.

    >>> half, whole = [(0, 0), (4, 0), (4, 2), (0, 2)], [(0, 0), (4, 0), (4, 4), (0, 4)]
    >>> overlaps(np.stack([half, whole], axis=1) - 0.5, np.ones((4, 4), bool)).tolist()
    [0.5, 1.0]
    """
    rows = np.arange(len(inside))
    x, y = np.moveaxis(outlines, -1, 0)[..., None]
    end_x, end_y = np.roll(x, -1, axis=0), np.roll(y, -1, axis=0)
    # For each side and row (K, C, h): 1 if the side crosses it downwards, -1 if upwards, else 0.
    crosses = (end_y > rows).astype(int) - (y > rows)
    # Number of cells to the left of the crossing, and how many of them are inside.
    at = x + (rows - y) * (end_x - x) / np.where(end_y == y, 1, end_y - y)
    left = np.ceil(at).clip(0, inside.shape[1]).astype(np.intp)
    inside_left = np.pad(inside.cumsum(axis=1), ((0, 0), (1, 0)))[rows, left]
    both, enclosed = (np.abs((crosses * cells).sum(axis=(0, 2))) for cells in (inside_left, left))
    return np.asarray(both / np.maximum(enclosed + inside.sum() - both, 1), np.float64)


def skew(outlines: Points) -> Points:
    """Return how far each outline is from a parallelogram, ``(C,)``. Always 0 unless an outline has four corners.

    The skew is the distance between the midpoints of the two diagonals, divided by half of the outline's extent. Few
    sheets seen in perspective have more than 0.2.

    Args:
        outlines: The K corners of C outlines in cells, ``(K, C, 2)``.

    >>> skew(np.array([[[0.0, 0.0]], [[8.0, 0.0]], [[8.0, 6.0]], [[3.0, 6.0]]])).tolist()
    [0.3]
    """
    if len(outlines) != 4:
        return np.zeros(outlines.shape[1])
    a, b, c, d = outlines
    extent = np.linalg.norm(np.ptp(outlines, axis=0), axis=-1)
    return np.asarray(np.linalg.norm(a - b + c - d, axis=-1) / np.maximum(extent, 1), np.float64)


def cyclic_order(xy: Points, size: tuple[int, int]) -> NDArray[np.intp]:
    """Return the cyclic shift of an outline that starts at the smallest x / width + y / height.

    Args:
        xy: Corners ``(K, 2)`` in picture pixels.
        size: (width, height) of the picture.

    Returns:
        Indices ``(K,)``, so that ``xy[order]`` is the shifted outline.

    >>> cyclic_order(np.array([[9.0, 0.0], [9.0, 9.0], [0.0, 9.0], [0.0, 0.0]]), (10, 10)).tolist()
    [3, 0, 1, 2]
    """
    first = int((xy / size).sum(axis=1).argmin())
    return np.roll(np.arange(len(xy)), -first)


def _candidates(heatmaps: Array, limit: int, mask: NDArray[np.bool_] | None) -> list[list[tuple[int, int]]]:
    """Return the cells (x, y) of the highest peaks of each map, highest first.

    A map without a peak above SECOND_PEAK gives its highest cell.
    """
    found = peak_cells(heatmaps, limit=limit, threshold=SECOND_PEAK, mask=mask)
    for heatmap, cells in zip(heatmaps, found, strict=True):
        if not cells:
            highest = (heatmap if mask is None else np.where(mask, heatmap, -np.inf)).argmax()
            y, x = np.unravel_index(highest, heatmap.shape)
            cells.append((int(x), int(y)))
    return found


def _combinations(counts: list[int]) -> NDArray[np.intp]:
    """Return the index of one candidate per corner in each combination, ``(K, C)``, over all candidates in a row."""
    first = np.cumsum([0, *counts[:-1]])[:, None]
    if max(counts) == 1:
        return first  # NumPy has at most 64 axes, and an outline may have more corners
    return np.asarray(first + np.indices(counts).reshape(len(counts), -1))


def _steps(offsets: Array | None, corner: NDArray[np.intp], cells: NDArray[np.intp]) -> Points:
    """Return the offsets of candidates of some corners at their cells, ``(M, 2)``, 0 where there are none."""
    if offsets is None:
        return np.zeros(cells.shape)
    x, y = cells.T[..., None]
    steps = offsets[2 * corner[:, None] + (0, 1), y, x].astype(np.float64)
    finite: Points = np.nan_to_num(steps, posinf=0.0, neginf=0.0)
    return finite


def _distances(sdf: Array, starts: Points, ends: Points) -> Points:
    """Return the mean distance from the outline along the sides from starts to ends, ``(S,)`` in cells.

    Sides shorter than SHORTEST_SIDE get SHORT_SIDE_DISTANCE.
    """
    x, y = np.moveaxis(starts[:, None] + SAMPLES[:, None] * (ends - starts)[:, None], -1, 0)
    height, width = sdf.shape
    x, y = x.clip(0, width - 1), y.clip(0, height - 1)
    left, top = x.astype(np.intp).clip(0, width - 2), y.astype(np.intp).clip(0, height - 2)
    right, down = x - left, y - top
    upper = sdf[top, left] * (1 - right) + sdf[top, left + 1] * right
    lower = sdf[top + 1, left] * (1 - right) + sdf[top + 1, left + 1] * right
    mean = np.abs(upper * (1 - down) + lower * down).mean(axis=-1)
    return np.where(np.linalg.norm(ends - starts, axis=-1) < SHORTEST_SIDE, SHORT_SIDE_DISTANCE, mean)
