"""Smooth the keypoints of a video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from typing import TypeAlias

import numpy as np

from edgehrnet.decoding import CONFIDENCE_THRESHOLD
from edgehrnet.errors import InputError, check_keywords, nearest
from edgehrnet.result import Result
from edgehrnet.tracking.filters import Filter, Kalman, OneEuro, check_setting
from edgehrnet.tracking.offline import Offline, smooth_offline
from edgehrnet.tracking.tracks import FPS, UNTRACKED, FrameClock, track

Method: TypeAlias = OneEuro | Kalman | Offline
METHODS: Mapping[str, Method] = {"one-euro": OneEuro(), "kalman": Kalman(), "offline": Offline()}


@check_keywords
def smooth(
    results: Iterable[Result],
    method: str | Method = "kalman",
    *,
    threshold: float = CONFIDENCE_THRESHOLD,
    max_gap: float = 0.5,
    fps: float = FPS,
) -> Iterator[Result]:
    """Yield the results of a video with smoothed keypoints.

    A keypoint below the threshold is not followed. It is predicted for at most ``max_gap`` seconds, and marked in
    ``result.predicted``. Its confidence stays the network's. Results without ids get them from `track`.

    ::

        for result in smooth(predictor.stream("video.mp4"), "one-euro"):
            ...

    Args:
        results: Results in order, such as those of ``predictor.stream`` or of `track`.
        method: ``one-euro`` and ``kalman`` yield each result at once. ``offline`` looks ahead: it has no lag, fills
            gaps from both sides, and yields results some frames later. Or settings: `OneEuro`, `Kalman`, `Offline`.
        threshold: Smallest confidence of a keypoint that is followed.
        max_gap: Seconds for which a keypoint is predicted at most.
        fps: Frames per second of results without ``time``.

    Raises:
        InputError: A setting is not accepted.
        MissingExtraError: The model finds several instances and SciPy is not installed.
    """
    settings = METHODS.get(method) if isinstance(method, str) else method
    if not isinstance(settings, OneEuro | Kalman | Offline):
        raise InputError(f"method={method!r}; {nearest(str(method), METHODS)}")
    check_setting("threshold", threshold)
    check_setting("max_gap", max_gap)
    check_setting("fps", fps, above=True)
    tracked = _tracked(results, threshold, max_gap, fps)
    if isinstance(settings, Offline):
        return smooth_offline(tracked, settings, threshold, max_gap, fps)
    return _smooth(tracked, settings, threshold, max_gap, fps)


def _tracked(results: Iterable[Result], threshold: float, max_gap: float, fps: float) -> Iterator[Result]:
    """Yield results with ids, which those of `track` have already."""
    iterator = iter(results)
    first = next(iterator, None)
    if first is not None:
        rest = chain([first], iterator)
        yield from rest if first.ids is not None else track(rest, threshold=threshold, max_gap=max_gap, fps=fps)


def _smooth(
    results: Iterable[Result], settings: OneEuro | Kalman, threshold: float, max_gap: float, fps: float
) -> Iterator[Result]:
    clock = FrameClock(fps)
    filters: dict[int, tuple[Filter, float]] = {}  # id -> filter, and seconds since its instance was last found
    for result in results:
        dt = clock.step(result)
        if dt is None:
            filters = {}
        else:
            filters = {key: (one, age + dt) for key, (one, age) in filters.items() if age + dt <= max(max_gap, dt)}
        xy, predicted = result.keypoints.xy.copy(), np.zeros(result.keypoints.conf.shape, bool)
        for n, key in enumerate(_ids(result)):
            if key == UNTRACKED:
                continue
            state, age = filters.get(key) or (settings.start(xy.shape[1]), dt or 1 / fps)
            seen = result.keypoints.conf[n] >= threshold
            xy[n], predicted[n] = state.update(xy[n], seen, age, result.transforms[n].scale[0], max_gap)
            filters[key] = state, 0.0
        yield replace(result, keypoints=replace(result.keypoints, xy=xy), predicted=predicted)


def _ids(result: Result) -> list[int]:
    return [] if result.ids is None else [int(key) for key in result.ids]
