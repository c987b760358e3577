"""The page of a report: one HTML text that needs nothing else, in light and dark, on a wide screen and a phone."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgehrnet.spec import ModelSpec
from quant.reporting.report_charts import error_histogram, pck_curve, presence_histogram, reliability_curve
from quant.scoring.evaluation import CORRECT, Evaluation
from quant.scoring.metrics import Score, reliability

LONG_SIDE = 440  # px of an embedded picture: sharp at twice the density of a card
SCORES = {
    "mean_percent": ("mean error", "{:.3f} %"),
    "median_percent": ("median", "{:.3f} %"),
    "p95_percent": ("95th percentile", "{:.2f} %"),
    "pck1": ("within 1 %", "{:.1f} %"),
    "pck2": ("within 2 %", "{:.1f} %"),
    "pck3": ("within 3 %", "{:.1f} %"),
    "mean_px": ("mean error", "{:.2f} px"),
    "median_px": ("median", "{:.2f} px"),
    "p95_px": ("95th percentile", "{:.2f} px"),
    "oks_ap": ("OKS AP", "{:.3f}"),
    "presence_auroc": ("presence AUROC", "{:.3f}"),
    "ece": ("calibration error", "{:.3f}"),
}
HEAD = ("condition", "pictures", "within 1 %", "within 3 %", "mean %", "median %", "p95 %")


@dataclass(frozen=True)
class Shown:
    """A picture to show: its number in the evaluation, counted from 0, the picture, and the same under heatmaps."""

    number: int
    picture: Image.Image
    heat: Image.Image


def page(
    title: str,
    facts: Mapping[str, str],
    evaluation: Evaluation,
    spec: ModelSpec,
    worst: Sequence[Shown],
    best: Sequence[Shown],
) -> str:
    """Lay everything out; ``facts`` are about the model, ``spec`` is the data's. Returns an HTML document."""
    parts = [
        f"<header><h1>{html.escape(title)}</h1>{_facts(facts)}</header>",
        _tiles(evaluation),
        f"<section><h2>Curves</h2><div class='charts'>{''.join(_charts(evaluation))}</div></section>",
        _pictures("Worst pictures", evaluation, spec, worst),
        _pictures("Best pictures", evaluation, spec, best),
        _conditions(evaluation),
    ]
    head = (
        "<meta charset='utf-8'><meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{html.escape(title)}</title><style>{STYLE}</style>"
    )
    body = "\n".join(parts)
    return f"<!DOCTYPE html>\n<html lang='en'><head>{head}</head>\n<body>{body}</body></html>\n"


def _facts(facts: Mapping[str, str]) -> str:
    rows = (f"<div><dt>{html.escape(name)}</dt><dd>{html.escape(fact)}</dd></div>" for name, fact in facts.items())
    return f"<dl>{''.join(rows)}</dl>"


def _tiles(evaluation: Evaluation) -> str:
    found = evaluation.summary()
    tiles = (
        f"<div><b>{style.format(value)}</b><span>{label}</span></div>"
        for key, (label, style) in SCORES.items()
        if (value := found[key]) is not None
    )
    text = f"{found['pictures']:,} pictures, {found['keypoints']:,} keypoints scored. Errors in % are of the diagonal."
    return f"<section><h2>Scores</h2><p>{text}</p><div class='tiles'>{''.join(tiles)}</div></section>"


def _charts(evaluation: Evaluation) -> list[str]:
    bins = reliability(evaluation.conf, evaluation.correct)
    counts = sorted({part.count for part in bins})
    size = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    found = evaluation.score()
    calibration = (
        f"{len(bins)} bins of {size} keypoints each; calibration error (ECE) {found.ece:.3f}. Correct: "
        f"within {CORRECT:g}&nbsp;% of the diagonal. One outside the picture, or of nothing to find, is not."
    )
    charts = [
        _figure("Errors", error_histogram(evaluation.percent), "How many keypoints are how far off."),
        _figure("PCK", pck_curve(evaluation.percent), "The share of keypoints within a distance."),
        _figure("Reliability", reliability_curve(bins), calibration),
    ]
    if evaluation.empty.any():
        text = (
            f"<i class='full'></i>{(~evaluation.empty).sum()} pictures with something to find, "
            f"<i class='empty'></i>{evaluation.empty.sum()} without; AUROC {found.presence_auroc:.3f}."
        )
        chart = presence_histogram(evaluation.conf.mean(axis=1), evaluation.empty)
        charts.append(_figure("Presence", chart, text))
    return charts


