"""Picture, and boxes if any -> network inputs, and the maps back. One function for training, calibration, runtime."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgehrnet.errors import InputError, UnsupportedError
from edgehrnet.picture.crops import MARGIN, Crop, crop, whole_picture_box
from edgehrnet.picture.letterbox import Letterbox, letterbox
from edgehrnet.spec import ModelSpec

Transform: TypeAlias = Letterbox | Crop


def prepare(
    image: NDArray[np.uint8],
    spec: ModelSpec,
    boxes: ArrayLike | None = None,
    *,
    rotation: float = 0.0,
    scale: float = 1.0,
) -> tuple[NDArray[np.uint8], tuple[Transform, ...]]:
    """Make the N network inputs of one picture: ``(N, height, width, 4)`` u8 RGB + mask, and their transforms.

    ``image`` is ``(H, W, 3)`` u8 RGB, ``boxes`` ``(N, 4)`` x, y, width, height in its pixels, as COCO has them. A
    network for crops looks at everything if there are none; one for whole pictures takes none: UnsupportedError.
    ``rotation`` in degrees and ``scale`` vary every crop, for augmentation; see Crop.
    """
    if spec.crop is None:
        if boxes is not None:
            raise UnsupportedError(f"{spec.name!r} looks at whole pictures; leave out boxes, or pass it cut-outs")
        pixels, box = letterbox(image, spec.input_size)
        return pixels[None], (box,)
    rows = [None] if boxes is None else check_boxes(boxes)
    crops = tuple(fit_crop(image, spec, row, rotation=rotation, scale=scale) for row in rows)
    inputs = np.zeros((len(crops), *spec.input_size, 4), np.uint8)
    for pixels, place in zip(inputs, crops, strict=True):
        pixels[...] = crop(image, place)
    return inputs, crops


def fit_crop(
    image: NDArray[np.uint8], spec: ModelSpec, box: ArrayLike | None, *, rotation: float = 0.0, scale: float = 1.0
) -> Crop:
    """Return the crop of a box x, y, width, height, `MARGIN` times as large; without a box, of the whole picture."""
    assert spec.crop is not None
    height, width = image.shape[:2]
    x, y, w, h = whole_picture_box(width, height) if box is None else np.asarray(box, np.float64).tolist()
    margin = 1.0 if box is None else MARGIN
    size = (width, height)
    return Crop.fit((x, y, w, h), size, spec.input_size, spec.crop, margin=margin, rotation=rotation, scale=scale)


def check_boxes(boxes: ArrayLike) -> NDArray[np.float64]:
    """Return boxes as ``(N, 4)``; InputError unless all are finite and have an area."""
    try:
        found = np.asarray(boxes, np.float64)
    except (TypeError, ValueError):
        found = np.full(1, np.nan)
    found = found.reshape(0, 4) if found.size == 0 else found
    if found.ndim != 2 or found.shape[1] != 4:
        raise InputError(
            "boxes: (N, 4) numbers, x, y, width, height in pixels of the picture; one box is [[x, y, w, h]]"
        )
    wrong = ~(np.isfinite(found).all(axis=1) & (found[:, 2:] > 0).all(axis=1))
    if wrong.any():
        first = int(wrong.argmax())
        raise InputError(f"boxes[{first}] = {found[first].tolist()}: x, y, width, height; finite, and larger than 0")
    return found


def formatted(inputs: NDArray[np.uint8], spec: ModelSpec) -> NDArray[Any]:
    """Bring ``(N, H, W, 4)`` u8 RGB + mask into the form that the file reads; see ModelSpec.

    ``float NCHW`` is ``(u8 / 255 - mean) / std``, RGB, float32.
    """
    pixels = np.ascontiguousarray(inputs[..., : spec.channels])
    if spec.input_format == "u8 NHWC":
        return pixels
    mean, std = np.array(spec.mean, np.float32), np.array(spec.std, np.float32)
    scaled = (pixels / np.float32(255) - mean) / std
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))
