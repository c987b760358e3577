"""Fill the template of a report: one HTML file without external parts, for light and dark, wide and narrow screens."""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgehrnet.preparation import Transform
from edgehrnet.spec import ModelSpec
from quant.reporting.picture_names import picture_names
from quant.reporting.report_charts import (
    DARK,
    LIGHT,
    Images,
    both,
    error_histogram,
    keypoint_spread,
    pck_curve,
    presence_histogram,
    reliability_curve,
)
from quant.reporting.score_table import counted
from quant.scoring.by_keypoint import by_keypoint, object_percent, worst_of
from quant.scoring.evaluation import CORRECT, Evaluation
from quant.scoring.metrics import Bin, Score, reliability
from quant.scoring.trained_pictures import Trained

TEMPLATE = "report.html.j2"
LONG_SIDE = 440  # px of an embedded picture: sharp at twice the pixel density of a card
SCORES = {
    "mean_percent": ("mean error", "{:.3f} %"),
    "median_percent": ("median error", "{:.3f} %"),
    "p95_percent": ("95th percentile", "{:.2f} %"),
    "pck1": ("of keypoints within 1 %", "{:.1f} %"),
    "pck2": ("of keypoints within 2 %", "{:.1f} %"),
    "pck3": ("of keypoints within 3 %", "{:.1f} %"),
    "mean_px": ("mean error", "{:.2f} px"),
    "median_px": ("median error", "{:.2f} px"),
    "p95_px": ("95th percentile", "{:.2f} px"),
    "oks_ap": ("OKS AP", "{:.3f}"),
    "presence_auroc": ("presence AUROC", "{:.3f}"),
    "ece": ("calibration error", "{:.3f}"),
}


