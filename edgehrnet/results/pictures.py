"""Write what results show: pictures and videos with the keypoints drawn on them, and flattened pages."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

import numpy as np

from edgehrnet.drawing.files import JPEG_SUFFIXES, save_picture
from edgehrnet.drawing.video import OUTPUT_SUFFIXES, VideoWriter
from edgehrnet.errors import InputError, UnsupportedError, WriteError
from edgehrnet.result import Result
from edgehrnet.sources.files import is_address
from edgehrnet.sources.frame import Frame
from edgehrnet.sources.video import VIDEO_SUFFIXES
from edgehrnet.tracking.trails import Trails
from runtimes.writing import PARTIAL, write_file

CAMERA = "camera "  # beginning of the names of cameras


class Places:
    """Files in a folder that belong to pictures, in the subfolders in which the pictures are.

    Args:
        folder: The folder, which is made if it does not exist.
        roots: Folders of pictures. The folders below each of them appear in ``folder``, too.
        ending: Word before the suffix, such as ``keypoints``.
    """

    def __init__(self, folder: Path, roots: Iterable[Path], ending: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._roots, self._ending = folder, list(roots), ending

    def of(self, source: str, frame: int | None = None, suffix: str | None = None, instance: int | None = None) -> Path:
        """Return the file of a picture, of a frame of it, or of an instance in it.

        Args:
            source: Path of the picture.
            frame: Number that becomes part of the name.
            suffix: Suffix of the file. None: that of a JPEG, and .png for others.
            instance: Number that becomes part of the name.
        """
        has_file = not (is_address(source) or source.startswith(CAMERA))
        path = Path(source if has_file else re.sub(r"[^\w-]+", "-", source))
        inside = next((path.relative_to(root) for root in self._roots if path.is_relative_to(root)), Path(path.name))
        inside = Path(path.name) if ".." in inside.parts else inside
        if suffix is None:
            suffix = path.suffix.lower() if path.suffix.lower() in JPEG_SUFFIXES else ".png"
        number = ("" if frame is None else f".{frame:06}") + ("" if instance is None else f"-{instance}")
        return self.folder / inside.parent / f"{path.stem}{number}.{self._ending}{suffix}"

    def check(self, paths: Callable[[], Iterable[Path]]) -> None:
        """Raise InputError if two pictures have the same file. Takes 8 bytes per picture.

        Args:
            paths: Lists the pictures. It is called a second time to name the file.
        """
        digests = np.fromiter((self._digest(path) for path in paths()), np.uint64)
        values, counts = np.unique(digests, return_counts=True)
        twice = values[counts > 1]
        if len(twice):
            path = next(path for path in paths() if self._digest(path) == twice[0])
            raise InputError(
                f"{counts.max()} pictures would be written to {str(self.of(str(path)))!r}; use one folder for each"
            )

    def _digest(self, path: Path) -> int:
        name = os.fsencode(self.of(str(path), None, video_suffix(str(path))))
        return int.from_bytes(blake2b(name, digest_size=8).digest(), "big")


def is_video(source: str | None) -> bool:
    """Return whether a result's source is a video, a camera or a stream."""
    if source is None:
        return False
    return Path(source).suffix.lower() in VIDEO_SUFFIXES or source.startswith(CAMERA) or is_address(source)


def video_suffix(source: str) -> str | None:
    """Return the suffix of the video into which a source is drawn, None if it becomes pictures.

    >>> video_suffix("a.mov"), video_suffix("a.avi"), video_suffix("camera 0"), video_suffix("a.jpg")
    ('.mov', '.mkv', '.mp4', None)
    """
    if not is_video(source):
        return None
    suffix = Path(source).suffix.lower()
    if suffix not in VIDEO_SUFFIXES or is_address(source):
        return ".mp4"
    return suffix if suffix in OUTPUT_SUFFIXES else ".mkv"


