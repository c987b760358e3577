"""Write videos with PyAV: H.264 at the times of the original's frames, with its sound."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image

from edgehrnet.errors import InputError
from edgehrnet.sources.video import import_av
from runtimes.writing import new_files

CLOCK = 90_000  # ticks per second of the times in the file
RATE = 25  # frames per second of a video whose frames have no times
OUTPUT_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")
ENCODERS = ("libx264", "libopenh264", "mpeg4")  # the first one that FFmpeg has
OPTIONS = {"libx264": {"crf": "20", "preset": "veryfast"}, "mpeg4": {"qscale": "3"}}


class VideoWriter:
    """A video that pictures are added to. The file appears whole when it is closed, and not at all after an error.

    Args:
        path: File to write: .mp4, .m4v, .mov or .mkv.
        sound_of: Video whose sound is copied, without encoding it again. None writes no sound.

    Raises:
        InputError: The suffix is another one.
        MissingExtraError: PyAV is not installed.
        WriteError: The file cannot be written.
    """

    def __init__(self, path: str | Path, *, sound_of: str | Path | None = None) -> None:
        self.path, self._av = Path(path), import_av()
        if self.path.suffix.lower() not in OUTPUT_SUFFIXES:
            raise InputError(f"{str(path)!r} is not a video that can be written; use {' '.join(OUTPUT_SUFFIXES)}")
        self._stack = ExitStack()
        folder = self._stack.enter_context(new_files(self.path))
        self._file = self._stack.enter_context(self._av.open(folder / self.path.name, "w"))
        self._sound = None if sound_of is None else self._open_sound(Path(sound_of))
        self._stream: Any = None
        self._last = -1
        self._size = (0, 0)

    def _open_sound(self, path: Path) -> Iterator[tuple[float, Any]] | None:
        """Open the sound of a video for copying, None if it has none."""
        source = self._stack.enter_context(self._av.open(path))
        if not source.streams.audio:
            return None
        self._sound_stream = source.streams.audio[0]
        self._start = (source.start_time or 0) / 1e6
        return self._packets(source)

    def _packets(self, source: Any) -> Iterator[tuple[float, Any]]:
        """Yield the packets of the sound with their times in seconds from the beginning of the video."""
        for packet in source.demux(self._sound_stream):
            if packet.dts is not None:
                shift = round(self._start / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                yield float(packet.dts * packet.time_base), packet

    def add(self, picture: Image.Image, time: float | None = None) -> None:
        """Add a picture.

        Args:
            picture: The picture. All have the size of the first one, others are scaled.
            time: Seconds from the beginning. It has to grow. None is 1/25 s after the last one.

        Raises:
            WriteError: The disk is full. The file is removed.
        """
        with self._removed_on_error():
            self._add(picture, time)

    def _add(self, picture: Image.Image, time: float | None) -> None:
        if self._stream is None:
            self._begin(picture)
        picture = picture.convert("RGB")
        pixels = np.asarray(picture if picture.size == self._size else picture.resize(self._size))
        # The encoder needs even sides.
        pixels = np.pad(pixels, ((0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)), mode="edge")
        frame = self._av.VideoFrame.from_ndarray(pixels, format="rgb24")
        ticks = self._last + CLOCK // RATE if time is None else round(time * CLOCK)
        self._last = max(ticks, self._last + 1, 0)
        frame.pts, frame.time_base = self._last, Fraction(1, CLOCK)
        self._file.mux(self._stream.encode(frame))
        self._copy_sound(self._last / CLOCK)

    def _begin(self, picture: Image.Image) -> None:
        codec = next(name for name in ENCODERS if name in self._av.codecs_available)
        stream = self._file.add_stream(codec, RATE, options=OPTIONS.get(codec, {}))
        self._size = picture.size
        stream.width, stream.height = (side + side % 2 for side in picture.size)
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, CLOCK)
        self._stream = stream
        if self._sound is not None:
            self._copied = self._file.add_stream_from_template(self._sound_stream)
            self._waiting = next(self._sound, None)

    def _copy_sound(self, until: float) -> None:
        """Copy the sound up to a time in seconds, so that it lies beside the pictures of this time."""
        while self._sound is not None and self._waiting is not None and self._waiting[0] <= until:
            packet = self._waiting[1]
            packet.stream = self._copied
            self._file.mux(packet)
            self._waiting = next(self._sound, None)

    def close(self) -> None:
        """Complete the file."""
        with self._removed_on_error():
            if self._stream is not None:
                self._file.mux(self._stream.encode(None))
                self._copy_sound(float("inf"))
            self._stack.close()

    @contextmanager
    def _removed_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._stack.__exit__(*sys.exc_info())  # raises a WriteError for one of the disk
            raise

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._stack.__exit__(kind, error, trace)
