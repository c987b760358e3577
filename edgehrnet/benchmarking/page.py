"""Draw a benchmark as one HTML page without parts of other servers."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from edgehrnet.benchmarking.cases import STAGES, TOTAL
from edgehrnet.benchmarking.running import Report

WIDTH, LABELS, ROW = 860, 250, 34
STYLE = """
:root { color-scheme: light dark; --text: #1c2330; --soft: #667085; --line: #d9dee7; --back: #fff; --card: #f6f8fb;
  --read: #94a3b8; --letterbox: #38bdf8; --crop: #38bdf8; --inference: #4f46e5; --decode: #f59e0b; --rest: #cbd5e1; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9f0; --soft: #98a2b3; --line: #344054; --back: #12161f;
  --card: #1b212d; --inference: #818cf8; --rest: #475467; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); max-width: 1060px;
  margin: 0 auto; padding: 24px 20px 60px; }
h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 18px; margin: 36px 0 8px; } p { margin: 6px 0; }
.soft { color: var(--soft); }
.card { background: var(--card); border-radius: 10px; padding: 14px 18px; margin: 18px 0; }
code { font: 14px ui-monospace, monospace; overflow-wrap: anywhere; } .wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th { text-align: left; font-weight: 600; color: var(--soft); } th, td { padding: 5px 12px 5px 0; white-space: nowrap;
  border-bottom: 1px solid var(--line); } td.n, th.n { text-align: right; }
svg { width: 100%; height: auto; } svg text { fill: var(--text); font: 13px system-ui, sans-serif; }
svg text.soft { fill: var(--soft); font-size: 12px; }
.key { display: inline-flex; align-items: center; gap: 6px; margin-right: 16px; font-size: 13px; }
.key i { width: 12px; height: 12px; border-radius: 3px; display: inline-block; }
"""


def page(report: Report) -> str:
    """Return the page."""
    system, best = report.system, report.recommendation
    about = f"{system['cpu']}, {system['cpus']} CPUs, {system['system']}, {system['time']}"
    about += f", edgehrnet {system['edgehrnet']}. {busy(report) or ''}"
    shown = [row for row in report.cases if "error" not in row]
    parts = [
        "<h1>Benchmark</h1>", f'<p class="soft">{escape(about)}</p>',
        f'<div class="card"><p>Recommended on this machine:</p><p><code>{escape(best["line"])}</code></p>'
        f'<p class="soft">{escape(best["reason"])}</p></div>' if best else "",
        "<h2>Time of a call</h2>", _keys(shown), _times(shown),
        '<p class="soft">Bars are the medians of the stages, and the number is the median of all together. '
        "The thin line reaches from the median to the 99th "
        "percentile, with a mark at the 95th. A bar's gray end is time between the stages.</p>",
        "<h2>Throughput by stream</h2>", _bars([(row["title"], row["per_second"]) for row in shown], "per second"),
        "<h2>All numbers</h2>", _table(*case_rows(report)), _refused(report),
        "<h2>Cold start</h2>", '<p class="soft">From the start of a process to its first result, the smallest of '
        "three.</p>", _table(*cold_rows(report)),
        "<h2>Slowest operations</h2>", '<p class="soft">Measured by the engine on a blank input, which makes the '
        "inference slower.</p>", *_operations(report),
    ]  # fmt: skip
    return ("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Benchmark</title>"
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n")  # fmt: skip


def busy(report: Report) -> str | None:
    """Say that other processes used the CPUs, None if they did not."""
    load, cpus = report.system["load"], report.system["cpus"]
    if load is None or load <= cpus:
        return None
    return f"The machine was busy: {load:g} processes wanted its {cpus} CPUs, so that all times are too long."


def case_rows(report: Report) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the head and the rows of the table of cases."""
    rows = [row for row in report.cases if "error" not in row]
    stages = [stage for stage in (*STAGES, TOTAL) if any(stage in row["stages"] for row in rows)]
    has_error = any("error_px" in row for row in rows)
    head = ("case", *(f"{stage} ms" for stage in stages), "p95", "p99", "per second", "memory MB",
            *(["error px"] if has_error else []))  # fmt: skip
    return head, [
        (
            row["title"],
            *(f"{row['stages'][stage]['p50']:.2f}" if stage in row["stages"] else "" for stage in stages),
            f"{row['stages'][TOTAL]['p95']:.2f}",
            f"{row['stages'][TOTAL]['p99']:.2f}",
            f"{row['per_second']:.1f}",
            "" if row["memory_mb"] is None else f"{row['memory_mb']:.0f}",
            *([f"{row['error_px']['mean']:.2f}"] if has_error and "error_px" in row else [""] * has_error),
        )
        for row in rows
    ]


