"""Read and prepare the next pictures in other threads, while the network runs."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from edgehrnet.clock import Clock
from edgehrnet.errors import ImageError
from edgehrnet.picture.limits import Limits
from edgehrnet.picture.picture import Picture
from edgehrnet.picture.sources import read_picture
from edgehrnet.preparation import Boxes, Transform, as_xywh, prepare, shrinkage
from edgehrnet.sources.frame import Frame
from edgehrnet.spec import ModelSpec
from runtimes.cpus import thread_limit, visible_cpus

T = TypeVar("T")
Item = TypeVar("Item")
THREAD_NAME = "edgehrnet-read"
THREADS = 4  # at most, since reading more pictures at a time than the machine has cores only takes memory


@dataclass(frozen=True)
class Job:
    """A picture that was read, and what is needed to run the network on it."""

    picture: Picture
    """The picture, possibly at a reduced scale."""
    boxes: Boxes | None
    """``(N, 4)`` xywh, or None for the whole picture."""
    prepared: tuple[NDArray[np.uint8], tuple[Transform, ...]] | None
    """The network input of a whole picture. Those of boxes are prepared later, in parts."""
    clock: Clock
    """Times so far."""
    source: str | None = None
    """Path of the picture or name of the video, None if it was passed as data."""
    frame: int | None = None
    """Number of the frame or page."""
    time: float | None = None
    """Seconds from the beginning of the video."""


def read_job(
    image: Any,
    boxes: Boxes | None,
    color: str,
    *,
    spec: ModelSpec,
    exact: bool = False,
    detects: bool = False,
    trim: bool = False,
    limits: Limits | None = None,
) -> Job:
    """Read a picture, and prepare the input of a network for whole pictures if there are no boxes.

    Args:
        image: A picture, see ``sources.read_image``, or a Frame.
        boxes: ``(N, 4)`` xywh, see `prepare`.
        color: Channel order of an array, ``rgb`` or ``bgr``.
        spec: The spec of the network.
        exact: Read a JPEG file in full.
        detects: A detector will look at the whole picture, and give the boxes.
        trim: Leave padding out of the input, see `prepare`.
        limits: Pictures that are accepted.
    """
    clock, frame = Clock(), Frame.of(image)
    boxes = as_xywh(frame.boxes, "xywh") if boxes is None else boxes
    image = frame.picture() if callable(frame.picture) and not hasattr(frame.picture, "read") else frame.picture
    if isinstance(image, ImageError):
        raise image
    whole = image if isinstance(image, Picture) else None
    shrink = None if exact or detects else partial(shrinkage, spec, boxes)
    picture = whole or read_picture(image, color, shrink, limits)
    clock.lap("read")
    prepared = None
    if spec.crop is None and boxes is None and not detects:
        prepared = prepare(picture, spec, trim=trim)
        clock.lap("letterbox")
    return Job(picture, boxes, prepared, clock, frame.name, frame.frame, frame.time)


@contextmanager
def reading_ahead(
    items: Iterable[Item], read: Callable[[Item], T], *, waits: bool = True
) -> Iterator[Iterator[Callable[[], T]]]:
    """Call ``read`` for each item in other threads, ahead of the caller, and give an iterator of the outcomes in order.

    Calling an outcome returns what ``read`` returned, or raises what it raised. An error does not end the iteration.
    At most two items per thread are read ahead. No thread is left when the context ends.

    Args:
        items: Items to read. They are taken in the thread of the caller.
        read: Function that reads one item.
        waits: Only files and their bytes are read ahead, so that the picture of a camera is not held back until the
            next ones arrive. False reads all items ahead.
    """
    with closing(_outcomes(items, read, waits)) as outcomes:
        yield outcomes


def _outcomes(items: Iterable[Item], read: Callable[[Item], T], waits: bool) -> Generator[Callable[[], T], None, None]:
    threads = min(THREADS, thread_limit() or visible_cpus())
    ahead: deque[Future[T]] = deque()
    pool = ThreadPoolExecutor(threads, THREAD_NAME)
    try:
        for item in items:
            if waits and not Frame.of(item).ahead:
                while ahead:
                    yield ahead.popleft().result
                yield partial(read, item)
                continue
            ahead.append(pool.submit(read, item))
            if len(ahead) > 2 * threads:
                yield ahead.popleft().result
        while ahead:
            yield ahead.popleft().result
    finally:
        # Garbage collection may end an iteration in any thread, also in one of these, which cannot wait for itself.
        pool.shutdown(wait=not threading.current_thread().name.startswith(THREAD_NAME), cancel_futures=True)
