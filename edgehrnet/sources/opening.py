"""Open a source of any kind, and yield its pictures one by one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edgehrnet.errors import InputError
from edgehrnet.picture.arrays import is_tensor
from edgehrnet.picture.limits import Limits
from edgehrnet.picture.sources import SUFFIXES
from edgehrnet.sources.files import Files, is_address
from edgehrnet.sources.frame import Frame
from edgehrnet.sources.latest import Latest
from edgehrnet.sources.pages import PAGE_SUFFIXES, page_count, pages
from edgehrnet.sources.tables import TABLE_SUFFIX, row_groups, rows_of
from edgehrnet.sources.video import VIDEO_SUFFIXES, Video, is_stream_address, without_password


class Source:
    """Frames of a source. Iterate over it once.

    Args:
        source: What to read:

            - a picture file, or a TIFF, GIF or WebP file of several pages or frames
            - a Parquet file with a column of picture files as bytes. It needs ``pip install "edgehrnet[parquet]"``
            - a folder, a glob pattern in which ``**`` stands for folders at any depth, or a list file (.txt) with one
              path per line
            - a video file, the address of a stream such as ``rtsp://...``, or the number of a camera, 0 for the first.
              They need ``pip install "edgehrnet[video]"``
            - a picture as data, see `read_image`
            - an iterable of pictures, Frames, and paths of files of any kind above except folders and patterns
        recursive: Whether to look into the subfolders of a folder.
        drop: Whether to leave out frames that arrive while an earlier one is processed, so that the next result is
            that of the newest frame. None: only for cameras, and streams without an end.
        limits: Pictures that are accepted.
    """

    def __init__(
        self, source: Any, *, recursive: bool = False, drop: bool | None = None, limits: Limits | None = None
    ) -> None:
        if isinstance(source, bool) or (isinstance(source, int) and source < 0):
            raise InputError(f"source={source!r}; use 0 for the first camera, or a path")
        self._source, self._drop, self._limits = source, drop, limits or Limits()
        self._recursive, self._files, self._latest = recursive, None, None

    _files: Files | None
    _latest: Latest | None

    @property
    def dropped(self) -> int:
        """Frames so far that were left out because an earlier one was still processed."""
        return 0 if self._latest is None else self._latest.dropped

    @property
    def left_out(self) -> Counter[str]:
        """Files of folders so far that are no pictures, by suffix."""
        return Counter() if self._files is None else self._files.left_out

    def __str__(self) -> str:
        return without_password(str(self._source))

    def count(self) -> int | None:
        """Return the number of pictures, None if it is not known before they have been read. Folders are walked."""
        source = self._source
        if isinstance(source, list | tuple):
            return len(source)
        if not isinstance(source, str | Path) or self.is_live():
            return 1 if is_picture(source) else None
        path = Path(source)
        if path.suffix.lower() in VIDEO_SUFFIXES and os.path.isfile(path):  # noqa: PTH113
            video = Video(path, self._limits)
            video.close()
            return video.count
        if path.suffix.lower() in PAGE_SUFFIXES and os.path.isfile(path):  # noqa: PTH113
            return page_count(path, self._limits)
        if path.suffix.lower() == TABLE_SUFFIX and os.path.isfile(path):  # noqa: PTH113
            return sum(row_groups(path))
        return sum(1 for _ in Files(source, recursive=self._recursive))

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames. Raise MissingImageError if there is no picture."""
        drop, frames = self._drop, self._frames()
        if drop is None and self.is_live():
            number = camera_number(self._source)
            video = Video(self._source if number is None else number, self._limits)
            drop, frames = video.is_live, iter(video)
        if drop:
            self._latest = Latest(frames)
            return iter(self._latest)
        return frames

    def is_live(self) -> bool:
        """Return whether the source is a camera or an address."""
        is_text = isinstance(self._source, str)
        return camera_number(self._source) is not None or (is_text and is_video_address(self._source))

    def _frames(self) -> Iterator[Frame]:
        source = self._source
        number = camera_number(source)
        if number is not None:
            yield from Video(number, self._limits)
        elif isinstance(source, str | Path):
            self._files = Files(source, recursive=self._recursive)
            for path in self._files if not (isinstance(source, str) and is_address(source)) else [source]:
                yield from frames_of_file(path, self._limits)
        elif isinstance(source, Iterable) and not is_picture(source):
            yield from self._of_items(source)
        else:
            yield Frame.of(source)

    def _of_items(self, items: Iterable[Any]) -> Iterator[Frame]:
        with closing(items) if isinstance(items, Generator) else nullcontext():
            for item in items:
                if isinstance(item, str | Path):
                    yield from frames_of_file(item, self._limits)
                else:
                    yield Frame.of(item)


def frames_of_file(path: str | Path, limits: Limits) -> Iterator[Frame]:
    """Yield the frames of a picture file, a file of several pages, a video file or the address of a stream."""
    if isinstance(path, str) and is_video_address(path):
        yield from Video(path, limits)
        return
    suffix = os.path.splitext(path)[1].lower()  # noqa: PTH122 - faster than Path
    if suffix in PAGE_SUFFIXES:
        yield from pages(Path(path), limits)
    elif suffix in VIDEO_SUFFIXES:
        yield from Video(path, limits)
    elif suffix == TABLE_SUFFIX:
        yield from rows_of(Path(path))
    else:
        yield Frame(path, ahead=True)


def is_video_address(text: str) -> bool:
    """Recognize the address of a stream. The address of a picture is none, since nothing is downloaded."""
    return is_stream_address(text) and Path(text.partition("?")[0]).suffix.lower() not in SUFFIXES


def camera_number(source: Any) -> int | None:
    """Return the number of a camera, given as an integer or as its digits, None for another source."""
    if isinstance(source, int):
        return source
    is_number = isinstance(source, str) and source.isascii() and source.isdigit() and len(source) < 4
    return int(source) if is_number and not os.path.exists(source) else None  # noqa: PTH110


def is_picture(source: Any) -> bool:
    """Recognize a picture that was passed as data."""
    return (
        isinstance(source, np.ndarray | bytes | bytearray | memoryview | Image.Image | Frame)
        or is_tensor(source)
        or hasattr(source, "read")
    )
