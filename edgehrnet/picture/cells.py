"""Convert between heatmap cells and input pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class CellGrid:
    """Positions of the heatmap cells in the network input: ``pixel = step * cell + offset``, for x and for y.

    An input of ``side`` pixels has ``side / stride`` cells. With an offset of ``(stride - 1) / 2`` the center of a
    cell is the middle of the pixels that it covers, so that a mirrored picture has the mirrored heatmap.

    >>> CellGrid(4, 1.5).to_pixels([0, 1]).tolist()
    [1.5, 5.5]
    """

    stride: int
    """Input pixels per cell."""
    offset: float
    """Input pixel, in x and in y, at which cell 0 has its center."""
    step: tuple[float, float] | None = None
    """Pixels from one cell to the next, (x, y). None: the stride."""

    @classmethod
    def corners(cls, stride: int, input_size: tuple[int, int]) -> CellGrid:
        """Return the grid whose outermost cells lie on the outermost pixels of an input (height, width).

        Source: UDP, Huang, CVPR 2020, which measures pictures and heatmaps from the first to the last pixel.

        >>> CellGrid.corners(4, (256, 192)).to_pixels([[47, 63]]).tolist()
        [[191.0, 255.0]]
        """
        height, width = input_size
        return cls(stride, 0.0, ((width - 1) / (width // stride - 1), (height - 1) / (height // stride - 1)))

    def to_pixels(self, cell: ArrayLike) -> NDArray[np.float64]:
        """Convert cell coordinates ``(..., 2)``, x and y, to input pixels. Without a ``step``, any shape will do."""
        pixels: NDArray[np.float64] = np.asarray(cell, np.float64) * (self.step or self.stride) + self.offset
        return pixels

    def to_cells(self, pixel: ArrayLike) -> NDArray[np.float64]:
        """Convert input pixels to cell coordinates, the inverse of `to_pixels`."""
        cells: NDArray[np.float64] = (np.asarray(pixel, np.float64) - self.offset) / (self.step or self.stride)
        return cells

    def centers(self, input_size: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the x of each column of cells and the y of each row, in pixels of an input (height, width)."""
        height, width = (side // self.stride for side in input_size)
        step_x, step_y = self.step or (self.stride, self.stride)
        x = np.arange(width, dtype=np.float64) * step_x + self.offset
        return x, np.arange(height, dtype=np.float64) * step_y + self.offset
