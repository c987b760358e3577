"""Write the results of a parity check as a page of tables, and as JSON."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from edgehrnet.selfcheck import GOLDEN_CORRELATION, GOLDEN_PX
from quant.files.parity import Difference, Parity, ParityRow
from runtimes.writing import new_files

HEAD = ("engine", "precision", "max px", "p99 px", "PCK", "correlation")
RULE = (
    "A file in fp32 or fp16 is compared with the float network, and a file in int8 with the fake-quantized network, "
    "which rounds as INT8 does but computes in floating point. A file agrees if its keypoints are at most "
    f"{GOLDEN_PX:g} px away and its heatmaps have a correlation of at least {GOLDEN_CORRELATION:g}."
)
FILES = "INT8 MACs is the share of the multiply-accumulates that run on integers, as the engine reports it."
FLOATING = (
    "max px and p99 px are the maximum and the 99th percentile of the distance between keypoints, in pixels of the "
    "network input, where the float network is confident. PCK is the change, in percentage points, of the share of "
    "keypoints that lie within one percent of the picture's diagonal from their label. correlation is Pearson's "
    "correlation of the heatmaps."
)
FAKEQUANT = (
    "The columns are the same, with the fake-quantized network in the place of the float network. rms is the distance "
    "of the heatmaps relative to the quantization error: rms(engine - fakequant) / rms(fakequant - float). It is not 0 "
    "even for a correct engine, because a value halfway between two quantization steps may be rounded either way, and "
    "the following layers amplify the difference. The rows of torch show this effect alone: there, the fake-quantized "
    "network is computed in float64. An engine with a similar rms rounds as accurately as its floating-point type "
    "allows."
)
REASON_WIDTH = 120  # characters; the JSON file has the full text
ARGUMENT = re.compile(r"compute_capability=\((\d+), (\d+)\)")
DETAIL = re.compile(r" \([^()]{20,}\)")  # such as the text of a CUDA error


def write_report(parity: Parity, out: Path, title: str) -> Path:
    """Write the page and, beside it, the same numbers as JSON.

    Args:
        parity: Results.
        out: Markdown file to write. The JSON file has the same name with another suffix.
        title: Name of the model.

    Returns:
        ``out``.
    """
    text = json.dumps(asdict(parity), indent=1, allow_nan=False)
    with new_files(out) as folder:
        (folder / out.name).write_text(markdown(parity, title), encoding="utf-8")
        (folder / out.with_suffix(".json").name).write_text(text + "\n", encoding="utf-8")
    return out


def markdown(parity: Parity, title: str) -> str:
    """Return the page: a verdict, tables of what ran, and a table of what did not run."""
    ran = [row for row in parity.rows if not row.not_run]
    absent = [row for row in parity.rows if row.not_run]
    int8 = [row for row in ran if row.precision == "int8"]
    known = [row for row in parity.rows if row.file and (row.int8_macs is not None or not row.not_run)]
    fakequant = [[row.engine, row.precision, *_numbers(row.fakequant), _ratio(row.distance)] for row in int8]
    lines = [
        f"# {title}: do its files agree?",
        "",
        verdict(parity.rows),
        "",
        f"Each file and the network in torch {parity.torch} predicted the same {parity.pictures} pictures, and the "
        f"same decoder found the keypoints. {RULE}",
        *_section("Files", FILES, ("engine", "precision", "file", "MB", "INT8 MACs"), [_about(row) for row in known]),
        *_section(
            "Against the float network",
            FLOATING,
            HEAD,
            [[row.engine, row.precision, *_numbers(row.floating)] for row in ran],
        ),
        *_section("Against the fake-quantized network", FAKEQUANT, (*HEAD, "rms"), fakequant),
    ]
    if absent:
        rows = [[row.engine, row.file, reason(row.not_run)] for row in absent]
        lines += _section("Did not run here", "The JSON file has the full reasons.", ("engine", "file", "reason"), rows)
    return "\n".join(lines) + "\n"


def _section(heading: str, text: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return ["", f"## {heading}", "", text, "", *_table(head, rows)]


def verdict(rows: Sequence[ParityRow]) -> str:
    """Say in one line whether the files that ran agree, and which do not. A file counts once for each engine."""
    ran = [row for row in rows if row.file and not row.not_run]
    apart = [f"`{row.file}` ({row.engine})" for row in ran if not agrees(row)]
    absent = sum(1 for row in rows if row.not_run)
    more = f" {absent} more did not run here, see [below](#did-not-run-here)." if absent else ""
    if not ran:
        return f"**Nothing was compared: no file ran here.**{more}"
    if apart:
        return f"**{len(apart)} of the {len(ran)} files that ran here do not agree: {', '.join(apart)}.**{more}"
    return f"**All {len(ran)} files that ran here agree.**{more}"


def agrees(row: ParityRow) -> bool:
    """Return whether a file is within the limits of the self-check from the network that it was built from."""
    found = row.floating if row.fakequant is None else row.fakequant
    if found is None:
        return False
    return (found.max_px is None or found.max_px <= GOLDEN_PX) and found.correlation >= GOLDEN_CORRELATION


def reason(text: str) -> str:
    """Shorten the reason why a file did not run, and write Python arguments as options of quant.export.

    >>> reason("no usable GPU (cudaErrorInsufficientDriver), or pass compute_capability=(8, 6)")
    'no usable GPU, or pass --compute-capability 8.6'
    """
    short = DETAIL.sub("", ARGUMENT.sub(r"--compute-capability \1.\2", text))
    return textwrap.shorten(short, REASON_WIDTH, placeholder=" ...")


def _about(row: ParityRow) -> list[str]:
    share = "unknown" if row.int8_macs is None else f"{row.int8_macs:.1%}"
    return [row.engine, row.precision, row.file, f"{row.megabytes:.1f}", share]


def _numbers(found: Difference | None) -> list[str]:
    if found is None:
        return ["", "", "", ""]
    points = "no labels" if found.pck1_points is None else f"{found.pck1_points:+.2f}"
    return [_distance(found.max_px), _distance(found.p99_px), points, f"{found.correlation:.5f}"]


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def _distance(value: float | None) -> str:
    return "none confident" if value is None else f"{value:.3f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    whole = (head, ["---"] * len(head), *rows)
    return [f"| {' | '.join(cell.replace('|', '/').replace(chr(10), ' ') for cell in cells)} |" for cells in whole]
