"""Decode video files, network streams and cameras with PyAV."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from edgehrnet.errors import CorruptImageError, ImageError, MissingExtraError, MissingImageError, UnsupportedError
from edgehrnet.picture.limits import Limits
from edgehrnet.picture.picture import Picture
from edgehrnet.sources.frame import Frame

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".wmv", ".flv", ".3gp")
SCHEMES = ("rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "tcp", "srt", "rtp")
TIMEOUT_S = 10.0  # to open an address, and between two frames
MAX_ERRORS = 100  # in a row, after which a video ends
OPTIONS = {"rtsp": {"rtsp_transport": "tcp"}}  # UDP loses packets, which shows as smeared frames
# A playlist that is named as a video must not open other files or addresses.
FILE_OPTIONS = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,matroska,avi,mpeg,mpegts,asf,flv,mpegvideo,h264,hevc",
}
# How FFmpeg calls cameras: format, and address of the camera with a number
CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}")}


def import_av() -> ModuleType:
    """Import PyAV. Raise MissingExtraError without it."""
    try:
        import av
    except ImportError as error:
        raise MissingExtraError(
            f"videos and cameras need PyAV ({error}); type: pip install 'edgehrnet[video]'"
        ) from None
    module: ModuleType = av
    return module


def is_stream_address(text: str) -> bool:
    """Recognize the address of a stream, such as ``rtsp://...``."""
    return text.partition("://")[0].lower() in SCHEMES and "://" in text


def without_password(address: str) -> str:
    """Return an address without its user and password.

    >>> without_password("rtsp://admin:1234@10.0.0.5/live")
    'rtsp://10.0.0.5/live'
    """
    return re.sub(r"(?<=://)[^/@]*@", "", address)


class Video:
    """A video that is decoded frame by frame.

    A damaged frame is yielded as a Frame with an ImageError, and decoding goes on behind it.

    Args:
        source: Path of a file, address of a stream, or number of a camera.
        limits: Frames that are accepted.

    Raises:
        MissingImageError: There is no such file, address or camera.
        CorruptImageError: It is not a video.
        MissingExtraError: PyAV is not installed.
    """

    def __init__(self, source: str | Path | int, limits: Limits) -> None:
        self.name = f"camera {source}" if isinstance(source, int) else without_password(str(source))
        """Value of ``Result.source``."""
        self._av, self._limits = import_av(), limits
        self._container = _open(self._av, source, self.name)
        try:
            self._stream = self._container.streams.video[0]
        except IndexError:
            self._container.close()
            raise CorruptImageError(f"{self.name!r} has no video stream") from None
        self._stream.thread_type = "AUTO"
        is_file = isinstance(source, str | Path) and not is_stream_address(str(source))
        self.is_live = not is_file and not self._container.duration
        """Whether frames come as time passes, and cannot wait."""
        if self.is_live:
            self._stream.thread_type = "SLICE"  # frame threads would delay each frame by some others

    @property
    def count(self) -> int | None:
        """Number of frames as the file states it, None if it does not."""
        if self._stream.frames:
            return int(self._stream.frames)
        rate, duration = self._stream.average_rate, self._container.duration
        return round(duration / 1e6 * rate) if duration and rate else None

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames."""
        start, rate = self._container.start_time, self._stream.average_rate
        first = None if start is None or self.is_live else start / 1e6
        with self._container:
            for number, found in enumerate(self._decoded()):
                if isinstance(found, ImageError):
                    yield Frame(found, self.name, number, ahead=not self.is_live)
                    continue
                time = found.time
                if time is None:
                    time = number / float(rate) if rate else None
                elif first is None:
                    first = time
                seconds = None if time is None else float(time) - (first or 0.0)
                read = partial(_pixels, found, self._limits, self.name)
                yield Frame(read, self.name, number, seconds, ahead=not self.is_live)

    def _decoded(self) -> Iterator[Any]:
        """Yield PyAV's frames, and an ImageError where one cannot be decoded."""
        packets, errors = self._container.demux(self._stream), 0
        while errors < MAX_ERRORS:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                for frame in packet.decode():
                    errors = 0
                    yield frame
            except self._av.error.EOFError:
                return
            except self._av.error.InvalidDataError as error:
                errors += 1
                yield CorruptImageError(f"video {self.name!r} is damaged: {error.strerror}")
            except self._av.error.FFmpegError as error:
                yield ImageError(f"cannot read video {self.name!r}: {error.strerror}")
                return

    def close(self) -> None:
        """Close the file."""
        self._container.close()


def _open(av: ModuleType, source: str | Path | int, name: str) -> Any:
    address, options = str(source), {}
    try:
        if isinstance(source, int):
            if sys.platform not in CAMERAS:
                raise UnsupportedError(
                    f"camera {source}: cameras have no numbers here; read yours with OpenCV and pass a generator of "
                    "its pictures with color='bgr'"
                )
            kind, pattern = CAMERAS[sys.platform]
            return av.open(pattern.format(source), format=kind)
        if is_stream_address(address):
            options = OPTIONS.get(address.partition(":")[0].lower(), {})
            return av.open(address, options=options, timeout=TIMEOUT_S)
        return av.open(address, options=FILE_OPTIONS)
    except (av.error.InvalidDataError, av.error.ArgumentError):  # the latter for a format that is not accepted
        raise CorruptImageError(f"{name!r} is not a video that FFmpeg can read") from None
    except (av.error.FFmpegError, OSError) as error:
        raise MissingImageError(f"cannot open {name!r}: {error.strerror}") from None


def _pixels(frame: Any, limits: Limits, name: str) -> Picture:
    """Return the upright picture of a frame."""
    limits.check_size(frame.width, frame.height, f"a frame of {name!r}")
    pixels = frame.to_ndarray(format="rgb24")
    turns = 0
    with suppress(AttributeError):  # PyAV before 14
        turns = round(frame.rotation / 90) % 4
    return Picture.of(np.ascontiguousarray(np.rot90(pixels, turns)) if turns else pixels)
