"""Predict the pictures of a source one after the other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Any

from edgehrnet.errors import ImageError, SkippedPictureWarning, warn_caller
from edgehrnet.reading import Job, read_ahead
from edgehrnet.result import Result
from edgehrnet.sources.frame import Frame


class Stream(Generator[Result, None, None]):
    """Results of the pictures of a source, in order. Iterate over it once.

    Args:
        frames: Frames, or pictures as predict() accepts them.
        read: Reads and prepares the picture of a frame.
        run: Runs the network on it.
        skip: Whether to warn about a picture that cannot be read and go on, instead of raising its ImageError.
    """

    def __init__(
        self, frames: Iterable[Any], read: Callable[[Frame], Job], run: Callable[[Job], Result], *, skip: bool
    ) -> None:
        self._frames, self._read, self._run, self._skip = frames, read, run, skip
        self.skipped = 0
        """Pictures so far that could not be read."""
        self._results = self._iterate()

    def _iterate(self) -> Generator[Result, None, None]:
        for job in read_ahead(map(Frame.of, self._frames), self._read):
            try:
                read = job()
            except ImageError as error:
                if not self._skip:
                    raise
                self.skipped += 1
                warn_caller(f"skipped: {error}", SkippedPictureWarning)
                continue
            yield self._run(read)

    def send(self, value: None) -> Result:
        """Return the next result."""
        return self._results.send(value)

    def __next__(self) -> Result:
        """Return the next result."""
        return next(self._results)

    def throw(self, *error: Any) -> Result:
        """Raise an error where the stream waits."""
        return self._results.throw(error[0])

    def close(self) -> None:
        """End the stream. No thread or open file is left."""
        self._results.close()
