"""Keypoints in network-input pixels -> what the network should answer, drawn in heatmap cells.

The cell of a pixel is CellGrid.to_cells, the inverse of what the decoder uses; a point keeps its exact place.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgehrnet.letterbox import CellGrid

Array = NDArray[np.float32]

SIGMA = 1.5  # cells; the width of a heatmap's blob
OFFSET_RADIUS = 2.0  # cells around a keypoint in which offsets are trained
SDF_CLIP = 8.0  # cells; beyond it the distance says nothing local


def heatmap_target(
    points: NDArray[np.float64],
    present: NDArray[np.bool_],
    grid: CellGrid,
    shape: tuple[int, int],
    sigma: float = SIGMA,
) -> Array:
    """Draw a Gaussian around each point: ``(K, h, w)`` in 0..1, all zero where ``present`` is False.

    ``points`` ``(K, 2)`` x, y in input pixels, ``shape`` = (h, w) in cells. The centre is not rounded
    ("unbiased" targets of DARK, Zhang, CVPR 2020).
    """
    dx, dy = _displacements(points, grid, shape)
    blobs = np.exp(-(dx**2 + dy**2) / (2 * sigma**2)) * present[:, None, None]
    return blobs.astype(np.float32)


def offset_target(
    points: NDArray[np.float64],
    present: NDArray[np.bool_],
    grid: CellGrid,
    shape: tuple[int, int],
) -> tuple[Array, Array]:
    """Return offsets ``(K, 2, h, w)`` in cells from each cell to the point, and weights ``(K, h, w)`` 0 or 1.

    The weight is 1 within OFFSET_RADIUS of a present point; the offsets elsewhere are 0.
    """
    dx, dy = _displacements(points, grid, shape)
    near = (dx**2 + dy**2 <= OFFSET_RADIUS**2) & present[:, None, None]
    offsets = np.stack([dx, dy], axis=1) * near[:, None]
    return offsets.astype(np.float32), near.astype(np.float32)


def outline_targets(points: NDArray[np.float64], grid: CellGrid, shape: tuple[int, int]) -> tuple[Array, Array]:
    """Return the outline of a closed polygon ``(h, w)`` 0..1 and its signed distance ``(h, w)`` in cells.

    The distance is negative inside, positive outside, clipped at +-SDF_CLIP; the outline is a Gaussian of one cell
    around distance zero.
    """
    corners = grid.to_cells(points)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    squared = np.full(shape, np.inf)
    inside = np.zeros(shape, bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        length2 = max((bx - ax) ** 2 + (by - ay) ** 2, 1e-12)
        along = np.clip(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length2, 0, 1)
        squared = np.minimum(squared, (x - ax - along * (bx - ax)) ** 2 + (y - ay - along * (by - ay)) ** 2)
        if ay != by:  # even-odd rule: count the edges that a ray to the right crosses
            inside ^= ((ay > y) != (by > y)) & (x < ax + (y - ay) / (by - ay) * (bx - ax))
    distance = np.sqrt(squared)
    boundary = np.exp(-0.5 * squared)
    signed = np.clip(np.where(inside, -distance, distance), -SDF_CLIP, SDF_CLIP)
    return boundary.astype(np.float32), signed.astype(np.float32)


def _displacements(
    points: NDArray[np.float64], grid: CellGrid, shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """From every cell to every point, ``(K, h, w)`` in cells, x and y apart."""
    cells = grid.to_cells(points)
    dx = cells[:, 0, None, None] - np.arange(shape[1])[None, None, :]
    dy = cells[:, 1, None, None] - np.arange(shape[0])[None, :, None]
    return np.broadcast_arrays(dx, dy)  # type: ignore[return-value]
