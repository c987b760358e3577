"""Cut a box out of a picture as the published HRNets do and map coordinates between picture and input.

Pixel centers lie at integers. Boxes are xywh: x and y of the top-left corner, width and height, as in COCO. The two
conventions differ in how a box of w x h pixels maps to an input of W x H pixels:

==============  ============================================  ================================================
                ``hrnet``                                     ``udp``
==============  ============================================  ================================================
scale           w pixels become W, h pixels become H          w pixels become W - 1, h pixels become H - 1
aspect ratio    one scale for both axes                       each axis has its own scale
box center      at (W / 2, H / 2)                             at ((W - 1) / 2, (H - 1) / 2)
angles above 0  turn the picture counterclockwise             turn the picture clockwise
source          Simple Baselines, Xiao, ECCV 2018,            UDP, Huang, CVPR 2020
                HRNet, Sun, CVPR 2019
==============  ============================================  ================================================

Crops are sampled bilinearly, with black outside the picture and without averaging first. Where a large person is
scaled down a lot, fine detail aliases. This is kept because the published networks were trained on such inputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgehrnet.errors import InputError, nearest
from edgehrnet.picture.cells import CellGrid
from edgehrnet.picture.letterbox import MULTIPLE, check_input_size
from edgehrnet.picture.picture import Picture

Box = Sequence[float]  # xywh in picture pixels
Axis = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32], NDArray[np.float32]]
Points = tuple[NDArray[np.float64], NDArray[np.float64]]

CropConvention = Literal["hrnet", "udp"]
CONVENTIONS: tuple[CropConvention, ...] = get_args(CropConvention)
BOX_LIMIT = 1e7  # px; far larger than any picture, and small enough for sums and products of floats
MIN_BOX_SIDE = 1e-6  # px
MARGIN = 1.25  # factor by which a box grows: boxes are tight, and the surroundings help to tell limbs apart


@dataclass(frozen=True)
class Crop:
    """Exact, invertible map between picture pixels and input pixels for one box.

    >>> crop = Crop.fit((245, 140, 150, 200), (640, 480), (256, 192), "hrnet", margin=1)
    >>> crop.center, crop.forward(crop.center).tolist(), crop.scale
    ((320.0, 240.0), [96.0, 128.0], (1.28, 1.28))
    >>> crop.inverse(crop.forward([[100.0, 50.0]])).round(9).tolist()
    [[100.0, 50.0]]
    """

    center: tuple[float, float]
    """Center of the box, (x, y) in picture pixels."""
    size: tuple[float, float]
    """Size of the box, (width, height) in picture pixels, with the margin and in the input's aspect ratio."""
    rotation: float
    """Angle in degrees. Its direction depends on the convention."""
    input_width: int
    """Width of the network input in pixels."""
    input_height: int
    """Height of the network input in pixels."""
    convention: CropConvention
    """Mapping from the box to the input, ``hrnet`` or ``udp``."""
    width: int
    """Width of the picture in pixels."""
    height: int
    """Height of the picture in pixels."""

    @classmethod
    def fit(
        cls,
        box: Box,
        picture_size: tuple[int, int],
        input_size: tuple[int, int],
        convention: CropConvention,
        *,
        margin: float = MARGIN,
        rotation: float = 0.0,
        scale: float = 1.0,
        multiple: int = MULTIPLE,
    ) -> Crop:
        """Grow a box around its center to the input's aspect ratio, then by ``margin`` and ``scale``.

        Args:
            box: The box, xywh in picture pixels. It is not clipped to the picture.
            picture_size: (width, height) of the picture in pixels.
            input_size: (height, width) of the network input, both multiples of ``multiple``.
            convention: Mapping from the box to the input, ``hrnet`` or ``udp``.
            margin: Factor by which the box grows.
            rotation: Angle in degrees.
            scale: Second factor, for augmentation.
            multiple: Number that divides both sides of the input, see `letterbox`.

        Raises:
            InputError: If the box has no area, a value is beyond `BOX_LIMIT`, or another argument is not accepted.
        """
        check_input_size(input_size, multiple)
        if convention not in CONVENTIONS:
            raise InputError(f"unknown crop convention {convention!r}; {nearest(str(convention), CONVENTIONS)}")
        x, y, w, h = _checked(box)
        factor = margin * scale
        if not (math.isfinite(factor) and factor > 0 and math.isfinite(rotation)):
            raise InputError(
                f"margin={margin}, scale={scale}, rotation={rotation} must be finite, margin and scale above 0"
            )
        center = (x + w / 2, y + h / 2)
        aspect = input_size[1] / input_size[0]
        w, h = max(w, h * aspect), max(h, w / aspect)
        size = (w * factor, h * factor)
        return cls(center, size, float(rotation), input_size[1], input_size[0], convention, *picture_size)

    @cached_property
    def scale(self) -> tuple[float, float]:
        """Input pixels per picture pixel, (sx, sy)."""
        if self.convention == "hrnet":
            return (self.input_width / self.size[0],) * 2
        return (self.input_width - 1) / self.size[0], (self.input_height - 1) / self.size[1]

    @cached_property
    def matrix(self) -> NDArray[np.float64]:
        """Affine matrix ``(2, 3)``: input (x, y) = matrix @ picture (x, y, 1)."""
        last = 0 if self.convention == "hrnet" else 1  # the far side of the box falls on W or on W - 1
        middle = np.array([self.input_width - last, self.input_height - last]) / 2
        angle = math.radians(-self.rotation if self.convention == "hrnet" else self.rotation)
        cos, sin = math.cos(angle), math.sin(angle)
        linear = np.array([[cos, -sin], [sin, cos]]) * np.array(self.scale)[:, None]
        return np.column_stack([linear, middle - linear @ self.center])

    def forward(self, xy: ArrayLike) -> NDArray[np.float64]:
        """Map points ``(..., 2)``, x and y, from picture pixels to input pixels."""
        points: NDArray[np.float64] = np.asarray(xy, np.float64) @ self.matrix[:, :2].T + self.matrix[:, 2]
        return points

    def inverse(self, xy: ArrayLike) -> NDArray[np.float64]:
        """Map points ``(..., 2)``, x and y, from input pixels to picture pixels."""
        points: NDArray[np.float64] = (np.asarray(xy, np.float64) - self.matrix[:, 2]) @ self._inverse_matrix.T
        return points

    @cached_property
    def _inverse_matrix(self) -> NDArray[np.float64]:
        return np.asarray(np.linalg.inv(self.matrix[:, :2]), np.float64)

    def cell_mask(self, grid: CellGrid) -> NDArray[np.bool_]:
        """Return a mask ``(h, w)``, True for each heatmap cell whose center is within half a cell of the picture."""
        x, y = grid.centers((self.input_height, self.input_width))
        half_x, half_y = (grid.stride / 2 / scale for scale in self.scale)
        return self._on_picture(self.source(x, y), half_x, half_y)

    def pixel_mask(self) -> NDArray[np.bool_]:
        """Return a mask ``(input_height, input_width)``, True for each pixel whose center is on the picture."""
        return self._on_picture(self.source(np.arange(self.input_width), np.arange(self.input_height)), 0, 0)

    def source(self, x: ArrayLike, y: ArrayLike) -> Points:
        """Return the picture x and y, ``(h, w)`` each, of the input columns ``x (w,)`` and rows ``y (h,)``."""
        dx = np.asarray(x, np.float64) - self.matrix[0, 2]
        dy = np.asarray(y, np.float64)[:, None] - self.matrix[1, 2]
        back = self._inverse_matrix
        return back[0, 0] * dx + back[0, 1] * dy, back[1, 0] * dx + back[1, 1] * dy

    def _on_picture(self, points: Points, slack_x: float, slack_y: float) -> NDArray[np.bool_]:
        x, y = points
        columns = (x >= -0.5 - slack_x) & (x <= self.width - 0.5 + slack_x)
        mask: NDArray[np.bool_] = columns & (y >= -0.5 - slack_y) & (y <= self.height - 0.5 + slack_y)
        return mask


