"""Write the log of a training run, one JSON object per line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from runtimes.writing import append_line, write_file


def add_to_log(log: Path, line: dict[str, Any]) -> None:
    """Add a line to a log. Raises WriteError if the disk is full."""
    append_line(log, json.dumps(line))


def cut_log(log: Path, step: int) -> None:
    """Remove the lines of steps that are going to be repeated, and half a line that a killed process has left."""
    if log.is_file():
        write_file(log, "".join(f"{line}\n" for line in _lines_to(log, step)))


def _lines_to(log: Path, step: int) -> Iterator[str]:
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        with suppress(ValueError, TypeError, KeyError):
            if json.loads(line)["step"] <= step:
                yield line
