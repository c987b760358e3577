"""Fill the template of a report: one HTML file without external parts, for light and dark, wide and narrow screens."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from PIL import Image

from edgehrnet.spec import ModelSpec
from quant.reporting.report_charts import (
    DARK,
    LIGHT,
    Images,
    both,
    error_histogram,
    pck_curve,
    presence_histogram,
    reliability_curve,
)
from quant.scoring.evaluation import CORRECT, Evaluation
from quant.scoring.metrics import Bin, Score, reliability

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
    """The picture itself."""
    heat: Image.Image
    """The same picture, blended with its heatmaps."""


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
) -> str:
    """Return a report as an HTML document.

    Args:
        title: Title of the page.
        facts: Facts about the model by name.
        evaluation: Scores to show.
        spec: Specification of the data set.
        worst: Pictures with the largest errors, worst first.
        best: Pictures with the smallest errors, best first.
    """
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
            ("Worst pictures", [_card(evaluation, spec, shown) for shown in worst]),
            ("Best pictures", [_card(evaluation, spec, shown) for shown in best]),
        ],
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


def _card(evaluation: Evaluation, spec: ModelSpec, shown: Shown) -> dict[str, Any]:
    """Return one picture's values for the template. Points are in SVG coordinates of the picture."""
    n = shown.index
    width, height = shown.picture.size
    # Pixel centers are integers; SVG counts from a pixel's corner.
    found, true = evaluation.xy[n] + 0.5, evaluation.truth[n] + 0.5
    names = zip(spec.keypoints, found, true, evaluation.conf[n], evaluation.visible[n], strict=True)
    return {
        "index": n,
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
            for name, at, goal, conf, seen in names
        ],
    }


def _jpeg(picture: Image.Image) -> str:
    """Return a smaller copy of a picture as a ``data:`` address."""
    small = picture.copy()
    small.thumbnail((LONG_SIDE, LONG_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"
