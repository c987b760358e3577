"""Unpack picture files with Pillow, a JPEG at the smallest scale that is asked for."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import IO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from edgehrnet.errors import CorruptImageError, ImageError, ImageSizeError
from edgehrnet.picture.picture import Picture, Pixels

MIN_SIDE = 8  # px, too small to find anything below
MAX_SIDE = 16_384  # px
MAX_PIXELS = 89_000_000  # 270 MB unpacked, just below the size at which Pillow warns of a decompression bomb
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


def read_file(file: IO[bytes], name: str, shrink: Shrink | None = None) -> Picture:
    """Read a picture file.

    Args:
        file: The file, open for reading and seeking.
        name: Name for messages.
        shrink: Returns how many times the picture of some width and height, in pixels, may be reduced. A JPEG is then
            read at 1/2, 1/4 or 1/8 if that is enough. None reads it in full.

    Raises:
        CorruptImageError: If the data is not a picture, damaged or empty.
        ImageSizeError: If the picture is too small or too large.
        ImageError: If its values have an unknown range.
    """
    if not file.read(1):
        raise CorruptImageError(f"{name} is empty: zero bytes")
    file.seek(0)
    try:
        picture = Image.open(file)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageSizeError(f"{name}: {error}") from None
    except UnidentifiedImageError:  # its message would show the address of a file object
        raise CorruptImageError(f"{name} is not a picture that Pillow can read") from None
    except Exception as error:  # Pillow's readers raise a dozen types of error on damaged data
        raise CorruptImageError(f"{name} is not a picture that Pillow can read: {error}") from None
    with picture:
        if shrink is not None and picture.format in DRAFTED:
            check_usable(picture, name)
            return _reduced(picture, name, file, shrink)
        return Picture.of(unpacked(picture, name))


def _reduced(picture: Image.Image, name: str, file: IO[bytes], shrink: Shrink) -> Picture:
    """Read a JPEG at the smallest scale that is enough, and keep its bytes for the full picture."""
    try:
        turn = _turn(picture)
        width, height = picture.size
        times = shrink(*((height, width) if turn[0] else (width, height)))
        step = next((step for step in STEPS if step <= times), 1)
        file.seek(0, io.SEEK_END)
        if step == 1 or file.tell() > 3 * width * height:  # such a file takes more memory than its picture
            return Picture.of(unpacked(picture, name))
        picture.draft(None, (width // step, height // step))
        reduced = -(-width // step), -(-height // step)
        if picture.size != reduced:
            raise ValueError(f"libjpeg reduces it to {picture.size} instead of {reduced}")
        pixels = unpacked(picture, name)
        file.seek(0)
        read_full = partial(_full, file.read(), name)
    except ImageError:
        raise
    except Exception as error:  # see read_file
        raise CorruptImageError(f"{name} is damaged: {error}") from None
    # libjpeg's blocks begin at the stored top-left corner. Mirrored, the incomplete ones come first.
    before = [(step * side - full) * flip for side, full, flip in zip(reduced, (width, height), turn[1:], strict=True)]
    size = (width, height) if turn[0] else (height, width)
    return Picture(pixels, size, step, (before[turn[0]], before[not turn[0]]), read_full)


def _full(data: bytes, name: str) -> Pixels:
    return read_file(io.BytesIO(data), name).pixels


def unpacked(picture: Image.Image, name: str) -> Pixels:
    """Return an opened picture as ``(H, W, 3)`` u8 RGB with its EXIF orientation applied.

    Args:
        picture: Opened picture, which is not changed.
        name: Name for the message.

    Raises:
        CorruptImageError: If the picture is damaged.
        ImageSizeError: If the picture is too small or too large.
        ImageError: If its values have an unknown range.
    """
    check_usable(picture, name)  # before unpacking
    try:
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
    except Exception as error:  # see read_file
        raise CorruptImageError(f"{name} is damaged: {error}") from None
    return pixels


def _turn(picture: Image.Image) -> Turn:
    return ORIENTATIONS.get(picture.getexif().get(ExifTags.Base.Orientation, 1), (False, False, False))


def _rgb(picture: Image.Image) -> NDArray[np.uint8]:
    if picture.mode == "P" and "transparency" in picture.info:
        picture = picture.convert("RGBA")  # avoids Pillow's warning that a direct conversion drops alpha
    return np.asarray(picture if picture.mode == "RGB" else picture.convert("RGB"))


def check_usable(picture: Image.Image, name: str) -> None:
    """Check the size and the mode of a picture, without unpacking it.

    Args:
        picture: Opened picture.
        name: Name for the message.

    Raises:
        ImageSizeError: If the picture is too small or too large.
        ImageError: If its values have an unknown range.
    """
    check_size(*picture.size, name)
    if picture.mode.startswith(("I", "F")):
        raise ImageError(
            f"{name} has mode {picture.mode} (more than 8 bits per channel), whose range of values is unknown; "
            "scale it to 0..255 and convert it to 'L'"
        )


def check_size(width: int, height: int, name: str) -> None:
    """Raise ImageSizeError unless a picture of this size, in pixels, is accepted."""
    if min(width, height) < MIN_SIDE:
        raise ImageSizeError(f"{name} is {width}x{height} px (width x height); each side needs at least {MIN_SIDE} px")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise ImageSizeError(
            f"{name} is {width}x{height} px (width x height); accepted: at most {MAX_SIDE} px per side and "
            f"{MAX_PIXELS // 10**6} million px in total; shrink it first"
        )
