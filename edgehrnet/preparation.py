"""Turn a picture and its boxes into network inputs. Training, calibration and runtime share this code."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgehrnet.errors import InputError, nearest
from edgehrnet.picture.boxes import BOX_FORMATS
from edgehrnet.picture.crops import BOX_LIMIT, MARGIN, MIN_BOX_SIDE, Crop, crop, whole_picture_box
from edgehrnet.picture.letterbox import MULTIPLE, Letterbox, letterbox
from edgehrnet.picture.parts import letterbox_part
from edgehrnet.picture.picture import Picture
from edgehrnet.spec import ModelSpec

Transform: TypeAlias = Letterbox | Crop
Boxes: TypeAlias = NDArray[np.float64]  # (N, 4) xywh
ACCEPTED_BOXES = f"x and y within {BOX_LIMIT:g} px of 0, and width and height from {MIN_BOX_SIDE:g} to {BOX_LIMIT:g} px"


def prepare(
    image: NDArray[np.uint8] | Picture,
    spec: ModelSpec,
    boxes: ArrayLike | None = None,
    *,
    trim: bool = False,
    rotation: float = 0.0,
    scale: float = 1.0,
) -> tuple[NDArray[np.uint8], tuple[Transform, ...]]:
    """Make the N network inputs of one picture.

    Args:
        image: ``(H, W, 3)`` u8 RGB, or as read at a reduced scale.
        spec: The spec of the network.
        boxes: ``(N, 4)`` xywh in pixels of the picture, as in COCO. A network for whole pictures takes each as if it
            were a picture, enlarged by `MARGIN`. None: the whole picture.
        trim: Leave out as much of the padding of a whole picture as possible, see `Letterbox.trimmed`.
        rotation: Degrees by which every crop is turned, for augmentation. See `Crop`.
        scale: Factor by which every crop is enlarged, for augmentation.

    Returns:
        ``(N, height, width, 4)`` u8 RGB + mask, of ``spec.input_size`` unless trimmed, and the N transforms from
        picture to input. All inputs are in memory at once.

    Raises:
        InputError: A box is not accepted, see `check_boxes`.
    """
    if spec.crop is None and boxes is None:
        multiple = MULTIPLE if trim else spec.stride
        pixels, box = letterbox(image, spec.input_size, multiple=multiple, trim=trim)
        return pixels[None], (box,)
    rows = [None] if boxes is None else check_boxes(boxes)
    inputs = np.zeros((len(rows), *spec.input_size, 4), np.uint8)
    places = []
    for n, row in enumerate(rows):
        inputs[n], place = _prepare_box(image, spec, row, rotation=rotation, scale=scale)
        places.append(place)
    return inputs, tuple(places)


def _prepare_box(
    image: NDArray[np.uint8] | Picture, spec: ModelSpec, box: Boxes | None, *, rotation: float, scale: float
) -> tuple[NDArray[np.uint8], Transform]:
    """Return the input of one box, and its transform."""
    if spec.crop is None and box is not None:
        return letterbox_part(image, box.tolist(), spec.input_size, multiple=spec.stride)
    place = fit_crop(image, spec, box, rotation=rotation, scale=scale)
    return crop(image, place), place


def shrinkage(spec: ModelSpec, boxes: Boxes | None, width: int, height: int) -> float:
    """Return how many times a picture may be reduced before it is prepared, 1 at least.

    Reduced, it still has two pixels for each pixel of every network input, for the letterbox to average. Boxes of a
    network for whole pictures are cut out of the full picture.
    """
    if spec.crop is None:
        if boxes is not None:
            return 1.0
        box = Letterbox.fit(width, height, spec.input_size)
        return max(1.0, min(width / box.content_width, height / box.content_height) / 2)
    rows = np.array([[0.0, 0.0, width, height]]) if boxes is None else boxes
    scales = (rows[:, 2:] / spec.input_size[::-1]).max(axis=1)
    return max(1.0, float(scales.min(initial=np.inf if len(rows) else 1.0)) * (1.0 if boxes is None else MARGIN) / 2)


def fit_crop(
    image: NDArray[np.uint8] | Picture,
    spec: ModelSpec,
    box: ArrayLike | None,
    *,
    rotation: float = 0.0,
    scale: float = 1.0,
) -> Crop:
    """Return the crop of a box xywh, enlarged by `MARGIN`, or of the whole picture if there is no box."""
    assert spec.crop is not None
    height, width = Picture.of(image).size
    x, y, w, h = whole_picture_box(width, height) if box is None else np.asarray(box, np.float64).tolist()
    margin = 1.0 if box is None else MARGIN
    return Crop.fit(
        (x, y, w, h),
        (width, height),
        spec.input_size,
        spec.crop,
        margin=margin,
        rotation=rotation,
        scale=scale,
        multiple=spec.stride,
    )


def as_xywh(boxes: ArrayLike | None, box_format: str) -> NDArray[np.float64] | None:
    """Return boxes of either format as ``(N, 4)`` xywh: left, top, width, height. Raise InputError as `check_boxes`.

    >>> as_xywh([[10, 20, 40, 60]], "xyxy").tolist()
    [[10.0, 20.0, 30.0, 40.0]]
    """
    if box_format not in BOX_FORMATS:
        raise InputError(f"box_format={box_format!r}; {nearest(str(box_format), BOX_FORMATS)}")
    if boxes is None:
        return None
    if box_format == "xywh":
        return check_boxes(boxes)
    corners = _box_array(boxes)
    with np.errstate(over="ignore", invalid="ignore"):  # differences of huge numbers, which are refused next
        sides = corners[:, 2:] - corners[:, :2]
    return _bounded(np.concatenate([corners[:, :2], sides], axis=1), corners, "left, top, right, bottom")


def boxes_of_pictures(boxes: Any, count: int, box_format: str) -> list[NDArray[np.float64] | None]:
    """Return the boxes of each of ``count`` pictures as `as_xywh` does. Raise InputError unless there are as many."""
    if boxes is None:
        return [as_xywh(None, box_format)] * count
    try:
        each = list(boxes)
    except TypeError:
        kind = type(boxes).__name__
        raise InputError(f"boxes is of type {kind}; for a list, pass one (N, 4) array or None per picture") from None
    if len(each) != count:
        raise InputError(f"got boxes for {len(each)} pictures but {count} pictures; pass one (N, 4) array per picture")
    found = []
    for number, rows in enumerate(each):
        try:
            found.append(as_xywh(rows, box_format))
        except InputError as error:
            raise InputError(f"picture {number}: {error}") from None
    return found


def check_boxes(boxes: ArrayLike) -> NDArray[np.float64]:
    """Return boxes xywh as ``(N, 4)``. Raise InputError unless all are within `BOX_LIMIT` and have an area."""
    found = _box_array(boxes)
    return _bounded(found, found, "x, y, width, height")


def _bounded(found: NDArray[np.float64], given: NDArray[np.float64], names: str) -> NDArray[np.float64]:
    """Return boxes xywh. Raise InputError, with the numbers as they were given, unless they are accepted."""
    # NaN is in no range.
    wrong = ~((np.abs(found) <= BOX_LIMIT).all(axis=1) & (found[:, 2:] >= MIN_BOX_SIDE).all(axis=1))
    if wrong.any():
        first = int(wrong.argmax())
        raise InputError(f"boxes[{first}] = {given[first].tolist()} ({names}); accepted: {ACCEPTED_BOXES}")
    return found


def _box_array(boxes: ArrayLike) -> NDArray[np.float64]:
    try:
        with np.errstate(over="ignore"):
            found = np.asarray(boxes, np.float64)
    except OverflowError:
        raise InputError(
            f"boxes{_too_large(boxes)} has a number too large for a float; accepted: {ACCEPTED_BOXES}"
        ) from None
    except (TypeError, ValueError, RecursionError):
        kind = type(boxes).__name__
        raise InputError(f"boxes of type {kind} are not (N, 4) numbers; one box is [[x, y, w, h]]") from None
    found = found.reshape(0, 4) if found.size == 0 else found
    if found.ndim != 2 or found.shape[1] != 4:
        raise InputError(f"boxes must be (N, 4) numbers, not of shape {found.shape}; one box is [[x, y, w, h]]")
    return found


def _too_large(boxes: Any) -> str:
    """Return the index of the first row that holds an integer too large for a float, such as ``[2]``."""
    for number, row in enumerate(boxes if isinstance(boxes, Iterable) else ()):
        try:
            np.asarray(row, np.float64)
        except OverflowError:
            return f"[{number}]"
    return ""


def channels_of(inputs: NDArray[np.uint8], spec: ModelSpec) -> NDArray[np.uint8]:
    """Return ``(..., 4)`` u8 RGB + mask as the channels that the network takes: gray, RGB or BGR, with or without mask.

    >>> channels_of(np.array([[255, 0, 0, 255]], np.uint8), ModelSpec("a", ("b",), channels=1)).tolist()
    [[76]]
    """
    if spec.channels == 1:
        # As integers: rounding is the same on every machine.
        weighted = inputs[..., :3].astype(np.uint32) @ np.array([299, 587, 114], np.uint32)
        return ((weighted + 500) // 1000).astype(np.uint8)[..., None]
    order = slice(spec.channels) if spec.color == "rgb" else [2, 1, 0, 3][: spec.channels]
    return np.ascontiguousarray(inputs[..., order])


def formatted(inputs: NDArray[np.uint8], spec: ModelSpec) -> NDArray[Any]:
    """Convert ``(N, H, W, 4)`` u8 RGB + mask to the file's input format, see ModelSpec.

    ``float`` is ``(u8 / 255 - mean) / std``, float32.
    """
    values: NDArray[Any] = channels_of(inputs, spec)
    kind, _, layout = spec.input_format.partition(" ")
    if kind == "float":
        mean, std = (np.array(numbers[: spec.channels], np.float32) for numbers in (spec.mean, spec.std))
        values = (values / np.float32(255) - mean) / std
    return values if layout == "NHWC" else np.ascontiguousarray(values.transpose(0, 3, 1, 2))
