"""Refuse files that take too much memory or time as soon as Pillow opens them, by their first bytes."""

from __future__ import annotations

import io
from typing import IO

from edgehrnet.errors import CorruptImageError, ImageSizeError

MAX_FILE = 400_000_000  # bytes of one file: 50 million pixels with 16 bits per channel have 300 MB
# Pillow keeps two or three copies of what is not pixels in these files.
MAX_FILE_OF = {b"\x89PNG": 160_000_000, b"RIFF": 128_000_000, b"GIF8": 128_000_000}
MAX_METADATA = 16_000_000  # bytes of a JPEG before its pixels
BLOCK = 65_536
SCAN = 0xDA  # marker of the pixels of a JPEG


def check_first_bytes(file: IO[bytes], name: str) -> int:
    """Return the size of a file in bytes.

    Args:
        file: The file, open for reading and seeking.
        name: Name for messages.

    Raises:
        CorruptImageError: The file is empty.
        ImageSizeError: The file is too large for its kind.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(0)
    start = file.read(4)
    if not start:
        raise CorruptImageError(f"{name} is empty: zero bytes")
    largest = MAX_FILE_OF.get(start, MAX_FILE)
    if size > largest:
        raise ImageSizeError(f"{name} has {size / 1e6:.0f} MB; at most {largest / 1e6:.0f} MB are accepted")
    if start[:2] == b"\xff\xd8" and _pixels_begin(file) > MAX_METADATA:
        raise ImageSizeError(f"{name} has more than {MAX_METADATA / 1e6:.0f} MB of metadata; save it without them")
    file.seek(0)
    return size


def _pixels_begin(file: IO[bytes]) -> int:
    """Return where the pixels of a JPEG begin, or where it ends. Stop behind `MAX_METADATA`."""
    at = 2
    while at <= MAX_METADATA:
        file.seek(at)
        found = file.read(4)
        if len(found) < 4 or found[:2] == bytes([0xFF, SCAN]):
            break
        if found[0] != 0xFF or found[1] in (0x00, 0xFF):  # no marker, or filling before one
            following = file.read(BLOCK).find(b"\xff")
            at += 1 if b"\xff" in found[1:] else 4 + (following if following >= 0 else BLOCK)
        elif found[1] == 0x01 or 0xD0 <= found[1] <= 0xD9:  # markers without data
            at += 2
        else:
            at += 2 + int.from_bytes(found[2:], "big")
    return at
