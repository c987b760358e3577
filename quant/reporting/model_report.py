"""Score a model and write the result as one HTML page."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from edgehrnet.certificate import parts
from edgehrnet.drawing.overlay import blend_heatmap
from edgehrnet.picture.letterbox import Letterbox
from edgehrnet.preparation import prepare
from quant.data.examples import DataSet, Example
from quant.data.labeled import Labeled
from quant.reporting.report_page import Shown, page
from quant.scoring.evaluation import Evaluation
from quant.scoring.model import OpenModel, compare
from quant.scoring.trained_pictures import trained_pictures

WORST, BEST = 12, 6  # pictures shown


def make_report(model: OpenModel, data: DataSet, count: int | None = None, *, progress: bool = False) -> str:
    """Score a model on the validation set and return an HTML page.

    The pictures are read twice, the second time only those shown, so that not all of them are kept in memory.

    Args:
        model: Model to score.
        data: Data set with the keypoints that the model finds.
        count: Number of pictures to score. None scores all, or the default number of an endless data set.
        progress: Show progress bars.

    Raises:
        InputError: The model does not fit the data.
    """
    (evaluation,) = compare([model], data, count, progress=progress)
    worst, best = extremes(evaluation)
    examples = tqdm(
        _chosen(data, {*worst, *best}),
        total=len(worst) + len(best),
        disable=not progress,
        desc="drawing",
        unit="picture",
    )
    pictures = {n: _shown(n, model, example) for n, example in examples}
    title = f"{model.spec.name} on {data.spec.name}"
    worst_shown, best_shown = ([pictures[n] for n in indices] for indices in (worst, best))
    file = model.info()["file"]
    trained = trained_pictures(file, data, evaluation) if isinstance(data, Labeled) else None
    return page(title, facts(model), evaluation, data.spec, worst_shown, best_shown, trained)


def extremes(evaluation: Evaluation) -> tuple[list[int], list[int]]:
    """Return the indices of the `WORST` and of the `BEST` pictures, most extreme first.

    Of few pictures, a third are among the best.
    Pictures are ordered by the error of their worst keypoint in percent of the diagonal. A picture is in at most one
    of the two lists, and one without a scored keypoint in neither.
    """
    scored = np.flatnonzero(np.isfinite(evaluation.percent).any(axis=1))
    errors = np.nanmax(evaluation.percent[scored], axis=1)
    order: list[int] = scored[np.argsort(errors, kind="stable")].tolist()
    worst = min(WORST, math.ceil(len(order) * WORST / (WORST + BEST)))
    return order[::-1][:worst], order[: len(order) - worst][:BEST]


def _chosen(data: DataSet, indices: set[int]) -> Iterator[tuple[int, Example]]:
    """Yield the pictures at some indices of the validation set."""
    if not indices:
        return
    for index, example in enumerate(data.validation(max(indices) + 1)):
        if index in indices:
            yield index, example


def _shown(index: int, model: OpenModel, example: Example) -> Shown:
    """Return a picture, or the crop of it that the network sees, and the same with the maximum over its heatmaps."""
    box = example.box_for(model.spec)
    _, _, heatmaps = model.observe(example.image, box)
    inputs, (transform,) = prepare(example.image, model.spec, None if box is None else [box])
    heat, grid = heatmaps.max(axis=0), model.spec.grid
    if model.spec.crop is None:
        whole = Image.fromarray(example.image)
        return Shown(index, whole, blend_heatmap(whole, heat, transform, grid))
    crop = Image.fromarray(np.ascontiguousarray(inputs[0, ..., :3]))
    unchanged = Letterbox.fit(crop.width, crop.height, model.spec.input_size)
    return Shown(index, crop, blend_heatmap(crop, heat, unchanged, grid), transform)


def facts(model: OpenModel) -> dict[str, str]:
    """Return facts about a model by name: engine, precision, input size, file size, certificate."""
    info = model.info()
    height, width = model.spec.input_size
    takes = "whole pictures" if model.spec.crop is None else f"{model.spec.crop} crops of boxes"
    size = sum(part.stat().st_size for part in parts(Path(info["file"])))
    known = {
        "model": model.name,
        "engine": f"{info['engine']} {info['version']} on {info['device']}",
        "precision": model.spec.precision,
        "input": f"{height}x{width} px (height x width), {takes}",
        "size": f"{size / 1e6:.1f} MB",
    }
    return known if info["certificate"] is None else {**known, "certificate": _certified(info["certificate"])}


def _certified(values: dict[str, Any]) -> str:
    """Put a certificate into words."""
    drift = values["drift_mean_px"]
    moved = "no keypoint was confident enough to measure its drift"
    if drift is not None:
        moved = f"keypoints on average {drift:.3f} px from the float network's"
    if not values["convolutions_expected"]:
        return moved
    share = values["macs_int8"] / max(1, values["macs"])
    count = f"{values['convolutions_int8']} of {values['convolutions']} convolutions"
    return f"{count} and {share:.2%} of the multiply-accumulates in int8; {moved}"
