"""Decode outputs that are not heatmaps: a vector along each axis (SimCC), and coordinates.

SimCC (Li, ECCV 2022) has one vector along x and one along y for each keypoint. The place of the largest value, divided
by the number of values per pixel, is the coordinate. The confidence is the smaller of the two largest values, as MMPose
has it for RTMPose. RTMLib takes their mean.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


def simcc_points(x: Array, y: Array, size: tuple[int, int]) -> tuple[NDArray[np.float64], Array]:
    """Find the keypoints of SimCC vectors.

    Args:
        x: Vectors ``(N, K, W')`` along the input's width.
        y: Vectors ``(N, K, H')`` along its height.
        size: (height, width) of the input in pixels.

    Returns:
        Points ``(N, K, 2)`` in pixels of the input, and their confidence ``(N, K)``, at least 0. NaN and infinity count
        as 0.

    >>> x, y = np.zeros((1, 1, 8), np.float32), np.zeros((1, 1, 4), np.float32)
    >>> x[0, 0, 5], y[0, 0, 2] = 0.75, 0.5  # the smaller one is the confidence
    >>> points, confidence = simcc_points(x, y, (2, 4))
    >>> points.tolist(), confidence.tolist()
    ([[[2.5, 1.0]]], [[0.5]])
    """
    vectors = [np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0) for values in (x, y)]
    places = [
        values.argmax(axis=2) * (side / values.shape[2]) for values, side in zip(vectors, size[::-1], strict=True)
    ]
    return np.stack(places, axis=-1), np.minimum(*(values.max(axis=2) for values in vectors)).clip(min=0)


def simcc_maps(x: Array, y: Array, cells: tuple[int, int]) -> Array:
    """Return what SimCC vectors would be as heatmaps, to draw and compare them.

    Args:
        x: Vectors ``(N, K, W')``.
        y: Vectors ``(N, K, H')``.
        cells: (h, w) of the heatmaps. They divide H' and W'.

    Returns:
        Heatmaps ``(N, K, h, w)``. Each cell has the largest value of its columns or of its rows, whichever is smaller.
    """
    columns, rows = (
        values.reshape(*values.shape[:2], side, values.shape[2] // side).max(axis=3)
        for values, side in ((x, cells[1]), (y, cells[0]))
    )
    maps: Array = np.minimum(rows[..., :, None], columns[..., None, :])
    return maps


def given_points(values: Array, size: tuple[int, int], unit: str) -> tuple[NDArray[np.float64], Array]:
    """Read coordinates that a network gives.

    Args:
        values: ``(N, K, 2)`` x and y, or ``(N, K, 3)`` with a confidence.
        size: (height, width) of the input in pixels.
        unit: ``px`` of the input, or ``normalized`` by its width and height.

    Returns:
        Points ``(N, K, 2)`` in pixels of the input, and their confidence ``(N, K)``, at least 0. It is 1 if the network
        gives none. NaN and infinity count as 0.

    >>> given_points(np.array([[[0.5, 0.25]]], np.float32), (40, 80), "normalized")[0].tolist()
    [[[40.0, 10.0]]]
    """
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    points = values[..., :2].astype(np.float64) * (size[::-1] if unit == "normalized" else (1, 1))
    confidence = np.ones(points.shape[:2], np.float32) if values.shape[2] == 2 else values[..., 2].clip(min=0)
    return points, confidence