def cold_rows(report: Report) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the head and the rows of the table of cold starts."""
    return ("model", "device", "without cache s", "with cache s"), [
        (
            row["model"],
            row["device"] or "default",
            *(
                "none" if row[key] is None else f"{row[key]:.2f}"
                for key in ("without_cache_s", "with_cache_s")
            ),
        )
        for row in report.cold
    ]  # fmt: skip


def operation_rows(found: dict[str, Any]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Return the head and the rows of the table of the slowest operations of a model."""
    total = found["total_ms"] or 1.0
    return ("operation", "type", "kernel", "ms", "share %"), [
        (one["name"], one["type"], one["kernel"], f"{one['ms']:.3f}", f"{100 * one['ms'] / total:.1f}")
        for one in found["operations"]
    ]


def _times(rows: Sequence[dict[str, Any]]) -> str:
    """Draw the stages of each case as a bar, with a line to the 99th percentile."""
    longest = max(row["stages"][TOTAL]["p99"] for row in rows)
    scale = (WIDTH - LABELS - 70) / longest
    parts = []
    for number, row in enumerate(rows):
        top, x, total = number * ROW + 8, float(LABELS), row["stages"][TOTAL]
        parts.append(_label(row["title"], top))
        spent = {stage: row["stages"][stage]["p50"] for stage in STAGES if stage in row["stages"]}
        spent["rest"] = max(0.0, total["p50"] - sum(spent.values()))
        for stage, ms in spent.items():
            title = f"<title>{stage}: {ms:.2f} ms</title>"
            parts.append(_bar(x, top, ms * scale, f"var(--{stage})", title))
            x += ms * scale
        middle, high, end = top + 9, LABELS + total["p95"] * scale, LABELS + total["p99"] * scale
        parts.append(f'<path d="M{LABELS + total["p50"] * scale:.1f} {middle}H{end:.1f}M{high:.1f} {middle - 5}v10'
                     f'M{end:.1f} {middle - 3}v6" stroke="var(--soft)" fill="none"/>')  # fmt: skip
        parts.append(f'<text x="{max(x, end) + 8:.1f}" y="{top + 14}">{total["p50"]:.1f} ms</text>')
    return _svg(parts, len(rows))


def _bars(rows: Sequence[tuple[str, float]], unit: str) -> str:
    largest = max(value for _, value in rows) or 1.0
    parts = []
    for number, (title, value) in enumerate(rows):
        top, width = number * ROW + 8, value / largest * (WIDTH - LABELS - 70)
        parts += [
            _label(title, top),
            _bar(LABELS, top, width, "var(--inference)", f"<title>{value:.1f} {unit}</title>"),
        ]
        parts.append(f'<text x="{LABELS + width + 8:.1f}" y="{top + 14}">{value:.1f}</text>')
    return _svg(parts, len(rows))


def _bar(x: float, top: int, width: float, color: str, title: str) -> str:
    return f'<rect x="{x:.1f}" y="{top}" width="{max(width, 0):.1f}" height="18" fill="{color}">{title}</rect>'


def _label(text: str, top: int) -> str:
    shown = text if len(text) < 38 else f"{text[:17]}…{text[-19:]}"
    return f'<text x="0" y="{top + 14}">{escape(shown)}<title>{escape(text)}</title></text>'


def _svg(parts: Sequence[str], rows: int) -> str:
    return f'<div class="wide"><svg viewBox="0 0 {WIDTH} {rows * ROW + 8}" role="img">{"".join(parts)}</svg></div>'


def _keys(rows: Sequence[dict[str, Any]]) -> str:
    used = [stage for stage in STAGES if any(stage in row["stages"] for row in rows)]
    return "".join(f'<span class="key"><i style="background: var(--{stage})"></i>{stage}</span>' for stage in used)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    numeric = [all(_is_number(row[column]) for row in rows) for column in range(len(head))]
    kinds = [' class="n"' if number else "" for number in numeric]
    lines = ["".join(f"<th{kind}>{escape(cell)}</th>" for kind, cell in zip(kinds, head, strict=True))]
    lines += ["".join(f"<td{kind}>{escape(cell)}</td>" for kind, cell in zip(kinds, row, strict=True)) for row in rows]
    return f'<div class="wide"><table>{"".join(f"<tr>{line}</tr>" for line in lines)}</table></div>'


def _is_number(cell: str) -> bool:
    return cell in ("", "none") or cell.replace(".", "", 1).isdigit()


def _refused(report: Report) -> str:
    refused = [row for row in report.cases if "error" in row]
    return "".join(f"<p>{escape(row['title'])}: {escape(row['error'])}</p>" for row in refused)


def _operations(report: Report) -> list[str]:
    parts = []
    for found in report.operations:
        parts.append(
            f"<p><code>{escape(found['model'])}</code> on {escape(found['device'] or 'its default device')}</p>"
        )
        if found.get("operations"):
            parts.append(_table(*operation_rows(found)))
        else:
            parts.append(f"<p>{escape(found.get('error') or 'not measured by this engine')}</p>")
    return parts
