"""Give instances ids that last through a video."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edgehrnet.decoding import CONFIDENCE_THRESHOLD
from edgehrnet.errors import check_keywords
from edgehrnet.result import Result
from edgehrnet.tracking.filters import check_setting
from edgehrnet.tracking.matching import SIGMA, Pose, Solver, assign, extent, hungarian, rolled, similarity, turn

UNTRACKED = -1  # id of an instance without a confident keypoint
FPS = 30.0  # frames per second of results without a time
SMALLEST = 0.15  # similarity of an instance to the same one in the last frame
T = TypeVar("T", NDArray[np.float64], NDArray[np.float32])


@check_keywords
def track(
    results: Iterable[Result],
    *,
    threshold: float = CONFIDENCE_THRESHOLD,
    max_gap: float = 1.0,
    fps: float = FPS,
) -> Iterator[Result]:
    """Yield the results of a video with ids: the same id is the same person, animal or document.

    Instances of consecutive frames are matched by their keypoints (OKS) and boxes (IoU), by the Hungarian method. An
    outline (``spec.cyclic``) keeps its first corner, also when it turns. An instance without a confident keypoint has
    the id -1.

    Args:
        results: Results in order, such as ``predictor.stream("video.mp4")``.
        threshold: Smallest confidence of a keypoint that counts.
        max_gap: Seconds after which an instance that was not found again is forgotten. Ids are never used twice.
        fps: Frames per second of results without ``time``.

    Raises:
        InputError: A setting is not accepted.
        MissingExtraError: The model finds several instances and SciPy is not installed.
    """
    check_setting("threshold", threshold)
    check_setting("max_gap", max_gap)
    check_setting("fps", fps, above=True)
    return _track(results, threshold, max_gap, fps)


def _track(results: Iterable[Result], threshold: float, max_gap: float, fps: float) -> Iterator[Result]:
    tracker, clock = _Tracker(threshold, max_gap), FrameClock(fps)
    for result in results:
        yield tracker.follow(result, clock.step(result))


class FrameClock:
    """Tell the seconds between results.

    Args:
        fps: Frames per second of results without a time.
    """

    def __init__(self, fps: float) -> None:
        self._fps = fps
        self._last: tuple[str | None, float | None] | None = None

    def step(self, result: Result) -> float | None:
        """Return the seconds since the last result, or None for the first one of a video."""
        time, last = result.time, self._last
        self._last = (result.source, time)
        if last is None:
            return None
        if time is None or last[1] is None:
            return 1 / self._fps if time is last[1] else None
        return time - last[1] if result.source == last[0] and time > last[1] else None


@dataclass
class _Track:
    id: int
    pose: Pose
    velocity: NDArray[np.float64]
    """``(2,)`` px/s."""
    age: float = 0.0
    """Seconds since it was last found."""


class _Tracker:
    """The instances of the last frames."""

    def __init__(self, threshold: float, max_gap: float) -> None:
        self.threshold, self.max_gap = threshold, max_gap
        self.tracks: list[_Track] = []
        self.next_id = 0
        self.solver: Solver | None = None

    def follow(self, result: Result, dt: float | None) -> Result:
        """Return a result with ids, ``dt`` seconds after the last one. None begins a video."""
        if self.solver is None and (result.spec.crop is not None or len(result.keypoints) > 1):
            self.solver = hungarian()  # of a model for crops at once, not when a second person appears
        if dt is None:
            self.tracks = []
        self._advance(dt or 0.0)
        sigmas = np.array(result.spec.oks_sigmas or [SIGMA] * len(result.spec.keypoints))
        poses = {n: pose for n in range(len(result.keypoints)) if (pose := self._pose(result, n)) is not None}
        numbers, ids = list(poses), np.full(len(result.keypoints), UNTRACKED)
        turns = np.zeros((len(self.tracks), len(numbers)), int)
        alike = np.zeros(turns.shape)
        for row, column in np.ndindex(turns.shape):
            old, new = self.tracks[row].pose, poses[numbers[column]]
            turns[row, column] = turn(old, new, sigmas) if result.spec.cyclic else 0
            alike[row, column] = similarity(old, rolled(new, turns[row, column]), sigmas)
        shifts = np.zeros(len(ids), int)
        for row, column in assign(alike, SMALLEST, self.solver):
            found, n = self.tracks[row], numbers[column]
            shifts[n] = turns[row, column]
            self._continue(found, rolled(poses.pop(n), shifts[n]), dt or 0.0)
            ids[n] = found.id
        for n, pose in poses.items():
            ids[n] = self.next_id
            self.tracks.append(_Track(self.next_id, pose, np.zeros(2)))
            self.next_id += 1
        return replace(_turned(result, shifts), ids=ids)

    def _pose(self, result: Result, n: int) -> Pose | None:
        """Return the pose of instance ``n``, or None without a confident keypoint."""
        xy, seen = result.keypoints.xy[n], result.keypoints.conf[n] >= self.threshold
        if not seen.any():
            return None
        if result.boxes is None:
            return Pose(xy, seen, extent(xy[seen]))
        left, top, width, height = result.boxes[n]
        return Pose(xy, seen, np.array([left, top, left + width, top + height]))

    def _advance(self, dt: float) -> None:
        for found in self.tracks:
            found.age += dt
        self.tracks = [found for found in self.tracks if found.age <= max(self.max_gap, dt)]
        for found in self.tracks:
            step = found.velocity * dt
            found.pose = Pose(found.pose.xy + step, found.pose.seen, found.pose.box + np.tile(step, 2))

    def _continue(self, found: _Track, pose: Pose, dt: float) -> None:
        old = found.pose
        both = old.seen & pose.seen
        if both.any() and dt > 0:
            # The old pose was moved by the velocity, so what is left is its error.
            found.velocity = found.velocity + 0.5 * (pose.xy - old.xy)[both].mean(axis=0) / max(found.age, dt)
        xy = np.where(pose.seen[:, None], pose.xy, old.xy)
        found.pose, found.age = Pose(xy, pose.seen | old.seen, pose.box), 0.0


def _turned(result: Result, shifts: NDArray[np.int_]) -> Result:
    """Return a result whose outlines start at other corners, with their heatmaps and offsets."""
    if not shifts.any():
        return result
    keypoints = replace(
        result.keypoints, xy=_rolled(result.keypoints.xy, shifts), conf=_rolled(result.keypoints.conf, shifts)
    )
    offsets = result.offsets
    if offsets is not None:
        pairs = offsets.reshape(len(offsets), -1, 2, *offsets.shape[2:])
        offsets = _rolled(pairs, shifts).reshape(offsets.shape)
    return replace(result, keypoints=keypoints, heatmaps=_rolled(result.heatmaps, shifts), offsets=offsets)


def _rolled(values: T, shifts: NDArray[np.int_]) -> T:
    return np.stack([np.roll(row, shift, axis=0) for row, shift in zip(values, shifts, strict=True)])
