"""Smooth recorded videos from both sides: fill gaps, then fit polynomials (Savitzky and Golay, 1964).

The value of a frame depends on a limited number of frames before and after it, so that only these are kept in memory.
The result is the same as if the whole video was known.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edgehrnet.errors import InputError, MissingExtraError
from edgehrnet.result import Result
from edgehrnet.tracking.tracks import UNTRACKED, FrameClock

Points = NDArray[np.float64]
Mask = NDArray[np.bool_]
SavGol = Callable[..., Points]


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
    return _smooth(results, settings, threshold, max_gap, fps, _savgol_filter())


def _smooth(
    results: Iterable[Result], settings: Offline, threshold: float, max_gap: float, fps: float, savgol: SavGol
) -> Iterator[Result]:
    clock, gap = FrameClock(fps), -1
    before: deque[Result] = deque()
    ahead: deque[Result] = deque()

    def emit() -> Result:
        current = ahead.popleft()
        smoothed = _at(current, [*before, current, *ahead], len(before), settings, threshold, gap, savgol)
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


def _at(
    result: Result, around: list[Result], place: int, settings: Offline, threshold: float, gap: int, savgol: SavGol
) -> Result:
    """Return one smoothed result, ``around[place]``."""
    xy, predicted = result.keypoints.xy.copy(), np.zeros(result.keypoints.conf.shape, bool)
    for n, key in enumerate([] if result.ids is None else result.ids.tolist()):
        if key == UNTRACKED:
            continue
        points, seen = _series(around, key, result.keypoints.conf.shape[1], threshold)
        for k in range(xy.shape[1]):
            filled, known = fill_gaps(points[:, k], seen[:, k], gap)
            if known[place]:
                xy[n, k] = _fitted(filled, known, place, settings, savgol)
                predicted[n, k] = not seen[place, k]
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


def _fitted(points: Points, known: Mask, place: int, settings: Offline, savgol: SavGol) -> Points:
    """Return the smoothed point at ``place``, from the frames around it without a gap."""
    missing = np.flatnonzero(~known)
    start = int(missing[missing < place].max(initial=-1)) + 1
    stop = int(missing[missing > place].min(initial=len(known)))
    # A point near an end of the run is on the polynomial of the first or last whole window.
    start, stop = max(start, place - settings.window + 1), min(stop, place + settings.window)
    window = min(settings.window, (stop - start - 1) // 2 * 2 + 1)
    if window <= settings.order:
        window, settings = 1, replace(settings, order=0)  # too few frames, which stay as they are
    fitted: Points = savgol(points[start:stop], window, settings.order, axis=0)[place - start]
    return fitted


def _savgol_filter() -> SavGol:
    try:
        from scipy.signal import savgol_filter
    except ImportError:
        raise MissingExtraError('smoothing "offline" needs SciPy; type: pip install "edgehrnet[video]"') from None
    solver: SavGol = savgol_filter
    return solver
