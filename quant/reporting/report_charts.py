"""Draw the charts of a report with matplotlib, in colors for a light and for a dark page."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter
from numpy.typing import NDArray

from quant.scoring.metrics import Bin, pck

INCHES = (5.2, 3.1)
KEYPOINT_WIDTH = 3.9  # inches
KEYPOINT_ROW, KEYPOINT_AXIS = 0.22, 0.6  # inches: height of a keypoint, and of the axis below all of them
LONGEST_NAME = 20  # characters
SMALLEST, LARGEST = 0.01, 100.0  # percent of the diagonal; errors outside are counted in the outermost bars
PER_DECADE = 8  # bars
PCK_END = 5.0  # percent of the diagonal


@dataclass(frozen=True)
class Theme:
    """Colors of the charts and of the page around them."""

    text: str
    """Annotations."""
    soft: str
    """Ticks, axis labels and reference lines."""
    rule: str
    """Grid lines."""
    main: str
    """Bars and curves."""
    warm: str
    """Bars of a second group."""


LIGHT = Theme(text="#1c2127", soft="#5d6873", rule="#e3e7eb", main="#0072b2", warm="#d55e00")
DARK = Theme(text="#e8ebee", soft="#9aa5b0", rule="#333a42", main="#56b4e9", warm="#f08a3c")


@dataclass(frozen=True)
class Images:
    """One chart as SVG images, each a ``data:`` address."""

    light: str
    """For a page with a light background."""
    dark: str
    """For a page with a dark background."""


def both(draw: Callable[[Theme], Figure]) -> Images:
    """Draw a chart once in light and once in dark colors."""
    return Images(_svg(draw(LIGHT)), _svg(draw(DARK)))


def error_histogram(percent: NDArray[np.float64], theme: Theme) -> Figure:
    """Draw the distribution of errors on a logarithmic axis.

    Args:
        percent: Errors of any shape in percent of the diagonal, NaN where not scored.
        theme: Colors.
    """
    scored = np.clip(percent[np.isfinite(percent)], SMALLEST, LARGEST)
    decades = round(np.log10(LARGEST / SMALLEST))
    edges = np.geomspace(SMALLEST, LARGEST, decades * PER_DECADE + 1)
    figure, axes = _chart(theme, "error, % of the diagonal", "keypoints")
    axes.set_xscale("log")
    axes.set_xlim(SMALLEST, LARGEST)
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.minorticks_off()
    counts, _, _ = axes.hist(scored, edges.tolist(), color=theme.main, rwidth=0.9)
    _count_axis(axes, float(np.max(counts)))
    if scored.size:
        median, p95 = np.percentile(scored, [50, 95])
        _upright_line(axes, median, "median", theme, left=True)
        _upright_line(axes, p95, "95 %", theme)
    return figure


def pck_curve(percent: NDArray[np.float64], theme: Theme) -> Figure:
    """Draw the percentage of keypoints within each distance from 0 to `PCK_END`.

    Args:
        percent: Errors of any shape in percent of the diagonal, NaN where not scored.
        theme: Colors.
    """
    figure, axes = _chart(theme, "distance, % of the diagonal", "keypoints within it, %")
    radii = np.linspace(0, PCK_END, 201)
    axes.plot(radii, np.nan_to_num([pck(percent, radius) for radius in radii]), color=theme.main, linewidth=2.2)
    axes.set(xlim=(0, PCK_END), ylim=(0, 104))
    return figure


def reliability_curve(bins: Sequence[Bin], theme: Theme) -> Figure:
    """Draw the share of correct keypoints over their mean confidence. A calibrated model lies on the diagonal."""
    figure, axes = _chart(theme, "confidence", "share correct")
    axes.plot([0, 1], [0, 1], color=theme.soft, linewidth=1, linestyle="--")
    conf, correct = [part.confidence for part in bins], [part.correct for part in bins]
    axes.plot(conf, correct, color=theme.main, linewidth=2.2, marker="o", markersize=5.5, clip_on=False)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    return figure


def presence_histogram(scores: NDArray[np.floating[Any]], empty: NDArray[np.bool_], theme: Theme) -> Figure:
    """Draw the distribution of confidence for pictures with and without something to find.

    Args:
        scores: Mean confidence ``(N,)`` of each picture, 0..1.
        empty: ``(N,)``, True where there is nothing to find.
        theme: Colors. `Theme.warm` is for the empty pictures.
    """
    figure, axes = _chart(theme, "mean confidence of a picture", "pictures of a group, %")
    edges = np.linspace(0, 1, 21).tolist()
    highest = 0.0
    for part, color, opacity in ((~empty, theme.main, 1.0), (empty, theme.warm, 0.75)):
        share = np.full(int(part.sum()), 100 / max(1, int(part.sum())))
        heights, _, _ = axes.hist(scores[part], edges, weights=share, color=color, alpha=opacity, rwidth=0.9)
        highest = max(highest, float(np.max(heights)))
    axes.set_xlim(0, 1)
    _count_axis(axes, highest)
    return figure


def keypoint_spread(errors: NDArray[np.float64], names: Sequence[str], unit: str, theme: Theme) -> Figure:
    """Draw the middle half, the median and the range from 5 to 95 % of each keypoint's errors, one row for each.

    Args:
        errors: Errors ``(N, K)``, NaN where not scored.
        names: Names of the K keypoints, drawn from the top.
        unit: Label of the axis of errors.
        theme: Colors. `Theme.warm` is for the median.
    """
    size = (KEYPOINT_WIDTH, KEYPOINT_AXIS + KEYPOINT_ROW * len(names))
    figure, axes = _chart(theme, unit, "", size)
    scored = [(row, column[np.isfinite(column)]) for row, column in enumerate(errors.T)]
    shares = {row: np.percentile(values, [5, 25, 50, 75, 95]) for row, values in scored if values.size}
    rows = list(shares)
    low, first, median, third, high = np.array(list(shares.values())).reshape(-1, 5).T
    axes.hlines(rows, low, high, color=theme.soft, linewidth=1.2, zorder=1)
    axes.barh(rows, third - first, left=first, height=0.62, color=theme.main, zorder=2)
    axes.vlines(median, np.array(rows) - 0.31, np.array(rows) + 0.31, color=theme.warm, linewidth=2.4, zorder=3)
    axes.grid(visible=False, axis="y")
    axes.set_yticks(range(len(names)), [_shortened(name) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(0, 1.03 * float(np.max(high, initial=0)) or 1)
    return figure


def _shortened(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…"


def _chart(theme: Theme, x: str, y: str, size: tuple[float, float] = INCHES) -> tuple[Figure, Axes]:
    """Return an empty chart of a size (width, height), with labeled axes, a grid, and a transparent background."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots()
    axes.set_facecolor("none")
    axes.set_axisbelow(True)
    axes.grid(color=theme.rule, linewidth=0.8)
    axes.tick_params(length=0, pad=6, labelsize=9, labelcolor=theme.soft)
    axes.spines[:].set_visible(False)
    axes.set_xlabel(x, color=theme.soft)
    axes.set_ylabel(y, color=theme.soft)
    return figure, axes


def _count_axis(axes: Axes, highest: float) -> None:
    """Let the y axis begin at 0, end above the highest bar, and have ticks at whole numbers."""
    axes.set_ylim(0, 1.15 * max(highest, 1))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=True))


def _upright_line(axes: Axes, x: float, text: str, theme: Theme, *, left: bool = False) -> None:
    """Draw a dotted line at ``x`` with a text beside its upper end."""
    axes.axvline(x, color=theme.text, linewidth=1, linestyle=":")
    axes.annotate(
        text, (x, 1), (-5 if left else 5, -9), xycoords=("data", "axes fraction"), textcoords="offset points",
        horizontalalignment="right" if left else "left", fontsize=9, color=theme.text,
    )  # fmt: skip


def _svg(figure: Figure) -> str:
    """Return a figure as a ``data:`` address. The same figure gives the same text every time."""
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "report"}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    return f"data:image/svg+xml;base64,{base64.b64encode(buffer.getvalue()).decode()}"
