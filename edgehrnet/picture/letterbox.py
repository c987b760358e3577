"""Scale a picture into the network input and map coordinates between the two.

Training, calibration and runtime all use this one function.

Coordinates
-----------
Pixel centers lie at integers: (0, 0) is the center of the top-left pixel, and a picture W pixels wide covers
[-0.5, W - 0.5]. The picture is scaled by ``sx = content_width / width`` and ``sy = content_height / height``, which
differ slightly because the content's sides are rounded to whole pixels, and then padded ::

    x_input = (x + 0.5) * sx - 0.5 + left          y_input = (y + 0.5) * sy - 0.5 + top
    x_input = stride * x_cell + cell_offset        centers of heatmap cells, in input pixels (see `cells`)

Filter, version 1
-----------------
1. Compute ``s = max(width / input_width, height / input_height)``, the scale of the longer side.
2. Average boxes of k x k source pixels, ``k = round(s)``. This removes detail that the input cannot represent.
3. Sample a quadratic B-spline over three rows, then three columns, of the averaged picture. The weights are multiples
   of 1/256 for rows and of 1/64 for columns.

The spline blurs equally at every phase. Two neighbors (bilinear interpolation) are sharp at some phases and soft at
others, which moves the centroid of a small blob by up to 0.03 px. See docs/letterbox.md for the measurements and the
alternatives that were tried.

Any change to this file's arithmetic changes the input of every trained model. Such a change has to raise VERSION,
which each ModelSpec stores.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from edgehrnet.errors import InputError
from edgehrnet.picture.cells import CellGrid
from edgehrnet.picture.picture import Picture

VERSION = 1
LARGEST_SIDE = 4096  # pixels of the network input
BLOCK = 2**18  # values that are summed before the next ones, see `_blocks`
MULTIPLE = 32  # both sides of an input are divisible by it: the lowest-resolution branch has stride 32


@dataclass(frozen=True)
class Letterbox:
    """Exact, invertible map between the pixels of a picture, or of a part of it, and input pixels.

    All lengths are in pixels. An odd pixel of padding goes to the right and to the bottom.

    >>> box = Letterbox.fit(1280, 720, (256, 512))
    >>> (box.content_width, box.content_height, box.left, box.top)
    (455, 256, 28, 0)
    >>> box.inverse(box.forward([[100.0, 50.0]])).round(9).tolist()
    [[100.0, 50.0]]
    """

    width: int
    """Width of the picture, or of the part."""
    height: int
    """Height of the picture, or of the part."""
    input_width: int
    """Width of the network input."""
    input_height: int
    """Height of the network input."""
    content_width: int
    """Width of the scaled picture inside the input."""
    content_height: int
    """Height of the scaled picture inside the input."""
    left: int
    """Padding to the left of the scaled picture."""
    top: int
    """Padding above the scaled picture."""
    x: int = 0
    """First column of the part."""
    y: int = 0
    """First row of the part."""

    @classmethod
    def fit(cls, width: int, height: int, input_size: tuple[int, int]) -> Letterbox:
        """Fit a picture of ``width`` x ``height`` pixels into the center of an input (height, width)."""
        input_height, input_width = input_size
        shrink = max(width / input_width, height / input_height)
        # One side fills the input exactly; min() guards against float error in the division.
        content_width = min(input_width, max(1, round(width / shrink)))
        content_height = min(input_height, max(1, round(height / shrink)))
        left, top = (input_width - content_width) // 2, (input_height - content_height) // 2
        return cls(width, height, input_width, input_height, content_width, content_height, left, top)

    def trimmed(self, multiple: int = MULTIPLE) -> Letterbox:
        """Return the smallest input that holds the scaled picture and whose sides are multiples of a number.

        >>> Letterbox.fit(3000, 4000, (256, 512)).trimmed().input_size
        (256, 192)
        """
        width, height = (-(-side // multiple) * multiple for side in (self.content_width, self.content_height))
        left, top = (width - self.content_width) // 2, (height - self.content_height) // 2
        return replace(self, input_width=width, input_height=height, left=left, top=top)

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the input."""
        return self.input_height, self.input_width

    @property
    def scale(self) -> tuple[float, float]:
        """Input pixels per picture pixel, (sx, sy), from the rounded sides."""
        return self.content_width / self.width, self.content_height / self.height

    @property
    def inside(self) -> tuple[slice, slice]:
        """Rows and columns of the input that hold the picture. The rest is padding."""
        rows = slice(self.top, self.top + self.content_height)
        return rows, slice(self.left, self.left + self.content_width)

    def forward(self, xy: ArrayLike) -> NDArray[np.float64]:
        """Map points ``(..., 2)``, x and y, from picture pixels to input pixels."""
        points = np.asarray(xy, np.float64)
        return (points - (self.x, self.y) + 0.5) * self.scale - 0.5 + (self.left, self.top)

    def inverse(self, xy: ArrayLike) -> NDArray[np.float64]:
        """Map points ``(..., 2)``, x and y, from input pixels to picture pixels."""
        points = np.asarray(xy, np.float64)
        return (points - (self.left, self.top) + 0.5) / self.scale - 0.5 + (self.x, self.y)

    def cell_mask(self, grid: CellGrid) -> NDArray[np.bool_]:
        """Return a mask ``(h, w)``, True for each heatmap cell that covers a part of the picture."""
        half = grid.stride / 2
        x, y = grid.centers((self.input_height, self.input_width))
        rows = self._inside(y, half, self.top, self.content_height)
        columns = self._inside(x, half, self.left, self.content_width)
        return rows[:, None] & columns[None, :]

    @staticmethod
    def _inside(centers: NDArray[np.float64], half: float, start: int, length: int) -> NDArray[np.bool_]:
        return (centers + half > start - 0.5) & (centers - half < start + length - 0.5)


