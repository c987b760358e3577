"""Draw results of a video with the way that each keypoint took."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgehrnet.decoding import CONFIDENCE_THRESHOLD
from edgehrnet.drawing.overlay import draw_keypoints
from edgehrnet.drawing.trails import draw_trails
from edgehrnet.errors import InputError
from edgehrnet.result import Result


class Trails:
    """Draw each result over the trails of the results before it.

    ::

        trails = Trails(30)
        for result in smooth(predictor.stream("video.mp4")):
            picture = trails.plot(result)

    Args:
        length: Number of frames that a trail reaches back.
    """

    def __init__(self, length: int = 30) -> None:
        if not isinstance(length, int) or length < 1:
            raise InputError(f"length={length!r}; must be a number of frames of at least 1")
        self._past: deque[dict[int, NDArray[np.float64]]] = deque(maxlen=length + 1)
        self._video: str | None = None

    def plot(self, result: Result) -> Image.Image:
        """Return the picture with trails and keypoints."""
        video = None if result.time is None else result.source
        if video != self._video:
            self._past.clear()
        self._video = video
        ids = range(len(result.keypoints)) if result.ids is None else result.ids.tolist()
        shown = result.keypoints.conf >= CONFIDENCE_THRESHOLD
        if result.predicted is not None:
            shown = shown | result.predicted
        points = np.where(shown[..., None], result.keypoints.xy, np.nan)
        self._past.append(dict(zip(ids, points, strict=True)))
        names = result.keypoints.names
        missing = np.full((len(names), 2), np.nan)
        trails, colors = [], []
        for key in ids:
            way = np.stack([frame.get(key, missing) for frame in self._past], axis=1)
            trails += list(way)
            # A single instance has a color for each keypoint, as in `draw_keypoints`.
            colors += [key if len(ids) > 1 else k for k in range(len(names))]
        picture = draw_trails(Image.fromarray(result.image), trails, colors)
        return draw_keypoints(
            picture,
            result.keypoints.xy,
            result.keypoints.conf,
            names,
            result.spec.skeleton,
            also=result.predicted,
            colors=ids,
        )
