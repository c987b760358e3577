"""Limit which picture files are unpacked, by format, by pixels and by the memory that Pillow needs for them.

Memory was measured for files of 50 million pixels, see `memory_needed`. What Pillow holds at the same time counts: the
file's bytes, a decoder's buffers, its own pixels (4 bytes each, or 1 if they have one channel), and ours (3 bytes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from edgehrnet.errors import ImageError, ImageSizeError, InputError, nearest

MIN_SIDE = 8  # px, too small to find anything below
MAX_SIDE = 16_384  # px
MAX_PIXELS = 50_000_000  # 150 MB unpacked
MAX_MEMORY = 512_000_000  # bytes that unpacking one picture may take
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
PROGRAMS = ("EPS",)  # formats for which Pillow runs another program, which executes what the file says


@dataclass(frozen=True)
class Limits:
    """Picture files that are accepted.

    >>> Limits().max_pixels, Limits(formats=("png",)).formats
    (50000000, ('PNG',))
    """

    max_pixels: int = MAX_PIXELS
    """Pixels of a picture. The memory for unpacking is limited in proportion, but to no less than `MAX_MEMORY`."""
    formats: Sequence[str] = FORMATS
    """Pillow's names of the formats that are opened."""

    def __post_init__(self) -> None:
        """Check the values. Raise InputError if one is not accepted."""
        if not isinstance(self.max_pixels, int) or isinstance(self.max_pixels, bool) or self.max_pixels < MIN_SIDE**2:
            raise InputError(f"max_pixels={self.max_pixels!r}; use a whole number of at least {MIN_SIDE**2}")
        object.__setattr__(self, "formats", _checked_formats(self.formats))

    @property
    def max_memory(self) -> int:
        """Bytes that unpacking one picture may take."""
        return MAX_MEMORY * max(self.max_pixels, MAX_PIXELS) // MAX_PIXELS

    def check_size(self, width: int, height: int, name: str) -> None:
        """Raise ImageSizeError unless a picture of this size, in pixels, is accepted."""
        size = f"{name} is {width}x{height} px (width x height)"
        if min(width, height) < MIN_SIDE:
            raise ImageSizeError(f"{size}; each side needs at least {MIN_SIDE} px")
        if max(width, height) > MAX_SIDE or width * height > self.max_pixels:
            raise ImageSizeError(
                f"{size}; accepted: at most {MAX_SIDE} px per side and {self.max_pixels / 1e6:g} million px in total; "
                "shrink it first, or raise the limit with max_pixels="
            )

    def check_file(self, picture: Image.Image, file_bytes: int, name: str) -> None:
        """Check size, mode and memory of an opened picture file before it is unpacked.

        Raises:
            ImageSizeError: The picture is too small or too large.
            ImageError: Its values have an unknown range.
        """
        self.check_size(*picture.size, name)
        check_mode(picture, name)
        needed = memory_needed(picture, file_bytes)
        if needed > self.max_memory:
            width, height = picture.size
            raise ImageSizeError(
                f"{name} would take {needed / 1e6:.0f} MB of memory to unpack ({picture.format}, {width}x{height} px, "
                f"mode {picture.mode}, {file_bytes / 1e6:.0f} MB of file); accepted: {self.max_memory / 1e6:.0f} MB; "
                "shrink it, save it as a JPEG with 8 bits per channel, or raise the limit with max_pixels="
            )


def check_mode(picture: Image.Image, name: str) -> None:
    """Raise ImageError if the values of a picture have an unknown range."""
    if picture.mode.startswith(("I", "F")):
        raise ImageError(
            f"{name} has mode {picture.mode} (more than 8 bits per channel), whose range of values is unknown; "
            "scale it to 0..255 and convert it to 'L'"
        )


def memory_needed(picture: Image.Image, file_bytes: int) -> int:
    """Return how many bytes of memory an opened file takes at most while it is unpacked."""
    pixels, channels = picture.size[0] * picture.size[1], len(picture.getbands())
    own = 4 if channels > 1 else 1
    if picture.format in ("JPEG", "MPO"):
        # A progressive file has 2 bytes per coefficient. They are freed before our pixels are made.
        header = sum(len(data) for _, data in getattr(picture, "applist", ()))
        return pixels * max(own + 2 * channels, own + 3) + 3 * header
    if picture.format == "WEBP":  # two canvases, the frame as bytes, and Pillow's pixels
        return 16 * pixels + file_bytes
    if picture.format == "TIFF":
        raw = picture.tag_v2.get(259, 1) == 1  # type: ignore[attr-defined]
        return int(pixels * _tiff_memory(picture, channels, own, raw)) + (0 if raw else file_bytes)
    if picture.format == "BMP":  # read row by row
        return pixels * (own + 3)
    return pixels * (own + 3) + file_bytes * (3 if picture.format == "GIF" else 1)


def _tiff_memory(picture: Any, channels: int, own: int, raw: bool) -> float:
    """Return the bytes per pixel. A compressed strip may be the whole picture, and a turned picture is copied."""
    tags = picture.tag_v2
    height = int(tags.get(257) or picture.size[1])  # as stored, before turning
    strip = max(tags.get(258, (1,))) * max(int(tags.get(277, 1)), channels) / 8
    jpeg = 2 * channels if tags.get(259) in (6, 7) else 0
    part = 0.0 if raw else min(1.0, int(tags.get(323) or tags.get(278) or height) / height)
    return float(own + max(3, part * (strip + jpeg) + (own if tags.get(274, 1) != 1 else 0)))


def _checked_formats(formats: Sequence[str]) -> tuple[str, ...]:
    named = isinstance(formats, Sequence) and not isinstance(formats, str) and all(isinstance(n, str) for n in formats)
    if not named or not formats:
        raise InputError(f"formats={formats!r}; use a tuple of names, such as {FORMATS}")
    names = tuple(name.upper() for name in formats)
    if set(names) <= set(FORMATS):
        return names
    Image.init()
    for name in names:
        if name in PROGRAMS:
            raise InputError(f"formats={formats!r}: {name} files are programs, which are never run; convert them first")
        if name not in Image.OPEN:
            raise InputError(f"formats={formats!r}: {name!r}; {nearest(name, set(Image.OPEN) - set(PROGRAMS))}")
    return names