def crop(image: NDArray[np.uint8] | Picture, where: Crop) -> NDArray[np.uint8]:
    """Cut a box out of a picture, with black outside the picture.

    Sampling is bilinear, so that the border of the picture fades to black within one pixel.

    Args:
        image: The picture, ``(H, W, 3)`` u8 RGB, or as read at a reduced scale.
        where: The box, fitted to a picture of this size.

    Returns:
        The network input ``(input_height, input_width, 4)`` u8, RGB and a mask (255 on the picture, 0 outside).

    Raises:
        InputError: If ``where`` was fitted to a picture of another size.

    >>> where = Crop.fit((0, 0, 64, 128), (64, 128), (64, 32), "hrnet", margin=2)
    >>> tensor = crop(np.full((128, 64, 3), 200, np.uint8), where)
    >>> tensor.shape, tensor[32, 16].tolist(), tensor[0, 0].tolist()
    ((64, 32, 4), [200, 200, 200, 255], [0, 0, 0, 0])
    """
    picture = Picture.of(image)
    if picture.size != (where.height, where.width):
        size = f"{picture.size[1]}x{picture.size[0]}"
        raise InputError(f"the picture is {size} px, but the crop was fitted to {where.width}x{where.height} px")
    sampled = _sample_axes(picture, where) if where.rotation == 0 else _sample_pixels(picture, where)
    pixels = np.zeros((where.input_height, where.input_width, 4), np.uint8)
    pixels[..., :3] = sampled + np.float32(0.5)
    pixels[..., 3] = np.where(where.pixel_mask(), 255, 0)
    return pixels


