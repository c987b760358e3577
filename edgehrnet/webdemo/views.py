"""Compute what the page shows of a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from statistics import median
from typing import Any

from PIL import Image

from edgehrnet.errors import UnsupportedError
from edgehrnet.predictor import Predictor
from edgehrnet.result import Result

RUNS = 5
"""Predictions of each model, in turns. The medians of their times are shown."""
LONGEST = 1600
"""Longest side in pixels of the pictures that are shown."""


@dataclass(frozen=True)
class Views:
    """Pictures and numbers of the page."""

    overlays: list[Image.Image]
    """The keypoints that each model finds."""
    heatmaps: Image.Image
    """Heatmaps of the first model, over the picture."""
    page: Image.Image | None
    """The flattened page, None if the model does not find four corners."""
    verdict: str
    """A line about the first model's result."""
    table: str
    """HTML table of the times of all models."""


def views(predictors: Sequence[Predictor], picture: Any) -> Views:
    """Predict a picture with each model.

    Args:
        predictors: The models. The first one is shown in detail.
        picture: A picture, see `read_image`.

    Raises:
        ImageError: The picture cannot be read.
    """
    runs = [[predictor.predict(picture) for predictor in predictors] for _ in range(1 + RUNS)]
    results = runs[-1]
    first = results[0]
    try:
        page = _shown(first.rectify())
    except UnsupportedError:
        page = None
    heatmaps = first.plot(heatmaps=first.spec.decode != "points")
    # The first run compiles for the shape of the picture, which is no part of the times.
    times = [[one.speed for one in column] for column in zip(*runs[1:], strict=True)]
    table = _table([title(predictor) for predictor in predictors], times)
    return Views([_shown(one.plot()) for one in results], _shown(heatmaps), page, _verdict(first), table)


def title(predictor: Predictor) -> str:
    """Return the name of a model's file, and its precision."""
    return f"{predictor.path.name} ({predictor.spec.precision})"


def _verdict(result: Result) -> str:
    found = result.keypoints
    points = ", ".join(f"{name} {100 * conf:.0f} %" for name, conf in zip(found.names, found.conf[0], strict=True))
    return f"Score {float(result.score[0]):.3f}. Confidence of the keypoints: {points}."


def _table(names: Sequence[str], times: Sequence[Sequence[Mapping[str, float]]]) -> str:
    """Return a table with the medians of the runs of each model."""
    stages = list(times[0][0])
    rows = [["milliseconds", "total", *stages]]
    for name, runs in zip(names, times, strict=True):
        spent = [median(run[stage] for run in runs) for stage in stages]
        rows.append([name, *(f"{ms:.1f}" for ms in (sum(spent), *spent))])
    cells = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows]
    return f'<div style="overflow-x: auto"><table>{"".join(f"<tr>{row}</tr>" for row in cells)}</table></div>'


def _shown(picture: Image.Image) -> Image.Image:
    """Return the picture at a size that browsers take quickly."""
    picture = picture.copy()
    picture.thumbnail((LONGEST, LONGEST))
    return picture
