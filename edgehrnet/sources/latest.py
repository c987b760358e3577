"""Take the newest picture of a live source, and drop those that came while the last one was processed."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from edgehrnet.sources.frame import Frame

CLOSE_S = 0.5  # to wait for the thread. A source that gives nothing for longer ends by itself, or with the process.


class Latest:
    """Frames of a source that another thread takes as they come. Only the newest one is kept.

    Args:
        items: Frames or pictures.
    """

    def __init__(self, items: Iterable[Any]) -> None:
        self.dropped = 0
        """Frames so far that were replaced by a newer one before they were asked for."""
        self._items = items
        self._change = threading.Condition()
        self._newest: Frame | None = None
        self._error: BaseException | None = None
        self._ended = self._stopped = False

    def __iter__(self) -> Iterator[Frame]:
        """Yield the newest frame each time. Raise what the source raises."""
        thread = threading.Thread(target=self._take, name="edgehrnet-latest", daemon=True)
        thread.start()
        try:
            while True:
                with self._change:
                    self._change.wait_for(lambda: self._newest is not None or self._ended)
                    frame, self._newest = self._newest, None
                if frame is None:
                    break
                yield frame
            if self._error is not None:
                raise self._error
        finally:
            self._stopped = True
            if thread is not threading.current_thread():  # garbage collection may end an iteration in any thread
                thread.join(CLOSE_S)

    def _take(self) -> None:
        items = iter(self._items)
        try:
            for item in items:
                if self._stopped:
                    break
                frame = replace(Frame.of(item), ahead=False)
                with self._change:
                    self.dropped += self._newest is not None
                    self._newest = frame
                    self._change.notify()
        except BaseException as error:  # raised again in the thread that iterates
            self._error = error
        finally:
            with suppress(AttributeError):
                items.close()  # type: ignore[attr-defined] # a generator closes its video here
            with self._change:
                self._ended = True
                self._change.notify()