@dataclass(frozen=True)
class Shown:
    """A picture to show on the page."""

    index: int
    """Index of the picture in the evaluation."""
    picture: Image.Image
    """The picture itself, or the crop that the network sees."""
    heat: Image.Image
    """The same picture, blended with its heatmaps."""
    transform: Transform | None = None
    """Map from the whole picture to the crop. None for a whole picture."""

    def place(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return points ``(K, 2)`` of the whole picture in coordinates of SVG, on the picture shown."""
        # Pixel centers are integers; SVG counts from a pixel's corner.
        return (points if self.transform is None else self.transform.forward(points)) + 0.5


@dataclass(frozen=True)
class Chart:
    """A chart with its title."""

    title: str
    """Title, by which the template chooses the caption."""
    images: Images
    """The chart in light and in dark colors."""


def page(
    title: str,
    facts: Mapping[str, str],
    evaluation: Evaluation,
    spec: ModelSpec,
    worst: Sequence[Shown],
    best: Sequence[Shown],
    trained: Trained | None = None,
) -> str:
    """Return a report as an HTML document.

    Args:
        title: Title of the page.
        facts: Facts about the model by name.
        evaluation: Scores to show.
        spec: Specification of the data set.
        worst: Pictures with the largest errors, worst first.
        best: Pictures with the smallest errors, best first.
        trained: Which of the pictures were trained on. None for synthetic ones.
    """
    seen = frozenset[Path]() if trained is None or trained.paths is None else trained.paths
    card = partial(_card, evaluation, spec, picture_names(evaluation), seen)
    bins, summary = reliability(evaluation.conf, evaluation.correct), evaluation.summary()
    shown = {key: style for key, style in SCORES.items() if summary[key] is not None}
    return _template().render(
        light=LIGHT,
        dark=DARK,
        title=title,
        facts=facts,
        summary=summary,
        tiles=[(style.format(summary[key]), label) for key, (label, style) in shown.items()],
        charts=list(_charts(evaluation, bins)),
        bins=len(bins),
        bin_counts=sorted({part.count for part in bins}),
        correct=CORRECT,
        empty=int(evaluation.empty.sum()),
        sections=[
            ("Worst pictures", [card(shown) for shown in worst]),
            ("Best pictures", [card(shown) for shown in best]),
        ],
        keypoints=keypoint_rows(evaluation, spec.keypoints),
        keypoint_chart=_keypoint_chart(evaluation, spec.keypoints),
        crops=evaluation.boxes is not None,
        counted=counted(evaluation),
        trained="" if trained is None else trained.text,
        outlined=spec.cyclic,
        conditions=_conditions(evaluation),
    )


def _template() -> jinja2.Template:
    """Load the template. Autoescape makes names from data and files harmless."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(TEMPLATE)


def _charts(evaluation: Evaluation, bins: Sequence[Bin]) -> Iterator[Chart]:
    yield Chart("Errors", both(partial(error_histogram, evaluation.percent)))
    yield Chart("PCK", both(partial(pck_curve, evaluation.percent)))
    yield Chart("Reliability", both(partial(reliability_curve, bins)))
    if evaluation.empty.any():
        yield Chart("Presence", both(partial(presence_histogram, evaluation.conf.mean(axis=1), evaluation.empty)))


def _conditions(evaluation: Evaluation) -> list[tuple[str, Score]]:
    """Return scores by condition, all pictures first, then the hardest first and conditions without a score last."""
    scores = evaluation.by_condition()
    hardest = sorted(scores, key=lambda name: (np.isnan(scores[name].pck1), scores[name].pck1))
    return [("all pictures", evaluation.score()), *((name, scores[name]) for name in hardest)] if scores else []


def _keypoint_chart(evaluation: Evaluation, names: Sequence[str]) -> Chart:
    """Return the chart of the keypoints: relative to the object for crops, and to the diagonal for whole pictures."""
    relative = object_percent(evaluation)
    if np.isfinite(relative).any():
        return Chart("Spread", both(partial(keypoint_spread, relative, names, "error, % of the object's size")))
    return Chart("Spread", both(partial(keypoint_spread, evaluation.percent, names, "error, % of the diagonal")))


def keypoint_rows(evaluation: Evaluation, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the values of each keypoint for the template, in channel order."""
    scores, pictures = by_keypoint(evaluation, names), picture_names(evaluation)
    worst, largest = worst_of(scores), max((s.mean_px for s in scores if s.scored), default=0.0)
    return [
        {
            "score": score,
            "share": 100 * score.mean_px / largest if largest else 0.0,
            "is_worst": index == worst,
            "picture": "" if score.worst is None else pictures[score.worst],
        }
        for index, score in enumerate(scores)
    ]


def _card(
    evaluation: Evaluation, spec: ModelSpec, names: Sequence[str], trained: Collection[Path], shown: Shown
) -> dict[str, Any]:
    """Return one picture's values for the template. Points are in SVG coordinates of the picture."""
    n = shown.index
    width, height = shown.picture.size
    found, true = shown.place(evaluation.xy[n]), shown.place(evaluation.truth[n])
    points = zip(spec.keypoints, found, true, evaluation.conf[n], evaluation.visible[n], strict=True)
    return {
        "name": names[n],
        "trained": bool(evaluation.paths) and evaluation.paths[n] in trained,
        "error": np.nanmax(evaluation.percent[n]),
        "confidence": evaluation.conf[n].mean(),
        "conditions": sorted(evaluation.conditions[n]) if evaluation.conditions else (),
        "width": width,
        "height": height,
        "picture": _jpeg(shown.picture),
        "heat": _jpeg(shown.heat),
        "radius": max(width, height) / (90 if spec.cyclic else 45),
        "found": found,
        "true": true,
        "points": [
            {"name": name, "found": at, "true": goal, "confidence": conf, "visible": bool(seen)}
            for name, at, goal, conf, seen in points
        ],
    }


def _jpeg(picture: Image.Image) -> str:
    """Return a smaller copy of a picture as a ``data:`` address."""
    small = picture.copy()
    small.thumbnail((LONG_SIDE, LONG_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