def _figure(title: str, chart: str, text: str) -> str:
    return f"<figure><h3>{title}</h3>{chart}<figcaption>{text}</figcaption></figure>"


def _conditions(evaluation: Evaluation) -> str:
    """Return a table of the conditions, the hardest first and those that score nothing last; "" without conditions."""
    scores = evaluation.by_condition()
    if not scores:
        return ""
    hardest = sorted(scores, key=lambda name: (np.isnan(scores[name].pck1), scores[name].pck1))
    head = "".join(f"<th>{name}</th>" for name in HEAD)
    rows = [_row("all pictures", evaluation.score()), *(_row(name, scores[name]) for name in hardest)]
    table = f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    text = "The hardest first; a picture counts for each of its conditions."
    return f"<section><h2>Conditions</h2><p>{text}</p>{table}</section>"


def _row(name: str, score: Score) -> str:
    errors = (score.mean_percent, score.median_percent, score.p95_percent)
    cells = "".join(f"<td>{_number(value, '.2f')}</td>" for value in errors)
    bars = "".join(
        f"<td class='share'><i style='width:{np.nan_to_num(value):.1f}%'></i><span>{_number(value, '.1f')}</span></td>"
        for value in (score.pck1, score.pck3)
    )
    return f"<tr><th>{html.escape(name)}</th><td>{score.pictures}</td>{bars}{cells}</tr>"


def _number(value: float, style: str) -> str:
    return "\N{EN DASH}" if np.isnan(value) else format(value, style)


def _pictures(title: str, evaluation: Evaluation, spec: ModelSpec, shown: Sequence[Shown]) -> str:
    if not shown:
        return ""
    cards = "".join(_card(evaluation, spec, item) for item in shown)
    swatches = "<i class='found'></i>found<i class='true'></i>true<i class='miss'></i>from one to the other"
    legend = f"{swatches}. Beside it the heatmaps. The error is that of the worst keypoint."
    return f"<section><h2>{title}</h2><p>{legend}</p><div class='cards'>{cards}</div></section>"


def _card(evaluation: Evaluation, spec: ModelSpec, shown: Shown) -> str:
    n = shown.number
    error, conf = np.nanmax(evaluation.percent[n]), evaluation.conf[n].mean()
    conditions = sorted(evaluation.conditions[n]) if evaluation.conditions else ()
    tags = "".join(f"<span>{html.escape(name)}</span>" for name in conditions)
    pictures = _picture(shown.picture, _marks(evaluation, spec, n, shown.picture.size)) + _picture(shown.heat, "")
    text = f"<b>{error:.2f} %</b> confidence {conf:.2f} <em>picture {n}</em>"
    return f"<figure class='card'><div>{pictures}</div><figcaption>{text}<p>{tags}</p></figcaption></figure>"


def _picture(picture: Image.Image, marks: str) -> str:
    """Return an SVG element in the picture's pixels, which holds a smaller copy as JPEG and the marks over it."""
    width, height = picture.size
    small = picture.copy()
    small.thumbnail((LONG_SIDE, LONG_SIDE))
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    data = base64.b64encode(buffer.getvalue()).decode()
    place = f"width='{width}' height='{height}' preserveAspectRatio='none'"
    image = f"<image {place} href='data:image/jpeg;base64,{data}'/>"
    return f"<svg viewBox='0 0 {width} {height}'>{image}{marks}</svg>"


def _marks(evaluation: Evaluation, spec: ModelSpec, number: int, size: tuple[int, int]) -> str:
    """Draw what was found and what is true: outlines of cyclic data, else the points; a line from each to its truth."""
    seen, radius = evaluation.visible[number], max(size) / (90 if spec.cyclic else 45)
    # Pixel centers are integers; SVG counts from a pixel's corner.
    found, true = evaluation.xy[number] + 0.5, evaluation.truth[number] + 0.5
    marks = [_outline(found, "found"), _outline(true, "true")] if spec.cyclic else []
    marks += [_outline(ends, "miss") for ends in np.stack([found, true], axis=1)[seen]]
    if not spec.cyclic:
        marks += [_disc(goal, radius, "true", spec.keypoints[k]) for k, goal in enumerate(true) if seen[k]]
    for place, name, conf in zip(found, spec.keypoints, evaluation.conf[number], strict=True):
        marks.append(_disc(place, radius, "found", f"{name}, confidence {conf:.2f}"))
    return "".join(marks)


def _disc(place: NDArray[np.float64], radius: float, style: str, note: str) -> str:
    x, y = place
    title = f"<title>{html.escape(note)}</title>"
    return f"<circle class='{style}' cx='{x:.1f}' cy='{y:.1f}' r='{radius:.1f}'>{title}</circle>"


