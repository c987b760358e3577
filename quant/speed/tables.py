"""Lay out sites and trade-offs as tables."""

from __future__ import annotations

from collections.abc import Sequence

from edgehrnet.cli.tables import table
from quant.speed.gains import Gains
from quant.speed.trade_off import Point, Site

SHOWN = 15


def site_table(ranked: Sequence[Site]) -> str:
    """Return the first sites of a ranking as a table."""
    rows = [[site.name, f"{site.gain_ms:.3f}", f"{site.drift_px:.3f}", f"{site.worth:.2f}"] for site in ranked[:SHOWN]]
    lines = table(["site", "ms saved", "drift px", "ms for a px"], rows)
    left = len(ranked) - len(rows)
    return f"{lines}\nand {left} more that save time" if left else lines


def point_table(points: Sequence[Point], gains: Gains, chosen: Point | None = None) -> str:
    """Return points as a table with a mark at the chosen one.

    Drift is in pixels of the network input. Mean error and PCK are in percent of the picture's diagonal.
    """
    heads = ["sites", "ms", "ratio", "drift px", "mean %", "PCK 1%", ""]
    return table(heads, [_row(point, gains, point is chosen) for point in points])


def _row(point: Point, gains: Gains, marked: bool) -> list[str]:
    return [
        str(len(point.sites)),
        f"{point.ms:.2f}",
        f"{point.ms / gains.before:.2f}",
        f"{point.drift_px:.2f}",
        f"{point.score.mean_percent:.2f}",
        f"{point.score.pck1:.1f}",
        "<- chosen" if marked else "",
    ]
