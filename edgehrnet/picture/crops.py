"""A box around one person -> network input, and the coordinates there and back, as the published networks have it.

Pixel centers sit at integers, and a box's x, y, width and height are taken as COCO gives them. Two conventions differ
in what a box's width w becomes in an input W wide (likewise its height), and in where its center goes:

=========  ===========================================  ====================================================
``hrnet``  w pixels become W; the middle is W / 2        Simple Baselines, Xiao, ECCV 2018; HRNet, Sun, CVPR 2019
``udp``    w pixels become W - 1; it is (W - 1) / 2      UDP, Huang, CVPR 2020
=========  ===========================================  ====================================================

``hrnet`` scales both axes alike, ``udp`` each by its own. They turn opposite ways, as published.

A crop is sampled bilinearly, with black around the picture, and without averaging first: where a large person
shrinks a lot, fine detail aliases. The published networks were trained on such inputs, and so that is kept.
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
from edgehrnet.picture.letterbox import check_input_size

Box = Sequence[float]  # x, y of the top left corner, width, height; pixels of the picture
Axis = tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32], NDArray[np.float32]]
Points = tuple[NDArray[np.float64], NDArray[np.float64]]

CropConvention = Literal["hrnet", "udp"]
CONVENTIONS: tuple[CropConvention, ...] = get_args(CropConvention)
MARGIN = 1.25  # a box's sides grow by this: boxes are tight, and what is around a person helps to tell its limbs


@dataclass(frozen=True)
class Crop:
    """The map between a picture's pixels and the network input's for one box, exact and invertible.

    ``center`` (x, y) and ``size`` (width, height) of the box, in pixels of the picture, the margin included and in
    the input's shape; ``rotation`` in degrees. ``width`` and ``height`` are the picture's.

    >>> crop = Crop.fit((245, 140, 150, 200), (640, 480), (256, 192), "hrnet", margin=1)
    >>> crop.center, crop.forward(crop.center).tolist(), crop.scale
    ((320.0, 240.0), [96.0, 128.0], (1.28, 1.28))
    >>> crop.inverse(crop.forward([[100.0, 50.0]])).round(9).tolist()
    [[100.0, 50.0]]
    """

    center: tuple[float, float]
    size: tuple[float, float]
    rotation: float
    input_width: int
    input_height: int
    convention: CropConvention
    width: int
    height: int

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
    ) -> Crop:
        """Grow a box to the input's shape, then by ``margin`` and ``scale``, all around its center.

        ``box``: (x, y, width, height) in pixels, not clipped; ``picture_size`` = (width, height) of the picture,
        ``input_size`` = (height, width). Raises InputError for a box without an area or that is not finite.
        """
        check_input_size(input_size)
        if convention not in CONVENTIONS:
            raise InputError(f"crop convention {convention!r}; {nearest(str(convention), CONVENTIONS)}")
        x, y, w, h = _checked(box)
        factor = margin * scale
        if not (math.isfinite(factor) and factor > 0 and math.isfinite(rotation)):
            raise InputError(f"margin={margin}, scale={scale}, rotation={rotation}: finite, and the first two above 0")
        center = (x + w / 2, y + h / 2)
        aspect = input_size[1] / input_size[0]
        w, h = max(w, h * aspect), max(h, w / aspect)
        size = (w * factor, h * factor)
        return cls(center, size, float(rotation), input_size[1], input_size[0], convention, *picture_size)

    @cached_property
    def scale(self) -> tuple[float, float]:
        """(sx, sy): input pixels per picture pixel."""
        if self.convention == "hrnet":
            return (self.input_width / self.size[0],) * 2
        return (self.input_width - 1) / self.size[0], (self.input_height - 1) / self.size[1]

    @cached_property
    def matrix(self) -> NDArray[np.float64]:
        """``(2, 3)``: input x, y = matrix @ (picture x, y, 1)."""
        last = 0 if self.convention == "hrnet" else 1  # which pixel the box's far side falls on: W, or W - 1
        middle = np.array([self.input_width - last, self.input_height - last]) / 2
        angle = math.radians(-self.rotation if self.convention == "hrnet" else self.rotation)
        cos, sin = math.cos(angle), math.sin(angle)
        linear = np.array([[cos, -sin], [sin, cos]]) * np.array(self.scale)[:, None]
        return np.column_stack([linear, middle - linear @ self.center])

    def forward(self, xy: ArrayLike) -> NDArray[np.float64]:
        """Map ``(..., 2)`` x, y from picture pixels to input pixels."""
        points: NDArray[np.float64] = np.asarray(xy, np.float64) @ self.matrix[:, :2].T + self.matrix[:, 2]
        return points

    def inverse(self, xy: ArrayLike) -> NDArray[np.float64]:
        """Map ``(..., 2)`` x, y from input pixels to picture pixels."""
        points: NDArray[np.float64] = (np.asarray(xy, np.float64) - self.matrix[:, 2]) @ self._back.T
        return points

    @cached_property
    def _back(self) -> NDArray[np.float64]:
        return np.asarray(np.linalg.inv(self.matrix[:, :2]), np.float64)

    def cell_mask(self, grid: CellGrid) -> NDArray[np.bool_]:
        """Return ``(h, w)``: True where a heatmap cell's center is within half a cell of the picture."""
        x, y = grid.centers((self.input_height, self.input_width))
        half_x, half_y = (grid.stride / 2 / scale for scale in self.scale)
        return self._on_picture(self.source(x, y), half_x, half_y)

    def pixel_mask(self) -> NDArray[np.bool_]:
        """Return ``(input_height, input_width)``: True where a pixel's center is on the picture."""
        return self._on_picture(self.source(np.arange(self.input_width), np.arange(self.input_height)), 0, 0)

    def source(self, x: ArrayLike, y: ArrayLike) -> Points:
        """Return the picture's x and y, ``(h, w)`` each, of the input's columns ``x (w,)`` and rows ``y (h,)``."""
        dx = np.asarray(x, np.float64) - self.matrix[0, 2]
        dy = np.asarray(y, np.float64)[:, None] - self.matrix[1, 2]
        back = self._back
        return back[0, 0] * dx + back[0, 1] * dy, back[1, 0] * dx + back[1, 1] * dy

    def _on_picture(self, points: Points, slack_x: float, slack_y: float) -> NDArray[np.bool_]:
        x, y = points
        columns = (x >= -0.5 - slack_x) & (x <= self.width - 0.5 + slack_x)
        mask: NDArray[np.bool_] = columns & (y >= -0.5 - slack_y) & (y <= self.height - 0.5 + slack_y)
        return mask