def _outline(points: NDArray[np.float64], style: str) -> str:
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f"<polygon class='{style}' points='{text}'/>"


STYLE = """
:root { color-scheme: light dark; --page: #f6f7f9; --card: #fff; --text: #1c2127; --soft: #5d6873; --rule: #e3e7eb;
  --main: #0072b2; --found: #e69f00; --true: #56b4e9; --warm: #d55e00 }
@media (prefers-color-scheme: dark) { :root { --page: #14171b; --card: #1e2328; --text: #e8ebee; --soft: #9aa5b0;
  --rule: #333a42; --main: #56b4e9; --warm: #f08a3c } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 1200px; padding: 24px 16px 48px; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, sans-serif }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 12px } h2 { font-size: 19px; margin: 36px 0 4px }
h3 { font-size: 15px; margin: 0 0 6px } p, figcaption { margin: 0; color: var(--soft); font-size: 14px }
dl { margin: 0; display: grid; gap: 2px } dl div { display: flex; gap: 12px }
dt { flex: 0 0 84px; color: var(--soft) } dd { margin: 0; overflow-wrap: anywhere }
.tiles, .charts, .cards { display: grid; gap: 12px; margin-top: 12px }
.tiles { grid-template-columns: repeat(auto-fill, minmax(min(46%, 175px), 1fr)) }
.charts { grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)) }
.cards { grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)) }
.tiles div, figure, .wide { background: var(--card); border: 1px solid var(--rule); border-radius: 10px }
.tiles div { padding: 10px 14px } .tiles b { display: block; font-size: 22px; font-variant-numeric: tabular-nums }
.tiles span { color: var(--soft); font-size: 13px }
figure { margin: 0; padding: 14px }
.chart { display: block; width: 100%; overflow: visible; font-size: 12px }
.chart text { fill: var(--soft) } .chart .name { font-size: 13px } .chart .note { fill: var(--text) }
.rule { stroke: var(--rule) } .mark { stroke: var(--text); stroke-dasharray: 2 3 }
.bar, rect.full { fill: var(--main) } rect.empty { fill: var(--warm); opacity: .75 }
.curve { fill: none; stroke: var(--main); stroke-width: 2.5; stroke-linejoin: round }
.dot { fill: var(--main); stroke: var(--card); stroke-width: 1.5 }
.ideal { fill: none; stroke: var(--soft); stroke-dasharray: 5 5 }
p i, figcaption i { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 5px }
i.full { background: var(--main) } i.empty { background: var(--warm) }
i.found { background: var(--found) } i.true { background: var(--true) }
i.miss { background: #fff; border: 1px solid var(--soft) } p i + i { margin-left: 10px }
.wide { overflow-x: auto; margin-top: 12px } table { border-collapse: collapse; width: 100%; font-size: 14px }
th, td { padding: 7px 14px; text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums }
th:first-child { text-align: left; padding-right: 6px } thead th { color: var(--soft); font-weight: 500 }
tbody th { font-weight: 500 } tbody tr { border-top: 1px solid var(--rule) }
.share { position: relative; min-width: 100px } .share span { position: relative }
.share i { position: absolute; left: 6px; top: 5px; bottom: 5px; max-width: calc(100% - 12px); border-radius: 4px;
  background: var(--main); opacity: .22 }
.card { padding: 0; overflow: hidden } .card > div { display: grid; grid-template-columns: 1fr 1fr; gap: 1px;
  background: #0d0f11 }
.card svg { display: block; width: 100%; aspect-ratio: 1 }
.card figcaption { padding: 10px 14px 12px } .card b { color: var(--text); font-size: 17px; margin-right: 8px }
.card em { float: right; font-style: normal } .card p { display: flex; flex-wrap: wrap; gap: 4px; margin-top: 6px }
.card p span { border: 1px solid var(--rule); border-radius: 9px; padding: 0 8px; font-size: 12px }
polygon { fill: none; stroke-width: 2.2; vector-effect: non-scaling-stroke; stroke-linejoin: round }
polygon.found { stroke: var(--found) } polygon.true { stroke: var(--true); stroke-dasharray: 6 4 }
polygon.miss { stroke: #fff; stroke-width: 1.2 }
circle.found { fill: var(--found) } circle.true { fill: none; stroke: var(--true); stroke-width: 2;
  vector-effect: non-scaling-stroke }
@media (max-width: 520px) { .chart { font-size: 15px } .chart .name { font-size: 16px } th, td { padding: 7px } }
"""
