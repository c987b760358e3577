"""Read files of several pictures page by page: multi-page TIFF, animated GIF and WebP."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from PIL import Image

from edgehrnet.errors import ImageError
from edgehrnet.picture.files import failures, unpacked
from edgehrnet.picture.headers import check_first_bytes
from edgehrnet.picture.limits import Limits
from edgehrnet.picture.picture import Picture
from edgehrnet.sources.frame import Frame

PAGE_SUFFIXES = (".tif", ".tiff", ".gif", ".webp")


def pages(path: Path, limits: Limits) -> Iterator[Frame]:
    """Yield the pages of a file, or the file itself if it has one page or cannot be read.

    One page is in memory at a time. A damaged page ends the file.

    Args:
        path: The file.
        limits: Pages that are accepted.
    """
    count = page_count(path, limits)
    if count < 2:
        yield Frame(path, ahead=True)
        return
    name, time = f"picture {str(path)!r}", 0.0
    with path.open("rb") as file, Image.open(file, formats=tuple(limits.formats)) as picture:
        is_timed, size = picture.format != "TIFF", os.fstat(file.fileno()).st_size
        for number in range(count):
            page = Frame(path, str(path), number, time if is_timed else None, ahead=True)
            try:
                with failures(name, f"is damaged at page {number}"):
                    picture.seek(number)
                limits.check_file(picture, size, name)
                pixels = unpacked(picture, name)
            except ImageError as error:
                yield replace(page, picture=error)
                return
            yield replace(page, picture=Picture.of(pixels))
            time += float(picture.info.get("duration", 0)) / 1000


def page_count(path: Path, limits: Limits) -> int:
    """Return the number of pages in a file, 1 if it cannot be read."""
    if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises for names that no file can have
        return 1
    try:
        with path.open("rb") as file, failures("", ""):
            check_first_bytes(file, "")
            if path.suffix.lower() == ".webp" and not _is_animated(file.read(21)):
                return 1
            file.seek(0)
            with Image.open(file, formats=tuple(limits.formats)) as picture:
                limits.check_file(picture, os.fstat(file.fileno()).st_size, "")
                return int(getattr(picture, "n_frames", 1))
    except (OSError, ImageError, ValueError):  # reading the picture says what is wrong
        return 1


def _is_animated(head: bytes) -> bool:
    """Read the flag in the first bytes of a WebP file, which Pillow would read in full."""
    return len(head) == 21 and head[12:16] == b"VP8X" and bool(head[20] & 2)