def crop(image: NDArray[np.uint8], where: Crop) -> NDArray[np.uint8]:
    """Cut a box out of a picture; black outside of it.

    ``image`` is ``(H, W, 3)`` u8 RGB. Returns the network input ``(input_height, input_width, 4)`` u8, RGB and mask
    (255 picture, 0 outside). Bilinear; at its border the picture fades into the black within one pixel. Raises
    InputError if the crop was made for a picture of another size.

    >>> where = Crop.fit((0, 0, 64, 128), (64, 128), (64, 32), "hrnet", margin=2)
    >>> tensor = crop(np.full((128, 64, 3), 200, np.uint8), where)
    >>> tensor.shape, tensor[32, 16].tolist(), tensor[0, 0].tolist()
    ((64, 32, 4), [200, 200, 200, 255], [0, 0, 0, 0])
    """
    if image.shape[:2] != (where.height, where.width):
        raise InputError(f"a crop of a {where.width}x{where.height} picture, given {image.shape[1]}x{image.shape[0]}")
    sampled = _straight(image, where) if where.rotation == 0 else _turned(image, where)
    pixels = np.zeros((where.input_height, where.input_width, 4), np.uint8)
    pixels[..., :3] = sampled + np.float32(0.5)
    pixels[..., 3] = np.where(where.pixel_mask(), 255, 0)
    return pixels


