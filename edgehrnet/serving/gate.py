"""Let a limited number of requests in, and run them in a few threads."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from edgehrnet.serving.options import Options
from edgehrnet.serving.refused import RefusedError

T = TypeVar("T")


class Gate:
    """The threads of a server, and the requests that run or wait. All methods are for the thread of the event loop."""

    def __init__(self, options: Options) -> None:
        self._threads = ThreadPoolExecutor(options.workers, "edgehrnet-serve")
        self._limit, self._timeout = options.workers + options.queue, options.timeout
        self._running: set[Future[Any]] = set()
        self.inside = 0
        """Requests that were let in and are not answered yet."""
        self.closing = False

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Count a request as inside. Raise RefusedError if there are too many, or if the server is about to end."""
        if self.closing:
            raise RefusedError(503, "the server is shutting down; ask another one, or again later")
        if max(self.inside, len(self._running)) >= self._limit:
            raise RefusedError(429, f"{self._limit} requests are running or waiting already; ask again later")
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    async def run(self, action: Callable[[], T]) -> T:
        """Call ``action`` in one of the threads. Raise RefusedError if that takes too long."""
        future = self._threads.submit(action)
        self._running.add(future)
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda done: _call(loop, lambda: self._running.discard(done)))
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), self._timeout)
        except asyncio.TimeoutError:
            raise RefusedError(504, f"no answer within {self._timeout:g} s; ask again later, or for less") from None

    def close(self) -> None:
        """Wait for the threads."""
        self._threads.shutdown()


def _call(loop: asyncio.AbstractEventLoop, action: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the loop has ended
        loop.call_soon_threadsafe(action)