class Overlays:
    """Pictures and videos with keypoints drawn on them.

    A video becomes a video with the times and the sound of the original. It appears when the results of another source
    are added, or when this is closed.

    Args:
        places: Where to write.
        heatmaps: Whether to draw the heatmaps, too.
        trails: Draws the pictures with the ways of the keypoints, instead.
    """

    def __init__(self, places: Places, *, heatmaps: bool = False, trails: Trails | None = None) -> None:
        self.places, self._heatmaps, self._trails = places, heatmaps, trails
        self.count = 0
        """Files so far."""
        self._video: tuple[str, VideoWriter] | None = None

    def path_of(self, source: str, frame: int | None) -> Path:
        """Return the file in which a result is drawn."""
        suffix = video_suffix(source)
        return self.places.of(source, frame if suffix is None else None, suffix)

    def has(self, frame: Frame) -> bool:
        """Return whether the file of a frame exists, and is not one that a killed process was about to replace."""
        if frame.name is None:
            return False
        path = self.path_of(frame.name, frame.frame)
        return path.exists() and not _mark(path).exists()

    def add(self, result: Result) -> Path:
        """Draw a result, and return the file in which it is or will be.

        Raises:
            WriteError: The file cannot be written.
        """
        source = str(result.source)
        path = self.path_of(source, result.frame)
        if self._video is not None and self._video[0] != source:
            self.close()
        picture = result.plot(heatmaps=self._heatmaps) if self._trails is None else self._trails.plot(result)
        path.parent.mkdir(parents=True, exist_ok=True)
        if is_video(source):
            if self._video is None:
                if path.exists():
                    write_file(_mark(path), "")
                self._video = source, VideoWriter(path, sound_of=source if Path(source).is_file() else None)
                self.count += 1
            self._video[1].add(picture, result.time)
        else:
            try:
                save_picture(picture, path)
            except WriteError:
                if path.exists():  # it is older than this run
                    with suppress(WriteError):
                        write_file(_mark(path), "")
                raise
            _mark(path).unlink(missing_ok=True)
            self.count += 1
        return path

    def close(self) -> None:
        """Complete the video in work."""
        if self._video is not None:
            video, self._video = self._video[1], None
            video.close()
            _mark(video.path).unlink(missing_ok=True)

    def abandon(self, error: BaseException) -> None:
        """Remove the video in work."""
        if self._video is not None:
            video, self._video = self._video[1], None
            with suppress(Exception):
                video.__exit__(type(error), error, None)


class Pages:
    """Flattened pages of the documents that were found.

    Args:
        places: Where to write.
        min_score: Smallest score of a document.
    """

    def __init__(self, places: Places, min_score: float) -> None:
        self.places, self._min_score = places, min_score

    def has(self, frame: Frame) -> bool:
        """Return whether no page of a frame is known to be missing. Not every picture shows a page."""
        return frame.name is not None and not self._mark_of(frame.name, frame.frame).exists()

    def add(self, result: Result) -> None:
        """Write the pages of a result.

        Raises:
            WriteError: A page cannot be written. An empty file says so to a later run.
        """
        source = str(result.source)
        mark = self._mark_of(source, result.frame)
        try:
            for n in np.flatnonzero(result.score >= self._min_score).tolist():
                with suppress(UnsupportedError):  # a corner is not certain enough
                    page = result.rectify(instance=n)
                    path = self._path_of(source, result.frame, None if result.boxes is None else n)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    save_picture(page, path)
        except WriteError:
            with suppress(WriteError):
                write_file(mark, "")
            raise
        mark.unlink(missing_ok=True)

    def _path_of(self, source: str, frame: int | None, instance: int | None = None) -> Path:
        return self.places.of(source, frame, ".jpg" if is_video(source) else None, instance)

    def _mark_of(self, source: str, frame: int | None) -> Path:
        return _mark(self._path_of(source, frame))


def _mark(path: Path) -> Path:
    """Return the empty file that says that a file is being replaced, or could not be."""
    return path.with_name(path.name + PARTIAL)
