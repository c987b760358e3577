"""Smooth recorded videos from both sides: fill gaps, then fit polynomials (Savitzky and Golay, 1964).

The value of a frame depends on a limited number of frames before and after it, so that only these are kept in memory.
The result is the same as if the whole video was known.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from edgehrnet.errors import InputError
from edgehrnet.result import Result
from edgehrnet.tracking.tracks import UNTRACKED, FrameClock

Points = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Offline:
    """Settings of smoothing with a look ahead.

    >>> Offline(window=4)
    Traceback (most recent call last):
    edgehrnet.errors.InputError: window=4; must be an odd number of frames above order=2
    """

    window: int = 11
    """Frames that a polynomial is fitted to, an odd number."""
    order: int = 2
    """Order of the polynomial."""

    def __post_init__(self) -> None:
        if self.order not in range(6):
            raise InputError(f"order={self.order!r}; must be a whole number from 0 to 5")
        if not isinstance(self.window, int) or self.window % 2 == 0 or self.window <= self.order:
            raise InputError(f"window={self.window!r}; must be an odd number of frames above order={self.order}")


def smooth_offline(
    results: Iterable[Result], settings: Offline, threshold: float, max_gap: float, fps: float
) -> Iterator[Result]:
    """Yield smoothed results, each when the frames that it depends on are known. For the arguments, see `smooth`."""
    clock, gap = FrameClock(fps), -1
    before: deque[Result] = deque()
    ahead: deque[Result] = deque()

    def emit() -> Result:
        current = ahead.popleft()
        smoothed = _at(current, [*before, current, *ahead], len(before), settings, threshold, gap)
        before.append(current.slim())
        while len(before) > gap + settings.window:
            before.popleft()
        return smoothed

    for result in results:
        dt = clock.step(result)
        if dt is None:  # another video begins
            while ahead:
                yield emit()
            before.clear()
            gap = -1
        elif gap < 0:
            gap = round(max_gap / dt)
        ahead.append(result)
        if gap >= 0 and len(ahead) > gap + settings.window:
            yield emit()
    gap = max(gap, 0)
    while ahead:
        yield emit()


def _at(result: Result, around: list[Result], place: int, settings: Offline, threshold: float, gap: int) -> Result:
    """Return one smoothed result, ``around[place]``."""
    xy, predicted = result.keypoints.xy.copy(), np.zeros(result.keypoints.conf.shape, bool)
    for n, key in enumerate([] if result.ids is None else result.ids.tolist()):
        if key == UNTRACKED:
            continue
        points, seen = _series(around, key, result.keypoints.conf.shape[1], threshold)
        runs: dict[tuple[int, int], list[int]] = {}  # frames without a gap around this one -> keypoints
        for k in range(xy.shape[1]):
            points[:, k], known = fill_gaps(points[:, k], seen[:, k], gap)
            if known[place]:
                runs.setdefault(_run(known, place, settings.window), []).append(k)
        for (start, stop), chosen in runs.items():
            weights = fit_weights(stop - start, settings.order, place - start)
            xy[n, chosen] = np.tensordot(weights, points[start:stop, chosen], 1)
            predicted[n, chosen] = ~seen[place, chosen]
    return replace(result, keypoints=replace(result.keypoints, xy=xy), predicted=predicted)


def _series(around: list[Result], key: int, count: int, threshold: float) -> tuple[Points, Mask]:
    """Return the keypoints ``(T, K, 2)`` of one instance, and ``(T, K)`` where they are confident."""
    points, seen = np.zeros((len(around), count, 2)), np.zeros((len(around), count), bool)
    for t, result in enumerate(around):
        at = np.flatnonzero(result.ids == key)
        if len(at):
            points[t], seen[t] = result.keypoints.xy[at[0]], result.keypoints.conf[at[0]] >= threshold
    return points, seen


def fill_gaps(points: Points, seen: Mask, gap: int) -> tuple[Points, Mask]:
    """Interpolate gaps of at most ``gap`` frames in points ``(T, 2)``, and return where points are known.

    >>> points, known = fill_gaps(np.array([[0.0, 0], [9, 9], [2, 4]]), np.array([True, False, True]), 1)
    >>> points.tolist(), known.tolist()
    ([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0]], [True, True, True])
    """
    at = np.flatnonzero(seen)
    filled, known = points.copy(), seen.copy()
    for a, b in zip(at[:-1].tolist(), at[1:].tolist(), strict=True):
        if 1 < b - a <= gap + 1:
            share = np.arange(1, b - a)[:, None] / (b - a)
            filled[a + 1 : b] = points[a] + share * (points[b] - points[a])
            known[a + 1 : b] = True
    return filled, known


def _run(known: Mask, place: int, window: int) -> tuple[int, int]:
    """Return the first frame of the window around ``place``, and the frame after its last one.

    At the ends of the frames without a gap, it is the first or last whole window. If they are fewer, it is all of them.
    """
    missing = np.flatnonzero(~known)
    start = int(missing[missing < place].max(initial=-1)) + 1
    stop = int(missing[missing > place].min(initial=len(known)))
    first = max(start, min(place - window // 2, stop - window))
    return first, min(first + window, stop)


@lru_cache(maxsize=256)
def fit_weights(window: int, order: int, place: int) -> NDArray[np.float64]:
    """Return the weights ``(window,)`` of a window's points in the least-squares polynomial's value at ``place``.

    >>> fit_weights(5, 2, 2).round(3).tolist()
    [-0.086, 0.343, 0.486, 0.343, -0.086]
    """
    powers = np.vander(np.arange(window) - place, min(order, window - 1) + 1, increasing=True)
    weights: NDArray[np.float64] = np.linalg.pinv(powers)[0]
    return weights