def letterbox(
    image: NDArray[np.uint8] | Picture, input_size: tuple[int, int], *, multiple: int = MULTIPLE, trim: bool = False
) -> tuple[NDArray[np.uint8], Letterbox]:
    """Scale a picture into the network input, keeping its aspect ratio, with black padding.

    Args:
        image: The picture, ``(H, W, 3)`` u8 RGB, or as read at a reduced scale.
        input_size: (height, width) of the input, both multiples of ``multiple``.
        multiple: Number that divides both sides: 32 for the networks here, the stride for those of other projects.
        trim: Leave out padding, see `Letterbox.trimmed`. The scaled picture is the same.

    Returns:
        The input ``(height, width, 4)`` u8, of ``input_size`` unless trimmed: RGB and a mask (255 on the picture, 0 in
        the padding). And the Letterbox that maps coordinates.

    Raises:
        InputError: If ``input_size`` is not accepted.

    >>> tensor, box = letterbox(np.full((90, 120, 3), 200, np.uint8), (64, 64))
    >>> tensor.shape, tensor[32, 32].tolist(), tensor[0, 0].tolist()
    ((64, 64, 4), [200, 200, 200, 255], [0, 0, 0, 0])
    """
    check_input_size(input_size, multiple)
    picture = Picture.of(image)
    height, width = picture.size
    box = Letterbox.fit(width, height, input_size)
    k = max(1, round(max(width / box.input_width, height / box.input_height) / picture.step))
    if trim:
        box = box.trimmed(multiple)
    averaged = _box_average(picture.pixels, k)
    block = k * picture.step
    # Four bytes per pixel: the transpose below moves each pixel as one integer, and the fourth byte becomes the mask.
    packed = np.frombuffer(averaged.tobytes("raw", "RGBX"), np.uint8).reshape(averaged.height, -1)
    # Keep two more bits between the passes: rounding to gray levels twice would move a faint blob by 0.03 px.
    rows = _spline_rows(
        packed, box.content_height, height / box.content_height / block, picture.before[1] / block, 256, 6
    )
    columns = np.ascontiguousarray(rows.view(np.uint64).T).view(np.uint16)
    columns = _spline_rows(
        columns, box.content_width, width / box.content_width / block, picture.before[0] / block, 64, 8
    )

    tensor = np.zeros((box.input_height, box.input_width), np.uint32)
    tensor[box.inside] = columns.astype(np.uint8).view(np.uint32).T
    pixels = tensor.view(np.uint8).reshape(box.input_height, box.input_width, 4)
    pixels[box.inside][..., 3] = 255
    return pixels, box


