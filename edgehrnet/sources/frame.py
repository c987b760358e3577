"""Define a picture of a source, with what is known about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, eq=False)
class Frame:
    """A picture that `Predictor.stream` takes, with its name and its place in a video.

    A generator may yield Frames to say what its arrays are::

        def camera():
            for number, (seconds, array) in enumerate(my_camera()):
                yield Frame(array, source="my camera", frame=number, time=seconds)

    The values of ``source``, ``frame`` and ``time`` appear in the Result.
    """

    picture: Any
    """A picture, see `read_image`, or a function without arguments that returns one. An ImageError is raised in its
    turn."""
    source: str | None = None
    """Name of the picture or the video. None: the path of a picture file, and nothing for data."""
    frame: int | None = None
    """Number of the frame or page, from 0. None if it is the only one."""
    time: float | None = None
    """Seconds from the beginning of the video. None for pictures."""
    boxes: Any = None
    """``(N, 4)`` boxes xywh in pixels of the picture, for networks that take crops. None: the whole picture."""
    ahead: bool = False
    """Whether the next pictures may be fetched before this one is processed. Not those of a live camera."""

    @classmethod
    def of(cls, item: Any) -> Frame:
        """Return a Frame as it is, and another picture as a Frame."""
        return item if isinstance(item, Frame) else cls(item, ahead=isinstance(item, str | Path | bytes | bytearray))

    @property
    def name(self) -> str | None:
        """Value of ``Result.source``."""
        return str(self.picture) if self.source is None and isinstance(self.picture, str | Path) else self.source
