"""Measure cases in processes of their own, and recommend one."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from edgehrnet import __version__
from edgehrnet.benchmarking.cases import TOTAL, Case
from edgehrnet.errors import InputError
from edgehrnet.sources.files import Files
from runtimes.cpus import cpu_quota, visible_cpus

SLOWEST = 10
"""Number of operations that are reported."""
CLOSE = 1.05
"""Cases within this factor of the fastest one count as equally fast. Of these, the fewest threads are recommended."""
LESS_EXACT = 1.1
"""A model whose error is larger by this factor than the smallest one is not recommended."""


@dataclass
class Report:
    """Results of the measurements, as JSON values."""

    system: dict[str, Any]
    """Machine and versions."""
    pictures: list[str]
    """Pictures that were predicted."""
    cases: list[dict[str, Any]] = field(default_factory=list)
    """A row per case: the fields of `Case`, ``line``, ``title``, and what was measured, or ``error``."""
    cold: list[dict[str, Any]] = field(default_factory=list)
    """Seconds from the start of a process to its first result, per model and device."""
    operations: list[dict[str, Any]] = field(default_factory=list)
    """The slowest operations, per model and device."""
    recommendation: dict[str, str] = field(default_factory=dict)
    """``line`` to write, and ``reason``. Empty if nothing could be measured."""

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return asdict(self)


def benchmark(
    cases: Sequence[Case],
    pictures: str | Path,
    *,
    seconds: float = 3.0,
    truth: Path | None = None,
    images: Path | None = None,
    progress: Callable[[str], object] = lambda _: None,
) -> Report:
    """Measure cases one after the other.

    Args:
        cases: What to measure, see `cases_of`.
        pictures: A picture, folder or pattern.
        seconds: Time for the calls of each case, and again for its throughput.
        truth: COCO keypoint file, to measure the error as well.
        images: Folder of its pictures. None: beside the file, or in ``images`` there.
        progress: Called with a line before each measurement.

    Raises:
        InputError: No case can be measured, or an argument cannot be used.
    """
    if not 0 < seconds < float("inf"):
        raise InputError(f"seconds={seconds}; pass a time above 0")
    paths = [str(path.resolve()) for path in Files(pictures)]
    report = Report(_system(), paths)  # before this process adds to the load
    several = len({case.model for case in cases}) > 1
    for case in cases:
        progress(f"times of {case.title()}")
        job = {"kind": "times", "batch": case.batch, "seconds": seconds, "pictures": paths, "truth": _text(truth),
               "images": _text(images)}  # fmt: skip
        report.cases.append({**asdict(case), "line": case.line(), "title": case.title(several), **_run(case, job)})
    measured = [case for case, row in zip(cases, report.cases, strict=True) if "error" not in row]
    if not measured:
        raise InputError(f"nothing could be measured: {report.cases[0]['error']}")
    first: dict[tuple[str, str | None], Case] = {}
    for case in measured:
        first.setdefault((case.model, case.device), case)
    for case in first.values():
        about = {"model": case.model, "device": case.device}
        progress(f"cold start of {case.title()}")
        report.cold.append({**about, **_cold(case, paths)})
        progress(f"operations of {case.title()}")
        report.operations.append({**about, **_run(case, {"kind": "operations", "count": SLOWEST})})
    report.recommendation = recommend(report.cases)
    return report


def recommend(rows: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Choose a row of `Report.cases` by its median time from a file to keypoints, and say why."""
    whole = [row for row in rows if "error" not in row and row["batch"] == 1]
    errors = [row["error_px"]["mean"] for row in whole if "error_px" in row]
    exact = [row for row in whole if not errors or row["error_px"]["mean"] <= LESS_EXACT * min(errors)]
    own = [row for row in exact if row["input_size"] is None]
    found = exact if errors or not own else own
    if not found:
        return {}
    fastest = min(map(_median, found))
    close = [row for row in found if _median(row) <= CLOSE * fastest]
    best = min(close, key=lambda row: (row["threads"] or sys.maxsize, _median(row)))
    reason = [f"{_median(best):.1f} ms from file to keypoints (median), {best['per_second']:.0f} per second by stream"]
    others = [_median(row) for row in found if row is not best]
    if others:
        reason.append(f"the slowest of {len(found)} compared takes {max(others) / _median(best):.1f} times as long")
    if len(close) > 1:
        reason.append(f"{len(close)} are within {CLOSE - 1:.0%}, of which this one has the fewest threads")
    if errors:
        reason.append(f"mean error {best['error_px']['mean']:.2f} px, where the smallest is {min(errors):.2f} px")
    elif len(own) < len(exact):
        reason.append("other sizes than the file's were left out, as their error was not measured (--truth)")
    return {"line": str(best["line"]), "reason": "; ".join(reason)}


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _median(row: dict[str, Any]) -> float:
    return float(row["stages"][TOTAL]["p50"])


def _cold(case: Case, pictures: list[str]) -> dict[str, Any]:
    """Return the smallest of three cold starts without a cache, and with a cache that an earlier process filled."""

    def start(cache: str | None) -> float | None:
        found = _run(case, {"kind": "cold", "pictures": pictures, "cache_dir": cache, "started": time.time()})
        return found.get("seconds")

    with tempfile.TemporaryDirectory() as folder:
        start(folder)
        has_cache = any(Path(folder).iterdir())
        without = [start(None) for _ in range(3)]
        cached = [start(folder) for _ in range(3)] if has_cache else []
    seconds = [min((one for one in some if one is not None), default=None) for some in (without, cached)]
    return {"without_cache_s": seconds[0], "with_cache_s": seconds[1]}


def _run(case: Case, job: dict[str, Any]) -> dict[str, Any]:
    """Return what a process of its own measures, or its error."""
    job = {"model": case.model, "arguments": case.arguments(), **job}
    command = [sys.executable, "-m", "edgehrnet.benchmarking.child"]
    done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, check=False)
    lines = done.stdout.strip().splitlines()
    if done.returncode == 0 and lines:
        found: dict[str, Any] = json.loads(lines[-1])
        return found
    last = (done.stderr.strip().splitlines() or [""])[-1]
    return {"error": f"the measuring process ended with status {done.returncode}: {last}"}


def _system() -> dict[str, Any]:
    return {
        "cpu": _cpu(), "cpus": visible_cpus(), "cpu_quota": cpu_quota(), "system": platform.platform(),
        "python": platform.python_version(), "edgehrnet": __version__, "load": _load(),
        "time": time.strftime("%Y-%m-%d %H:%M"),
    }  # fmt: skip


def _load() -> float | None:
    """Return the mean number of processes that wanted a CPU in the last minute, None where it is not known."""
    return round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