def _box_average(image: NDArray[np.uint8], k: int) -> Image.Image:
    """Average blocks of k x k pixels. The last row and column average the pixels that are left over.

    NumPy averages the rows, Pillow the columns: the fastest combination.
    """
    if k == 1:
        return Image.fromarray(image)
    height, width = image.shape[:2]
    lines = np.ascontiguousarray(image).reshape(height, -1)
    count = height // k  # 0 if the picture has fewer than k rows
    whole = lines[: count * k].reshape(count, k, lines.shape[1])
    rows = np.empty((-(-height // k), lines.shape[1]), np.uint8)
    wide = np.uint16 if k * 255 + k // 2 < 2**16 else np.uint32
    for part in _blocks(count, lines.shape[1]):
        total = whole[part, 0].astype(wide)
        for i in range(1, k):
            total += whole[part, i]
        total += k // 2
        total //= k
        rows[part] = total
    if count < len(rows):
        rows[count] = np.rint(lines[count * k :].mean(axis=0))
    return Image.fromarray(rows.reshape(-1, width, 3)).reduce((min(k, width), 1))


def _blocks(count: int, width: int) -> Iterator[slice]:
    """Yield slices of ``count`` rows of a width, so few at a time that their sums stay in the processor's cache."""
    size = max(1, BLOCK // width)
    return (slice(start, min(count, start + size)) for start in range(0, count, size))


def _spline_rows(rows: NDArray[Any], count: int, step: float, start: float, unit: int, drop: int) -> NDArray[np.uint16]:
    """Resample rows with a quadratic B-spline in integer arithmetic. Rows beyond the edges repeat the edge.

    Args:
        rows: Source rows ``(n, m)`` of unsigned integers.
        count: Number of rows to return.
        step: Source rows per returned row.
        start: Edge of the picture in source rows. The first sample lies half a step from it.
        unit: Sum of the integer weights. The weighted sum has to fit in 16 bits.
        drop: Bits by which the weighted sum is shifted right, with rounding.
    """
    position = (np.arange(count) + 0.5) * step - 0.5 + start
    middle = np.floor(position + 0.5).astype(np.intp)
    phase = position - middle
    above = np.rint(unit / 2 * (0.5 - phase) ** 2).astype(np.uint16)
    below = np.rint(unit / 2 * (0.5 + phase) ** 2).astype(np.uint16)
    weights = ((middle, unit - above - below), (middle - 1, above), (middle + 1, below))
    taps = [(np.clip(index, 0, len(rows) - 1), weight[:, None]) for index, weight in weights]
    mixed = np.empty((count, rows.shape[1]), np.uint16)
    for part in _blocks(count, rows.shape[1]):
        total = mixed[part]
        total[:] = 1 << (drop - 1)
        for index, weight in taps:
            total += np.multiply(rows[index[part]], weight[part], dtype=np.uint16)
        total >>= drop
    return mixed


def check_input_size(input_size: tuple[int, int], multiple: int = MULTIPLE) -> None:
    """Check that (height, width) are positive multiples of a number, 32 for the networks here.

    Raises:
        InputError: If they are not. The message names the nearest sizes.
    """
    pair = isinstance(input_size, tuple | list) and len(input_size) == 2
    if not pair or not all(isinstance(side, int | np.integer) for side in input_size):
        raise InputError(f"input_size={input_size!r} is not a size; use two integers, (height, width)")
    height, width = input_size
    if max(input_size) > LARGEST_SIDE:
        raise InputError(f"input size {height}x{width} (height x width): sides of up to {LARGEST_SIDE} are accepted")
    if height < multiple or width < multiple or height % multiple or width % multiple:
        low = [max(multiple, side // multiple * multiple) for side in input_size]
        high = [max(multiple, -(-side // multiple) * multiple) for side in input_size]
        near = f"is {low[0]}x{low[1]}" if low == high else f"are {low[0]}x{low[1]} and {high[0]}x{high[1]}"
        raise InputError(
            f"input size {height}x{width} (height x width): both must be multiples of {multiple}; the nearest {near}"
        )
