"""Keep the pictures of which a model is least certain, with a copy of each."""

from __future__ import annotations

import heapq
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgehrnet.drawing.files import save_picture
from edgehrnet.result import Result
from runtimes.writing import write_file

COPIED = (".jpg", ".jpeg", ".png")
"""Suffixes of pictures that every labeling tool shows, so that their files are copied as they are."""
ORIENTATION = 0x0112
"""EXIF tag of the orientation."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A picture to be labeled, and what the model predicts for it."""

    name: str
    """Name of its copy."""
    source: str
    """Path of the picture or the video that it comes from. Empty for data."""
    frame: int | None
    """Number of the frame or page."""
    size: tuple[int, int]
    """(height, width) in pixels."""
    points: NDArray[np.float64]
    """``(N, K, 2)`` keypoints in pixels of the picture."""
    confidence: NDArray[np.float32]
    """``(N, K)`` confidence of each."""
    boxes: NDArray[np.float64] | None
    """``(N, 4)`` boxes xywh that were given. None if there were none."""

    @property
    def certainty(self) -> float:
        """Mean confidence of the keypoints of the least certain instance."""
        return float(self.confidence.mean(axis=1).min())


class LeastCertain:
    """The pictures with the lowest certainty so far. Only their copies are kept, so that memory and disk are bounded.

    Args:
        folder: Folder for the copies.
        count: Largest number of pictures. None keeps all.
    """

    def __init__(self, folder: Path, count: int | None) -> None:
        self._folder, self._count = folder, count
        self._heap: list[tuple[float, int, Candidate]] = []
        self._names: set[str] = set()
        self.seen = 0
        """Number of pictures so far."""

    def add(self, result: Result) -> None:
        """Copy the picture of a result if it is among the least certain, and remove the one that it replaces."""
        number, self.seen = self.seen, self.seen + 1
        certainty = float(result.score.min())
        if self._count is not None and len(self._heap) == self._count:
            if certainty >= -self._heap[0][0]:
                return
            dropped = heapq.heappop(self._heap)[2]
            (self._folder / dropped.name).unlink()
            self._names.remove(dropped.name.casefold())
        heapq.heappush(self._heap, (-certainty, -number, self._stored(result)))

    def candidates(self) -> list[Candidate]:
        """Return the pictures, the least certain first."""
        return [candidate for *_, candidate in sorted(self._heap, key=lambda entry: (-entry[0], -entry[1]))]

    def _stored(self, result: Result) -> Candidate:
        original = _copyable(result)
        suffix = ".png" if original is None else original.suffix.lower()
        name = self._name(result, suffix)
        if original is None:
            save_picture(Image.fromarray(result.image), self._folder / name)
        else:
            write_file(self._folder / name, lambda path: shutil.copyfile(original, path))
        found = result.keypoints
        return Candidate(name, result.source or "", result.frame, found.size, found.xy, found.conf, result.boxes)

    def _name(self, result: Result, suffix: str) -> str:
        """Return a name without characters that addresses or tools may change, which no other copy has."""
        stem = re.sub(r"[^\w.-]+", "_", Path(result.source or "picture").stem).strip("._") or "picture"
        stem += "" if result.frame is None else f"-{result.frame:06d}"
        name, number = stem + suffix, 1
        while name.casefold() in self._names:
            number += 1
            name = f"{stem}-{number}{suffix}"
        self._names.add(name.casefold())
        return name


def _copyable(result: Result) -> Path | None:
    """Return the picture's file if every tool shows it as this project reads it, or None.

    Tools differ in whether they apply an EXIF orientation. Pictures that have one are stored turned.
    """
    if result.source is None or result.frame is not None:
        return None
    path = Path(result.source)
    if path.suffix.lower() not in COPIED or not path.is_file():
        return None
    with Image.open(path) as picture:
        # The method of PNG pictures would decode all of the picture first.
        turned = Image.Image.getexif(picture).get(ORIENTATION, 1) != 1
    return None if turned else path
