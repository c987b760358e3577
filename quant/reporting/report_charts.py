"""Charts as inline SVG: text without scripts, whose colors come from the page's style sheet."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quant.scoring.metrics import Bin, pck

WIDTH, HEIGHT = 480, 290
LEFT, RIGHT, TOP, BOTTOM = 54, 16, 14, 46  # margins around the plot, where the numbers and names stand
SMALLEST = 0.01  # percent of the diagonal; what is nearer counts as this near
LARGEST = 100.0
PER_DECADE = 8
PCK_END = 5.0  # percent of the diagonal
SHARES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


@dataclass(frozen=True)
class Axis:
    """One direction of a chart: what it shows, its ends, where it is ruled; ``log``: equal steps are equal ratios."""

    label: str
    low: float
    high: float
    ticks: Sequence[float]
    log: bool = False

    def share(self, values: ArrayLike) -> NDArray[np.float64]:
        """Map values to 0 (the low end) .. 1 (the high end); what lies beyond an end is drawn at it.

        >>> Axis("error", 0.01, 100, (1,), log=True).share([1, 1000]).round(9).tolist()
        [0.5, 1.0]
        """
        at = np.clip(np.asarray(values, np.float64), self.low, self.high)
        low, high = np.array([self.low, self.high])
        if self.log:
            at, low, high = np.log(at), np.log(low), np.log(high)
        return np.asarray((at - low) / (high - low))


@dataclass(frozen=True)
class Chart:
    """Two axes. Its methods give marks, SVG elements in chart pixels; ``draw`` puts them on the ruled plot."""

    x: Axis
    y: Axis

    def places(self, x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
        """Map values ``(M,)`` of both axes to chart pixels ``(M, 2)``."""
        across, up = np.broadcast_arrays(self.x.share(x), self.y.share(y))
        return np.stack([LEFT + across * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)], -1)

    def line(self, x: ArrayLike, y: ArrayLike, style: str) -> str:
        """Join the points."""
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in self.places(x, y))
        return f'<polyline class="{style}" points="{points}"/>'

    def dots(self, x: ArrayLike, y: ArrayLike, notes: Sequence[str], style: str) -> str:
        """Draw a dot at each point, with a note that appears when it is pointed at."""
        return "".join(
            f'<circle class="{style}" cx="{a:.1f}" cy="{b:.1f}" r="4"><title>{html.escape(note)}</title></circle>'
            for (a, b), note in zip(self.places(x, y), notes, strict=True)
        )

    def bars(self, edges: ArrayLike, heights: ArrayLike, style: str) -> str:
        """Draw M bars up from the low end, between M + 1 edges."""
        ends = np.asarray(edges, np.float64)
        upper = zip(self.places(ends[:-1], heights), self.places(ends[1:], self.y.low), strict=True)
        return "".join(
            f'<rect class="{style}" x="{a + 0.5:.1f}" y="{b:.1f}" width="{c - a - 1:.1f}" height="{d - b:.1f}"/>'
            for (a, b), (c, d) in upper
            if d > b
        )

    def mark(self, x: float, text: str, *, left: bool = False) -> str:
        """Draw an upright line at ``x``, named at its top, on its right or its left."""
        (a, b), (_, d) = self.places([x, x], [self.y.high, self.y.low])
        anchor, gap = ("end", -5) if left else ("start", 5)
        return (
            f'<line class="mark" x1="{a:.1f}" x2="{a:.1f}" y1="{b:.1f}" y2="{d:.1f}"/>'
            f'<text class="note" x="{a + gap:.1f}" y="{b + 10:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'
        )

    def draw(self, *marks: str) -> str:
        """Return the chart as an SVG element as wide as there is room."""
        bottom, middle = HEIGHT - BOTTOM, (LEFT + WIDTH - RIGHT) / 2
        name = f"{self.y.label} over {self.x.label}"
        parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{name}">']
        for tick, (a, _) in zip(self.x.ticks, self.places(self.x.ticks, self.y.low), strict=True):
            parts.append(f'<line class="rule" x1="{a:.1f}" x2="{a:.1f}" y1="{TOP}" y2="{bottom}"/>')
            parts.append(f'<text x="{a:.1f}" y="{bottom + 17}" text-anchor="middle">{tick:g}</text>')
        for tick, (_, b) in zip(self.y.ticks, self.places(self.x.low, self.y.ticks), strict=True):
            parts.append(f'<line class="rule" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{b:.1f}" y2="{b:.1f}"/>')
            parts.append(f'<text x="{LEFT - 7}" y="{b + 4:.1f}" text-anchor="end">{tick:g}</text>')
        parts += marks
        parts.append(f'<text class="name" x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{self.x.label}</text>')
        turned = f'transform="translate(13 {(TOP + bottom) / 2}) rotate(-90)"'
        parts.append(f'<text class="name" {turned} text-anchor="middle">{self.y.label}</text></svg>')
        return "".join(parts)


def error_histogram(percent: NDArray[np.float64]) -> str:
    """Draw how often errors, any shape, in percent of the diagonal and NaN where not scored, are how large."""
    scored = np.clip(percent[np.isfinite(percent)], SMALLEST, LARGEST)
    decades = round(np.log10(LARGEST / SMALLEST))
    edges = np.geomspace(SMALLEST, LARGEST, decades * PER_DECADE + 1)
    counts = np.histogram(scored, edges)[0]
    error = Axis("error, % of the diagonal", SMALLEST, LARGEST, (0.01, 0.1, 1, 10, 100), log=True)
    chart = Chart(error, _counted("keypoints", 1.15 * counts.max()))  # room for the names above the bars
    bars = chart.bars(edges, counts, "bar")
    if not scored.size:
        return chart.draw(bars)
    median, most = np.percentile(scored, [50, 95])
    return chart.draw(bars, chart.mark(median, "median", left=True), chart.mark(most, "95 %"))


def pck_curve(percent: NDArray[np.float64]) -> str:
    """Draw the percentage of keypoints within a distance, from 0 to `PCK_END` percent of the diagonal."""
    radii = np.linspace(0, PCK_END, 201)
    radius = Axis("distance, % of the diagonal", 0, PCK_END, (0, 1, 2, 3, 4, 5))
    chart = Chart(radius, Axis("keypoints within it, %", 0, 100, (0, 20, 40, 60, 80, 100)))
    shares = np.nan_to_num([pck(percent, r) for r in radii])
    return chart.draw(chart.line(radii, shares, "curve"))


def reliability_curve(bins: Sequence[Bin]) -> str:
    """Draw the share of correct keypoints over their confidence; on the dashed diagonal the two are one."""
    chart = Chart(Axis("confidence", 0, 1, SHARES), Axis("share correct", 0, 1, SHARES))
    conf, correct = [b.confidence for b in bins], [b.correct for b in bins]
    notes = [f"{b.count} keypoints: confidence {b.confidence:.3f}, {b.correct:.1%} correct" for b in bins]
    ideal = chart.line([0, 1], [0, 1], "ideal")
    return chart.draw(ideal, chart.line(conf, correct, "curve"), chart.dots(conf, correct, notes, "dot"))


def presence_histogram(scores: NDArray[np.floating[Any]], empty: NDArray[np.bool_]) -> str:
    """Draw the mean confidences ``(N,)`` of pictures with something to find, and of the ``empty`` ones over them."""
    edges = np.linspace(0, 1, 21)
    shares = [np.histogram(scores[part], edges)[0] / max(1, part.sum()) * 100 for part in (~empty, empty)]
    conf = Axis("mean confidence of a picture", 0, 1, SHARES)
    chart = Chart(conf, _counted("pictures of a kind, %", float(np.max(shares))))
    return chart.draw(chart.bars(edges, shares[0], "full"), chart.bars(edges, shares[1], "empty"))


def _counted(label: str, largest: float) -> Axis:
    """Return an axis from 0, in some four steps of 1, 2 or 5 times a power of ten, at least as long as ``largest``.

    >>> _counted("pictures", 47).ticks
    (0, 20, 40, 60)
    """
    steps = (factor * 10**power for power in range(12) for factor in (1, 2, 5))
    step = next(step for step in steps if 4 * step >= largest)
    high = step * max(1, int(np.ceil(largest / step)))
    return Axis(label, 0, high, tuple(range(0, high + 1, step)))
