"""Write a sensitivity ranking as JSON, text and a bar chart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from edgehrnet.cli.tables import table as text_table
from quant.int8.degradation import WITHIN, Degradation
from quant.int8.ranking import Ranked
from runtimes.writing import new_files


def write(ranked: Sequence[Ranked], everything: Degradation, out: Path, most: int = 30) -> None:
    """Write ``sensitivity.json``, ``.txt`` (all of it, as a table) and ``.png`` (the worst)."""
    out.mkdir(parents=True, exist_ok=True)
    content = {"all": asdict(everything), "ranked": [asdict(entry) for entry in ranked]}
    text = json.dumps(content, indent=1).replace("Infinity", "null")
    with new_files(out / "sensitivity.json") as folder:
        (folder / "sensitivity.json").write_text(text + "\n", encoding="utf-8")
        (folder / "sensitivity.txt").write_text(as_text(ranked, everything) + "\n", encoding="utf-8")
        _draw(ranked[:most], everything, folder / "sensitivity.png")


def as_text(ranked: Sequence[Ranked], everything: Degradation) -> str:
    """Lay the ranking out as a table, all quantizers together in its first row."""
    head = ("quantizer", "kind", "drift px", "p95 px", f"PCK@{WITHIN:g}px", "SQNR dB")
    rows = [("all of them", "", everything), *((entry.quantizer, entry.kind, entry.degradation) for entry in ranked)]
    return text_table(
        head,
        [
            (
                name,
                kind,
                f"{degradation.drift_px:.4f}",
                f"{degradation.p95_px:.4f}",
                f"{degradation.pck:.2f}",
                f"{degradation.sqnr_db:.1f}",
            )
            for name, kind, degradation in rows
        ],
    )


def _draw(ranked: Sequence[Ranked], everything: Degradation, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 0.6 + 0.24 * len(ranked)), layout="constrained")
    axes = figure.subplots()
    colors = {"activation": "tab:blue", "weights": "tab:orange"}
    for kind, color in colors.items():
        places = [place for place, entry in enumerate(ranked) if entry.kind == kind]
        if not places:
            continue
        axes.barh(places, [ranked[place].degradation.drift_px for place in places], color=color, label=kind)
    axes.set_yticks(range(len(ranked)), [entry.quantizer for entry in ranked], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel(f"keypoint drift of this quantizer alone, px of the input (all: {everything.drift_px:.3f})")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=110)
