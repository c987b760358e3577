"""Show on the terminal how many pictures are done, at which rate, and the time that remains."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

FEW = 5  # pictures for which nothing is shown
EVERY_S = 0.2
CLEAR = "\r\x1b[K"


class Progress:
    """A line on the standard error that is written over. Nothing is shown if that is not a terminal.

    Args:
        count: Returns the number of pictures, None if it is unknown. Called only for a terminal.
        shown: Whether to show anything.
    """

    def __init__(self, count: Callable[[], int | None], *, shown: bool = True) -> None:
        self._shown = shown and sys.stderr.isatty()
        self._count = count() if self._shown else None
        self._shown = self._shown and (self._count is None or self._count > FEW)
        self._start, self._last, self._is_on_screen = time.monotonic(), 0.0, False

    def clear(self) -> None:
        """Remove the line, before something else is printed."""
        if self._is_on_screen:
            print(CLEAR, end="", file=sys.stderr, flush=True)
            self._is_on_screen = False

    def show(self, done: int, earlier: int = 0) -> None:
        """Show how many pictures are done, at most five times a second. Those of an earlier run are left out."""
        now = time.monotonic()
        if self._shown and now - self._last >= EVERY_S:
            self._last, self._is_on_screen = now, True
            count = None if self._count is None else self._count - earlier
            print(CLEAR + line(done, count, now - self._start), end="", file=sys.stderr, flush=True)


def line(done: int, count: int | None, seconds: float) -> str:
    """Return the line.

    >>> line(120, 1000, 10.0), line(120, None, 10.0)
    ('120 of 1000 pictures  12.0/s  1:13 left', '120 pictures  12.0/s')
    """
    rate = done / max(seconds, 1e-9)
    if count is None or count < done:
        return f"{done} pictures  {rate:.1f}/s"
    left = "" if done == 0 else f"  {duration((count - done) / rate)} left"
    return f"{done} of {count} pictures  {rate:.1f}/s{left}"


def duration(seconds: float) -> str:
    """Return a duration as hours, minutes and seconds.

    >>> duration(73.4), duration(3723)
    ('1:13', '1:02:03')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
