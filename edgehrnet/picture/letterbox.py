"""Picture -> network input, and the coordinates there and back. One function for training, calibration, runtime.

The pixel convention, stated here once
--------------------------------------
Pixel centers sit at integers: (0, 0) is the center of the top-left pixel, a picture W wide covers
[-0.5, W - 0.5]. Resizing by ``sx = new_width / width`` (after rounding the new width, so sx and sy differ a
little) and then padding maps ::

    x_input = (x + 0.5) * sx - 0.5 + left          y_input likewise with sy and top
    x_input = stride * cell_x + cell_offset        cell centers of a heatmap, in input pixels

The filter, version 1
---------------------
With ``s = max(width / W, height / H)``: a box average over k x k source pixels, ``k = round(s)``, then a quadratic
B-spline over three averaged rows and three columns, with weights in steps of 1/256 and 1/64. The box removes what
the new grid cannot carry. The spline blurs alike at every phase, where two neighbors (bilinear) are sharp at some
places and soft at others, which moves the centroid of a small blob by up to 0.03 px. docs/letterbox.md has the
measurements, and what else was tried.

Changing any of this changes every trained model's input: raise VERSION, which ModelSpec stores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from edgehrnet.errors import InputError
from edgehrnet.picture.cells import CellGrid

VERSION = 1
MULTIPLE = 32  # the deepest branch has a 32nd of the input's resolution


@dataclass(frozen=True)
class Letterbox:
    """The map between a picture's pixels and the network input's, exact and invertible.

    All lengths are in pixels. ``content_*`` is the size of the picture inside the input; ``left`` and ``top``
    are the padding before it (what is odd goes right and below).

    >>> box = Letterbox.fit(1280, 720, (256, 512))
    >>> (box.content_width, box.content_height, box.left, box.top)
    (455, 256, 28, 0)
    >>> box.inverse(box.forward([[100.0, 50.0]])).round(9).tolist()
    [[100.0, 50.0]]
    """

    width: int
    height: int
    input_width: int
    input_height: int
    content_width: int
    content_height: int
    left: int
    top: int

    @classmethod
    def fit(cls, width: int, height: int, input_size: tuple[int, int]) -> Letterbox:
        """Fit a picture of ``width`` x ``height`` into ``input_size`` = (height, width), centerd."""
        input_height, input_width = input_size
        shrink = max(width / input_width, height / input_height)
        # Rounding cannot exceed the input: the longer side is input_side exactly, up to float error.
        content_width = min(input_width, max(1, round(width / shrink)))
        content_height = min(input_height, max(1, round(height / shrink)))
        left, top = (input_width - content_width) // 2, (input_height - content_height) // 2
        return cls(width, height, input_width, input_height, content_width, content_height, left, top)

    @property
    def scale(self) -> tuple[float, float]:
        """(sx, sy): input pixels per picture pixel, each after rounding its own side."""
        return self.content_width / self.width, self.content_height / self.height

    @property
    def inside(self) -> tuple[slice, slice]:
        """(rows, columns) of the input that hold the picture; the rest is padding."""
        rows = slice(self.top, self.top + self.content_height)
        return rows, slice(self.left, self.left + self.content_width)

    def forward(self, xy: ArrayLike) -> NDArray[np.float64]:
        """Map ``(..., 2)`` x, y from picture pixels to input pixels."""
        points = np.asarray(xy, np.float64)
        return (points + 0.5) * self.scale - 0.5 + (self.left, self.top)

    def inverse(self, xy: ArrayLike) -> NDArray[np.float64]:
        """Map ``(..., 2)`` x, y from input pixels to picture pixels."""
        points = np.asarray(xy, np.float64)
        return (points - (self.left, self.top) + 0.5) / self.scale - 0.5

    def cell_mask(self, grid: CellGrid) -> NDArray[np.bool_]:
        """Return ``(h, w)``: True where a heatmap cell contains a part of the picture, False in the padding."""
        half = grid.stride / 2
        x, y = grid.centers((self.input_height, self.input_width))
        rows = self._inside(y, half, self.top, self.content_height)
        columns = self._inside(x, half, self.left, self.content_width)
        return rows[:, None] & columns[None, :]

    @staticmethod
    def _inside(centers: NDArray[np.float64], half: float, start: int, length: int) -> NDArray[np.bool_]:
        return (centers + half > start - 0.5) & (centers - half < start + length - 0.5)


def letterbox(image: NDArray[np.uint8], input_size: tuple[int, int]) -> tuple[NDArray[np.uint8], Letterbox]:
    """Scale a picture into the network input, keeping its aspect; black outside.

    ``image`` is ``(H, W, 3)`` u8 RGB; ``input_size`` is (height, width), both multiples of 32. Returns the input
    ``(height, width, 4)`` u8, RGB and mask (255 picture, 0 padding), and the Letterbox that maps coordinates.

    >>> tensor, box = letterbox(np.full((90, 120, 3), 200, np.uint8), (64, 64))
    >>> tensor.shape, tensor[32, 32].tolist(), tensor[0, 0].tolist()
    ((64, 64, 4), [200, 200, 200, 255], [0, 0, 0, 0])
    """
    check_input_size(input_size)
    height, width = image.shape[:2]
    box = Letterbox.fit(width, height, input_size)
    k = max(1, round(max(width / box.input_width, height / box.input_height)))
    averaged = _box_average(image, k)
    # Four numbers a pixel: whole pixels then move as one number, and the fourth becomes the mask.
    packed = np.frombuffer(averaged.tobytes("raw", "RGBX"), np.uint8).reshape(averaged.height, -1)
    # Two more bits are kept between the passes: gray levels rounded twice would move a faint blob by 0.03 px.
    rows = _spline_rows(packed, box.content_height, height / box.content_height / k, unit=256, drop=6)
    columns = np.ascontiguousarray(rows.view(np.uint64).T).view(np.uint16)
    columns = _spline_rows(columns, box.content_width, width / box.content_width / k, unit=64, drop=8)

    tensor = np.zeros((box.input_height, box.input_width), np.uint32)
    tensor[box.inside] = columns.astype(np.uint8).view(np.uint32).T
    pixels = tensor.view(np.uint8).reshape(box.input_height, box.input_width, 4)
    pixels[box.inside][..., 3] = 255
    return pixels, box


def _box_average(image: NDArray[np.uint8], k: int) -> Image.Image:
    """Average k x k pixels; the last row and column average what is left. Rows first, which NumPy does fastest."""
    if k == 1:
        return Image.fromarray(image)
    height, width = image.shape[:2]
    lines = np.ascontiguousarray(image).reshape(height, -1)
    whole = height // k * k  # none, if the picture is flatter than k
    wide = np.uint16 if k * 255 + k // 2 < 2**16 else np.uint32
    total = lines[:whole:k].astype(wide)
    for i in range(1, k):
        total += lines[i:whole:k]
    total += k // 2
    total //= k
    rows = total.astype(np.uint8)
    if whole < height:
        rows = np.concatenate([rows, np.rint(lines[whole:].mean(axis=0, keepdims=True)).astype(np.uint8)])
    return Image.fromarray(rows.reshape(-1, width, 3)).reduce((min(k, width), 1))


def _spline_rows(rows: NDArray[Any], count: int, step: float, *, unit: int, drop: int) -> NDArray[np.uint16]:
    """Sample ``count`` rows, ``step`` rows apart, the first half a step from the edge; the edges repeat.

    The weights are whole numbers that sum to ``unit``; the weighted sum, which must fit in 16 bits, is rounded to
    ``drop`` bits less.
    """
    position = (np.arange(count) + 0.5) * step - 0.5
    middle = np.floor(position + 0.5).astype(np.intp)
    phase = position - middle
    above = np.rint(unit / 2 * (0.5 - phase) ** 2).astype(np.uint16)
    below = np.rint(unit / 2 * (0.5 + phase) ** 2).astype(np.uint16)
    mixed = _weighted(rows, middle, unit - above - below)
    mixed += _weighted(rows, middle - 1, above)
    mixed += _weighted(rows, middle + 1, below)
    mixed += 1 << (drop - 1)
    mixed >>= drop
    return mixed


def _weighted(rows: NDArray[Any], index: NDArray[np.intp], weight: NDArray[np.uint16]) -> NDArray[np.uint16]:
    chosen = rows[np.clip(index, 0, len(rows) - 1)].astype(np.uint16)
    chosen *= weight[:, None]
    return chosen


def check_input_size(input_size: tuple[int, int]) -> None:
    """Raise InputError, naming the nearest sizes, unless (height, width) are positive multiples of 32."""
    pair = isinstance(input_size, tuple | list) and len(input_size) == 2
    if not pair or not all(isinstance(side, int | np.integer) for side in input_size):
        raise InputError(f"input_size={input_size!r}: two whole numbers, (height, width)")
    height, width = input_size
    if height < MULTIPLE or width < MULTIPLE or height % MULTIPLE or width % MULTIPLE:
        low = [max(MULTIPLE, side // MULTIPLE * MULTIPLE) for side in input_size]
        high = [max(MULTIPLE, -(-side // MULTIPLE) * MULTIPLE) for side in input_size]
        near = f"is {low[0]}x{low[1]}" if low == high else f"are {low[0]}x{low[1]} and {high[0]}x{high[1]}"
        raise InputError(
            f"input size {height}x{width} (height x width): both must be multiples of {MULTIPLE}; the nearest {near}"
        )
