"""Hold a picture as it was read: whole, or at a reduced scale while the full one waits in its file's bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels of a picture, each the mean of ``step`` x ``step`` pixels of the full picture.

    The grid of blocks may begin left of or above the picture, so that the blocks at its edges reach beyond it::

        x_read = (x + 0.5 + before[0]) / step - 0.5        y_read = (y + 0.5 + before[1]) / step - 0.5
    """

    pixels: Pixels = field(repr=False)
    """``(h, w, 3)`` u8 RGB, as read."""
    size: tuple[int, int]
    """(height, width) of the full picture in pixels."""
    step: int = 1
    """Pixels of the full picture per pixel read. 1 is the full picture."""
    before: tuple[int, int] = (0, 0)
    """Columns and rows of the full picture by which the first blocks reach beyond its left and top edges."""
    read_full: Callable[[], Pixels] | None = field(default=None, repr=False)
    """Reads the full picture. None if ``pixels`` are the full picture."""

    @classmethod
    def of(cls, image: Pixels | Picture) -> Picture:
        """Return a picture as it is, and an array ``(H, W, 3)`` as a full picture."""
        return image if isinstance(image, Picture) else cls(image, (image.shape[0], image.shape[1]))

    @cached_property
    def full(self) -> Pixels:
        """The full picture, ``(H, W, 3)`` u8 RGB. It is read when it is first asked for, and then kept."""
        return self.pixels if self.read_full is None else self.read_full()

    def columns(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the positions in ``pixels`` of columns of the full picture."""
        return x if self.step == 1 else (x + 0.5 + self.before[0]) / self.step - 0.5

    def rows(self, y: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the positions in ``pixels`` of rows of the full picture."""
        return y if self.step == 1 else (y + 0.5 + self.before[1]) / self.step - 0.5
