"""Run a detector only where it is needed: not in a video, while the keypoints of the last frame hold.

At a detection, each box is related to its keypoints: how far it reaches beyond them on each side. In the next frame the
same margins around the keypoints are the box.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgehrnet.decoding import CONFIDENCE_THRESHOLD
from edgehrnet.reading import Job
from edgehrnet.result import Result
from edgehrnet.tracking.matching import iou

if TYPE_CHECKING:
    from edgehrnet.detectors.detector import Detector

Floats = NDArray[np.float64]
HOLDING = 0.7  # share of the keypoints confident at the detection that have to stay confident
FEWEST = 2  # confident keypoints that define a box
LARGEST_MARGIN = 0.5  # of the extent of the keypoints, on each side
SMALLEST = 4.0  # px; smaller extents define no box
SAME = 0.8  # IoU of two boxes
DRIFT = 1.6  # factor by which a box may grow or shrink until the detector has to look again


def with_detector(detector: Detector | None, run: Callable[[Job], Result]) -> Callable[[Job], Result]:
    """Return what runs the pictures of one call: a network, with its detector if it has one."""
    return run if detector is None else Following(detector, run)


class Following:
    """Run a network on the boxes of a detector.

    Args:
        detector: The detector.
        run: Function that runs the network on a picture with boxes.
    """

    def __init__(self, detector: Detector, run: Callable[[Job], Result]) -> None:
        self._detector, self._run = detector, run
        self.detections = 0
        """Number of times that the detector ran."""
        self._last: Result | None = None
        self._age = 0

    def __call__(self, job: Job) -> Result:
        """Return the result of a picture. Boxes that were given are used as they are."""
        if job.boxes is not None:
            return self._run(job)
        boxes = self._boxes_of_last(job)
        job.clock.resume()
        if boxes is None:
            found = self._detector.find(job.picture.full, job.source).boxes
            self.detections += 1
            job.clock.lap("detect")
            result = self._run(replace(job, boxes=found))
            self._relate(result)
        else:
            self._age += 1
            result = self._run(replace(job, boxes=boxes))
        self._last = result
        return result

    def _relate(self, result: Result) -> None:
        """Remember the boxes of a detection, and their margins around the keypoints."""
        assert result.boxes is not None
        self._age = 1
        self._seen = result.keypoints.conf >= CONFIDENCE_THRESHOLD
        self._sizes = result.boxes[:, 2:].copy()
        self._margins = np.zeros((len(result.boxes), 4))
        for n, (xy, seen, box) in enumerate(zip(result.keypoints.xy, self._seen, result.boxes, strict=True)):
            if seen.sum() >= FEWEST:
                low, high = xy[seen].min(axis=0), xy[seen].max(axis=0)
                extent = np.maximum(high - low, SMALLEST)
                beyond = np.concatenate([low - box[:2], box[:2] + box[2:] - high]) / np.tile(extent, 2)
                self._margins[n] = np.clip(beyond, 0, LARGEST_MARGIN)

    def _boxes_of_last(self, job: Job) -> Floats | None:
        """Return the boxes around the keypoints of the last frame. None: the detector has to run."""
        last = self._last
        if last is None or job.time is None or last.source != job.source or self._age >= self._detector.refresh:
            return None
        if not len(last.keypoints):
            return None
        seen = last.keypoints.conf >= CONFIDENCE_THRESHOLD
        count = (seen & self._seen).sum(axis=1)
        if (count < np.maximum(FEWEST, HOLDING * self._seen.sum(axis=1))).any():
            return None
        boxes = np.zeros((len(seen), 4))
        for n, (xy, kept) in enumerate(zip(last.keypoints.xy, seen & self._seen, strict=True)):
            low, high = xy[kept].min(axis=0), xy[kept].max(axis=0)
            margins = self._margins[n] * np.tile(np.maximum(high - low, SMALLEST), 2)
            boxes[n] = *(low - margins[:2]), *(high - low + margins[:2] + margins[2:])
        growth = boxes[:, 2:] / self._sizes
        holds = ((growth < DRIFT) & (growth > 1 / DRIFT)).all() and not _cover(boxes)
        return boxes if holds else None


def _cover(boxes: Floats) -> bool:
    """Return whether two boxes xywh are nearly the same: two crops may show the same instance."""
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
    return any(iou(a, b) > SAME for a, b in combinations(corners, 2))
