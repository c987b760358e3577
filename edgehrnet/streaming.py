"""Predict the pictures of a source one after the other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any, TypeAlias

from edgehrnet.errors import ImageError, InputError, SkippedPictureWarning, nearest, warn_caller
from edgehrnet.reading import Job, reading_ahead
from edgehrnet.result import Result
from edgehrnet.sources.frame import Frame
from edgehrnet.sources.opening import Source

ON_ERROR = ("raise", "skip")
OnError: TypeAlias = str | Callable[[ImageError], object]


class Stream(Generator[Result, None, None]):
    """Results of the pictures of a source, in order. Iterate over it once.

    Args:
        source: The source.
        read: Reads and prepares the picture of a frame.
        run: Runs the network on it.
        on_error: ``raise``, ``skip`` or a function, see `Predictor.stream`.
    """

    def __init__(
        self, source: Source, read: Callable[[Frame], Job], run: Callable[[Job], Result], on_error: OnError
    ) -> None:
        if not callable(on_error) and on_error not in ON_ERROR:
            raise InputError(f"on_error={on_error!r}; {nearest(str(on_error), ON_ERROR)}")
        self._read, self._run, self._on_error = read, run, on_error
        self.source = source
        """The source, which counts the files that it left out and the frames that it dropped."""
        self.skipped = 0
        """Pictures so far that could not be read."""
        self._is_done: Callable[[Frame], bool] | None = None
        self._results = self._iterate()

    @property
    def dropped(self) -> int:
        """Frames so far that were left out because an earlier one was still processed."""
        return self.source.dropped

    def leave_out(self, is_done: Callable[[Frame], bool]) -> None:
        """Leave out the frames for which a function returns True, before they are read.

        Raises:
            InputError: The source is a camera or an address, whose frames do not come again.
        """
        if self.source.is_live():
            raise InputError(f"the frames of {self.source} do not come again; write to another file, without resume")
        self._is_done = is_done

    def _wanted(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        return (frame for frame in frames if self._is_done is None or not self._is_done(frame))

    def _iterate(self) -> Generator[Result, None, None]:
        frames = iter(self.source)
        try:
            with reading_ahead(self._wanted(frames), self._read) as jobs:
                for job in jobs:
                    read = self._read_or_skip(job)
                    if read is not None:
                        yield self._run(read)
        finally:
            if isinstance(frames, Generator):
                frames.close()

    def _read_or_skip(self, job: Callable[[], Job]) -> Job | None:
        """Return the picture that was read, or None if it cannot be read and is left out."""
        try:
            return job()
        except ImageError as error:
            if self._on_error == "raise":
                raise
            self.skipped += 1
            if callable(self._on_error):
                self._on_error(error)
            else:
                warn_caller(f"skipped: {error}", SkippedPictureWarning)
            return None

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