def _sample_axes(picture: Picture, where: Crop) -> NDArray[np.float32]:
    """Sample a crop without rotation, rows and columns apart: five times as fast as pixel by pixel."""
    x, y = where.source(np.arange(where.input_width), np.arange(where.input_height))
    left, right, *x_weights = _taps(picture.columns(x[0]), picture.pixels.shape[1])
    above, below, *y_weights = _taps(picture.rows(y[:, 0]), picture.pixels.shape[0])
    part = picture.pixels[:, left[0] : right[-1] + 1]
    total = np.zeros((where.input_height, 3 * where.input_width), np.float32)
    for row, y_weight in zip((above, below), y_weights, strict=True):
        rows = part[row]
        for column, x_weight in zip((left, right), x_weights, strict=True):
            taken = rows.take(column - left[0], axis=1).reshape(total.shape) * x_weight.repeat(3)
            taken *= y_weight[:, None]
            total += taken
    return total.reshape(where.input_height, where.input_width, 3)


def _sample_pixels(picture: Picture, where: Crop) -> NDArray[np.float32]:
    """Sample a rotated crop pixel by pixel."""
    x, y = where.source(np.arange(where.input_width), np.arange(where.input_height))
    left, right, *x_weights = _taps(picture.columns(x), picture.pixels.shape[1])
    above, below, *y_weights = _taps(picture.rows(y), picture.pixels.shape[0])
    total = np.zeros((where.input_height, where.input_width, 3), np.float32)
    for row, y_weight in zip((above, below), y_weights, strict=True):
        for column, x_weight in zip((left, right), x_weights, strict=True):
            total += picture.pixels[row, column] * (x_weight * y_weight)[..., None]
    return total


def _taps(position: NDArray[np.float64], size: int) -> Axis:
    """Return the two neighbors of each position on an axis of ``size`` pixels and their weights, 0 outside."""
    before = np.clip(np.floor(position), -2, size).astype(np.intp)
    share = (position - before).astype(np.float32)
    first = (1 - share) * ((before >= 0) & (before < size))
    second = share * ((before >= -1) & (before < size - 1))
    return np.clip(before, 0, size - 1), np.clip(before + 1, 0, size - 1), first, second


def clip_box(box: Box, width: int, height: int) -> tuple[float, float, float, float]:
    """Clip a labeled xywh box to the picture as HRNet's training does.

    - Sides are measured from the first to the last pixel, so that each side becomes one pixel shorter.
    - A box that begins left of or above the picture is moved inside. A side beyond the right or bottom edge is cut.
    - A box entirely right of or below the picture gets a negative side, and `Crop.fit` refuses it.

    HRNet's evaluation does not clip detected boxes.

    >>> clip_box((-10, 5, 50, 600), 640, 480)
    (0.0, 5.0, 49.0, 474.0)
    """
    x, y, w, h = (float(value) for value in box)
    left, top = max(0.0, x), max(0.0, y)
    right = min(width - 1.0, left + max(0.0, w - 1))
    bottom = min(height - 1.0, top + max(0.0, h - 1))
    return left, top, right - left, bottom - top


def whole_picture_box(width: int, height: int) -> tuple[float, float, float, float]:
    """Return the xywh box that covers a whole picture.

    >>> whole_picture_box(640, 480)
    (0.0, 0.0, 640.0, 480.0)
    """
    return 0.0, 0.0, float(width), float(height)


def _checked(box: Box) -> tuple[float, float, float, float]:
    try:
        values = [float(value) for value in box]
    except OverflowError:
        values = [math.inf]
    if len(values) != 4 or not all(abs(value) <= BOX_LIMIT for value in values) or min(values[2:]) < MIN_BOX_SIDE:
        raise InputError(
            f"box {tuple(values)} must be four numbers, (x, y, width, height), within {BOX_LIMIT:g} px of 0, the last "
            f"two at least {MIN_BOX_SIDE:g} px"
        )
    return values[0], values[1], values[2], values[3]
