"""The parity report as a page of tables, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from quant.files.parity import Difference, Parity, Row

HEAD = ("engine", "precision", "max px", "p99 px", "PCK", "correlation")


def write_report(parity: Parity, out: Path, title: str) -> Path:
    """Write ``out`` (Markdown) and the same numbers beside it as JSON; return ``out``."""
    out.write_text(markdown(parity, title), encoding="utf-8")
    text = json.dumps(asdict(parity), indent=1, allow_nan=False)
    out.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    return out


def markdown(parity: Parity, title: str) -> str:
    """Lay the rows out as a page of tables."""
    rows = parity.rows
    int8 = [row for row in rows if row.precision == "int8"]
    lines = [
        f"# {title}: do its files agree?",
        "",
        f"{parity.pictures} pictures through each file, decoded alike, and through torch {parity.torch}. Distances in "
        "px of the network input, of the keypoints that the reference is certain of; PCK within one percent of the "
        "diagonal, in percentage points; correlation of the heatmaps. INT8 MACs: the share of the multiply-accumulates "
        "that the engine says it runs on integers.",
        "",
        *_table(("engine", "precision", "file", "MB", "INT8 MACs"), [_about(row) for row in rows if row.file]),
        "",
        "## Against the float network",
        "",
        *_table(HEAD, [[row.engine, row.precision, *_numbers(row, row.floating)] for row in rows]),
        "",
        "## Against the fake-quantized network",
        "",
        "rms: rms(engine - fakequant) / rms(fakequant - float) of the heatmaps. A rounding flip moves a whole step and "
        "the layers below multiply it: the last rows are the fake-quantized networks themselves, computed in float64. "
        "An engine that is no further away than they are rounds as well as its floating type can.",
        "",
        *_table(
            (*HEAD, "rms"),
            [[row.engine, row.precision, *_numbers(row, row.fakequant), _ratio(row.distance)] for row in int8],
        ),
    ]
    return "\n".join(lines) + "\n"


def _about(row: Row) -> list[str]:
    share = f"not run: {row.not_run}" if row.not_run else "not told"
    if row.int8_macs is not None:
        share = f"{row.int8_macs:.1%}"
    return [row.engine, row.precision, row.file, f"{row.megabytes:.1f}" if row.megabytes else "", share]


def _numbers(row: Row, found: Difference | None) -> list[str]:
    if found is None:
        return [f"not run: {row.not_run}", "", "", ""]
    points = "no labels" if found.pck1_points is None else f"{found.pck1_points:+.2f}"
    return [_shown(found.max_px), _shown(found.p99_px), points, f"{found.correlation:.5f}"]


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _shown(value: float | None) -> str:
    return "none certain" if value is None else f"{value:.3f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    whole = (head, ["---"] * len(head), *rows)
    return [f"| {' | '.join(cell.replace('|', '/').replace(chr(10), ' ') for cell in cells)} |" for cells in whole]
