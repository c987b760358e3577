"""Lay out which corrections were tried, and which one was chosen."""

from __future__ import annotations

import math

from edgehrnet.cli.tables import table
from quant.int8.choice import GOOD_DB, Choice
from quant.int8.degradation import LOST


def as_text(choice: Choice, pictures: int) -> str:
    """Return a table of the candidates, and what the numbers mean.

    Args:
        choice: The choice.
        pictures: Number of pictures that it was judged on.
    """
    rows = [
        (
            candidate.name,
            *(
                f"{value:.{digits}f}" if math.isfinite(value) else "-"
                for value, digits in (
                    (candidate.degradation.sqnr_db, 1),
                    (candidate.degradation.capped_px, 3),
                    (candidate.degradation.median_px, 3),
                    (candidate.degradation.p95_px, 3),
                )
            ),
            "chosen" if candidate is choice.chosen else "",
        )
        for candidate in choice.tried
    ]
    lines = [
        table(("corrections", "SQNR dB", "drift px", "median px", "p95 px", ""), rows),
        f"judged on {pictures} pictures apart from those of the calibration; drift is the mean in px of the network",
        f"input, in which a keypoint that is lost counts as {LOST} heatmap cells",
    ]
    if len(choice.tried) == 1:
        lines.append(f"nothing else was tried, because this is good: at least {GOOD_DB:g} dB, and little drift")
    if choice.sites:
        lines.append(f"left in float: {' '.join(choice.sites)}")
    return "\n".join(lines)
