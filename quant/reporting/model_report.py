"""Score a model and write the result as one HTML page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from edgehrnet.certificate import parts
from edgehrnet.drawing.overlay import blend_heatmap
from edgehrnet.preparation import prepare
from quant.data.examples import DataSet, Example
from quant.reporting.report_page import Shown, page
from quant.scoring.evaluation import Evaluation
from quant.scoring.model import OpenModel, compare

WORST = 12  # pictures shown


BEST = 6


def make_report(model: OpenModel, data: DataSet, count: int | None = None, *, progress: bool = False) -> str:
    """Score the model on the first ``count`` pictures held back (None: all, or as many as is usual), as an HTML page.

    The data is gone through twice, the second time for the few pictures shown, so that no other is kept in memory.
    ``progress`` shows a bar. Raises as quant.scoring.model.compare and Predictor.info do.
    """
    (evaluation,) = compare([model], data, count, progress=progress)
    worst, best = extremes(evaluation)
    pictures = {
        number: Shown(number, Image.fromarray(example.image), _heat(model, example))
        for number, example in tqdm(
            _chosen(data, {*worst, *best}),
            total=len(worst) + len(best),
            disable=not progress,
            desc="drawing",
            unit="picture",
        )
    }
    title = f"{model.spec.name} on {data.spec.name}"
    shown = [[pictures[number] for number in numbers] for numbers in (worst, best)]
    return page(title, facts(model), evaluation, data.spec, *shown)


def extremes(evaluation: Evaluation) -> tuple[list[int], list[int]]:
    """Return the numbers of the `WORST` and the `BEST` pictures by their worst keypoint, most extreme first.

    Errors are in percent of the diagonal. No picture is both; one where nothing was scored is neither.
    """
    scored = np.flatnonzero(np.isfinite(evaluation.percent).any(axis=1))
    errors = np.nanmax(evaluation.percent[scored], axis=1)
    order: list[int] = scored[np.argsort(errors, kind="stable")].tolist()
    return order[::-1][:WORST], order[: max(0, len(order) - WORST)][:BEST]


def _chosen(data: DataSet, numbers: set[int]) -> Iterator[tuple[int, Example]]:
    if not numbers:
        return
    for number, example in enumerate(data.held_back(max(numbers) + 1)):
        if number in numbers:
            yield number, example


def _heat(model: OpenModel, example: Example) -> Image.Image:
    """Return the picture under the highest of its heatmaps."""
    _, _, heatmaps = model.observe(example.image, example.box)
    _, (transform,) = prepare(example.image, model.spec, None if example.box is None else [example.box])
    return blend_heatmap(Image.fromarray(example.image), heatmaps.max(axis=0), transform, model.spec.grid)


def facts(model: OpenModel) -> dict[str, str]:
    """Return what is known about the model, each fact by its name."""
    info = model.info()
    height, width = model.spec.input_size
    size = sum(part.stat().st_size for part in parts(Path(info["file"])))
    known = {
        "model": model.name,
        "engine": f"{info['engine']} {info['version']} on {info['device']}",
        "precision": model.spec.precision,
        "input": f"{height} x {width} px",
        "size": f"{size / 1e6:.1f} MB",
    }
    return known if info["certificate"] is None else {**known, "certificate": _certified(info["certificate"])}


def _certified(values: dict[str, Any]) -> str:
    drift = f"keypoints {values['drift_mean_px']:.3f} px from the float network's on average"
    if not values["convolutions_expected"]:
        return drift
    share = values["macs_int8"] / max(1, values["macs"])
    count = f"{values['convolutions_int8']} of {values['convolutions']} convolutions"
    return f"{count} and {share:.1%} of the multiply-accumulates in int8; {drift}"
