"""Unpack picture files with Pillow, a JPEG at the smallest scale that is asked for."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from edgehrnet.errors import CorruptImageError, ImageError, ImageSizeError
from edgehrnet.picture.headers import check_first_bytes
from edgehrnet.picture.limits import Limits, check_mode
from edgehrnet.picture.picture import Picture, Pixels

STRIP_PIXELS = 2**20  # pixels that are converted at a time
DRAFTED = ("JPEG", "MPO")  # MPO is a JPEG with more pictures behind it
STEPS = (8, 4, 2)  # by which libjpeg reduces: each pixel is the mean of a block
# How the stored pixels of each EXIF orientation lie in the upright picture: transposed, mirrored in x, mirrored in y.
ORIENTATIONS = {
    2: (False, True, False),
    3: (False, True, True),
    4: (False, False, True),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}
Shrink: TypeAlias = Callable[[int, int], float]  # width and height of a picture -> its pixels per pixel needed
Turn: TypeAlias = tuple[bool, bool, bool]


def read_file(file: IO[bytes], name: str, shrink: Shrink | None = None, limits: Limits | None = None) -> Picture:
    """Read a picture file.

    Args:
        file: The file, open for reading and seeking.
        name: Name for messages.
        shrink: Returns how many times the picture of some width and height, in pixels, may be reduced. A JPEG is then
            read at 1/2, 1/4 or 1/8 if that is enough. None reads it in full.
        limits: What is accepted. None is ``Limits()``.

    Raises:
        CorruptImageError: If the data is not a picture, damaged or empty.
        ImageSizeError: If the picture is too small or too large, or there is not enough memory.
        ImageError: If its values have an unknown range, or the disk cannot be read.
    """
    limits = limits or Limits()
    with failures(name, "is not a picture that Pillow can read"):
        size = check_first_bytes(file, name)
        try:
            picture = Image.open(file, formats=tuple(limits.formats))
        except UnidentifiedImageError:  # its message would show the address of a file object
            accepted = ", ".join(limits.formats)
            raise CorruptImageError(f"{name} is not a picture in a format that is opened: {accepted}") from None
    with picture, failures(name, "is damaged"):
        limits.check_file(picture, size, name)
        if shrink is None or picture.format not in DRAFTED:
            return Picture.of(unpacked(picture, name))
        turn = _turn(picture)
        width, height = picture.size
        times = shrink(*((height, width) if turn[0] else (width, height)))
        step = next((step for step in STEPS if step <= times), 1)
        if step == 1 or size > 3 * width * height:  # such a file takes more memory than its picture
            return Picture.of(unpacked(picture, name))
        pixels = _draft(picture, name, step)
        file.seek(0)
        read_full = partial(_full, file.read(), name, limits)
    # libjpeg's blocks begin at the stored top-left corner. Mirrored, the incomplete ones come first.
    before = [(-side % step) * mirrored for side, mirrored in zip((width, height), turn[1:], strict=True)]
    upright = (width, height) if turn[0] else (height, width)
    return Picture(pixels, upright, step, (before[turn[0]], before[not turn[0]]), read_full)


def _draft(picture: Image.Image, name: str, step: int) -> Pixels:
    """Unpack a JPEG reduced to blocks of ``step`` x ``step`` pixels."""
    width, height = picture.size
    picture.draft(None, (width // step, height // step))
    reduced = -(-width // step), -(-height // step)
    if picture.size != reduced:
        raise ValueError(f"libjpeg reduces it to {picture.size} instead of {reduced}")
    return unpacked(picture, name)


def _full(data: bytes, name: str, limits: Limits) -> Pixels:
    return read_file(io.BytesIO(data), name, None, limits).pixels


@contextmanager
def failures(name: str, what: str) -> Iterator[None]:
    """Raise every error of Pillow or of the disk as an ImageError, with ``name`` and ``what`` in its message."""
    try:
        yield
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageSizeError(f"{name}: {error}") from None
    except Exception as error:  # Pillow's readers raise a dozen types of error on damaged data
        if isinstance(error, MemoryError) or "out of memory" in str(error):
            raise ImageSizeError(f"there is not enough memory to read {name}") from error
        if isinstance(error, OSError) and error.errno is not None:
            raise ImageError(f"cannot read {name}: {error.strerror}") from error
        raise CorruptImageError(f"{name} {what}: {error}") from None


def unpacked(picture: Image.Image, name: str) -> Pixels:
    """Return an opened picture as ``(H, W, 3)`` u8 RGB with its EXIF orientation applied.

    Args:
        picture: Opened picture, which is not changed.
        name: Name for the message.

    Raises:
        CorruptImageError: If the picture is damaged.
        ImageSizeError: If there is not enough memory.
        ImageError: If its values have an unknown range.
    """
    check_mode(picture, name)
    with failures(name, "is damaged"):
        picture.load()  # may turn a TIFF
        transposed, *mirrored = _turn(picture)
        width, height = picture.size
        pixels = np.empty((width, height, 3) if transposed else (height, width, 3), np.uint8)
        stored = pixels.transpose(1, 0, 2) if transposed else pixels
        stored = stored[:: -1 if mirrored[1] else 1, :: -1 if mirrored[0] else 1]
        rows = max(1, STRIP_PIXELS // width)
        for top in range(0, height, rows):
            strip = picture if rows >= height else picture.crop((0, top, width, min(top + rows, height)))
            stored[top : top + rows] = _rgb(strip)
    return pixels


def _turn(picture: Image.Image) -> Turn:
    return ORIENTATIONS.get(picture.getexif().get(ExifTags.Base.Orientation, 1), (False, False, False))


def _rgb(picture: Image.Image) -> NDArray[np.uint8]:
    if picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")  # avoids Pillow's warning that a direct conversion drops alpha
    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))