def _straight(image: NDArray[np.uint8], where: Crop) -> NDArray[np.float32]:
    """Sample rows, then columns: five times as fast as pixel by pixel."""
    x, y = where.source(np.arange(where.input_width), np.arange(where.input_height))
    left, right, *x_weights = _taps(x[0], where.width)
    above, below, *y_weights = _taps(y[:, 0], where.height)
    part = image[:, left[0] : right[-1] + 1]
    total = np.zeros((where.input_height, 3 * where.input_width), np.float32)
    for row, y_weight in zip((above, below), y_weights, strict=True):
        rows = part[row]
        for column, x_weight in zip((left, right), x_weights, strict=True):
            taken = rows.take(column - left[0], axis=1).reshape(total.shape) * x_weight.repeat(3)
            taken *= y_weight[:, None]
            total += taken
    return total.reshape(where.input_height, where.input_width, 3)


def _turned(image: NDArray[np.uint8], where: Crop) -> NDArray[np.float32]:
    """Sample pixel by pixel."""
    x, y = where.source(np.arange(where.input_width), np.arange(where.input_height))
    left, right, *x_weights = _taps(x, where.width)
    above, below, *y_weights = _taps(y, where.height)
    total = np.zeros((where.input_height, where.input_width, 3), np.float32)
    for row, y_weight in zip((above, below), y_weights, strict=True):
        for column, x_weight in zip((left, right), x_weights, strict=True):
            total += image[row, column] * (x_weight * y_weight)[..., None]
    return total


def _taps(position: NDArray[np.float64], size: int) -> Axis:
    """Return the two neighbors of each position on an axis of ``size`` pixels, and their weights, 0 outside."""
    before = np.clip(np.floor(position), -2, size).astype(np.intp)
    share = (position - before).astype(np.float32)
    first = (1 - share) * ((before >= 0) & (before < size))
    second = share * ((before >= -1) & (before < size - 1))
    return np.clip(before, 0, size - 1), np.clip(before + 1, 0, size - 1), first, second


def clip_box(box: Box, width: int, height: int) -> tuple[float, float, float, float]:
    """Clip a labeled (x, y, width, height) box to the picture by the rule of HRNet's training.

    The rule counts from first to last pixel, so that a box loses one pixel of its sides; and a box that begins
    outside is moved in, not cut. One beside the picture comes out without an area, which Crop.fit refuses. HRNet's
    own evaluation does not clip detections.

    >>> clip_box((-10, 5, 50, 600), 640, 480)
    (0.0, 5.0, 49.0, 474.0)
    """
    x, y, w, h = (float(value) for value in box)
    left, top = max(0.0, x), max(0.0, y)
    right = min(width - 1.0, left + max(0.0, w - 1))
    bottom = min(height - 1.0, top + max(0.0, h - 1))
    return left, top, right - left, bottom - top


def whole_picture_box(width: int, height: int) -> tuple[float, float, float, float]:
    """Return the (x, y, width, height) box of a picture that shows one person.

    >>> whole_picture_box(640, 480)
    (0.0, 0.0, 640.0, 480.0)
    """
    return 0.0, 0.0, float(width), float(height)


def mpii_box(center: tuple[float, float], scale: float) -> tuple[float, float, float, float]:
    """Return the (x, y, width, height) box of an MPII label: its center, counted from 1, and scale in 200 pixels.

    The center moves down by 15 pixels times the scale, lest feet be cut off (Simple Baselines, Xiao, ECCV 2018).

    >>> mpii_box((301.0, 201.0), 2.0)
    (100.0, 30.0, 400.0, 400.0)
    """
    side = 200.0 * scale
    return center[0] - 1 - side / 2, center[1] + 15 * scale - 1 - side / 2, side, side


def _checked(box: Box) -> tuple[float, float, float, float]:
    values = [float(value) for value in box]
    if len(values) != 4 or not all(map(math.isfinite, values)) or values[2] <= 0 or values[3] <= 0:
        raise InputError(f"box {tuple(values)}: four finite numbers, x, y, width, height, the last two above 0")
    return values[0], values[1], values[2], values[3]
