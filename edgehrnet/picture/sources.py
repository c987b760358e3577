"""Read one picture, of a file or as data, as an RGB array.

Nothing is guessed: an ambiguous input raises an error.
"""

from __future__ import annotations

import io
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgehrnet.errors import ImageError, MissingImageError
from edgehrnet.picture.arrays import array_pixels, is_tensor, tensor_array
from edgehrnet.picture.files import Shrink, failures, read_file, unpacked
from edgehrnet.picture.headers import MAX_FILE
from edgehrnet.picture.limits import Limits
from edgehrnet.picture.picture import Picture

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
ACCEPTED = (
    "a path, the bytes of a picture file, a file opened for binary reading, a PIL image, an (H, W[, 3 or 4]) array, a "
    "(C, H, W) torch tensor"
)


def read_image(image: Any, color: str = "rgb", limits: Limits | None = None) -> NDArray[np.uint8]:
    """Read one picture as ``(H, W, 3)`` u8 RGB.

    - Files: JPEG, PNG, WebP, BMP, TIFF and GIF. The EXIF orientation is applied, and the first frame is used.
    - Arrays: ``(H, W)`` gray, ``(H, W, 3)`` or ``(H, W, 4)``.
    - Torch tensors: ``(C, H, W)`` with 1, 3 or 4 channels.

    Array and tensor values are u8, or floats in 0..1, which are multiplied by 255 and rounded. Alpha is dropped. Of a
    color file with 16 bits per channel the upper 8 bits are kept. A gray file with 16 bits is refused.

    Args:
        image: A path, the bytes of a picture file, a file opened for binary reading (which is read from its beginning),
            a PIL image, an array or a torch tensor.
        color: Channel order of an array or tensor, ``rgb`` or ``bgr``.
        limits: Formats and sizes that are accepted. None is ``Limits()``: at most 50 million pixels, and 512 MB of
            memory to unpack a file.

    Returns:
        A new array that shares no memory with ``image``.

    Raises:
        MissingImageError: If there is no such file.
        CorruptImageError: If the data is not a picture, damaged or empty.
        ImageSizeError: If the picture is too small or too large.
        ImageError: If the picture cannot be used for another reason.
    """
    return read_picture(image, color, None, limits).pixels


def read_picture(image: Any, color: str = "rgb", shrink: Shrink | None = None, limits: Limits | None = None) -> Picture:
    """Read one picture as `read_image` does, but a JPEG file at a reduced scale if ``shrink`` allows it.

    Args:
        image: See `read_image`.
        color: See `read_image`.
        shrink: Returns how many times the picture of some width and height, in pixels, may be reduced. The full picture
            is then read from the file's bytes, which are kept, when it is asked for. None reads every picture in full.
        limits: See `read_image`.

    Raises:
        ImageError: See `read_image`.
    """
    if not isinstance(color, str) or color not in ("rgb", "bgr"):
        raise ImageError(f"color={color!r} is not a channel order; accepted: 'rgb', 'bgr'")
    limits = limits or Limits()
    array = tensor_array(image) if is_tensor(image) else image
    if isinstance(array, np.ndarray):
        with failures("the array", "cannot be read"):
            return Picture.of(array_pixels(array, color, limits))
    if color != "rgb":
        raise ImageError("color='bgr' is for arrays; a file or PIL image defines its own channel order")
    if isinstance(image, Image.Image):
        limits.check_size(*image.size, "the PIL image")
        return Picture.of(unpacked(image, "the PIL image"))
    if isinstance(image, str | Path):
        return _from_path(image, shrink, limits)
    if isinstance(image, bytes | bytearray | memoryview):
        with failures("the picture given as bytes", "cannot be read"):  # such as a memoryview that was released
            data = bytes(image)
        return read_file(io.BytesIO(data), "the picture given as bytes", shrink, limits)
    if callable(getattr(image, "read", None)):
        return read_file(io.BytesIO(_content(image)), "the opened file", shrink, limits)
    raise ImageError(f"cannot read a picture from {type(image).__name__}; accepted: {ACCEPTED}")


def _content(file: Any) -> bytes:
    """Return all bytes of an opened file. Raise ImageError if it cannot be read, or gives text."""
    with failures("the opened file", "cannot be read"):
        if getattr(file, "seekable", bool)():
            file.seek(0)
        data = file.read(MAX_FILE + 1)
    if not isinstance(data, bytes):
        raise ImageError(f"the opened file gives {type(data).__name__} instead of bytes; open it with mode 'rb'")
    return data


def _from_path(source: str | Path, shrink: Shrink | None, limits: Limits) -> Picture:
    path = Path(source)
    # For names that no file can have, Path.is_file raises where os.path.isfile returns False.
    if not os.path.isfile(path):  # noqa: PTH113
        if re.match(r"[a-z][a-z0-9+.-]+:[/\\]", str(path), re.IGNORECASE):  # Path leaves one slash of ``https://...``
            raise MissingImageError(f"{str(source)!r} is an address; nothing is downloaded, save the picture first")
        what = "is no file" if os.path.exists(path) else "does not exist"  # noqa: PTH110
        what = "is a folder; stream() reads the pictures of a folder" if os.path.isdir(path) else what  # noqa: PTH112
        raise MissingImageError(f"picture {str(source)!r} {what}")
    try:
        file = path.open("rb")
    except OSError as error:
        raise ImageError(f"cannot open picture {str(path)!r}: {error.strerror}") from None
    with file:
        return read_file(file, f"picture {str(path)!r}", shrink, limits)
