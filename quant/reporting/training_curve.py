"""Draw the logs of training runs as one chart."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

# Of a legend, where it hides no line.
BELOW: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14), "frameon": False}


def read_logs(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Join ``log.jsonl`` files; the steps of each run follow those of the run before."""
    lines: list[dict[str, Any]] = []
    for path in paths:
        start = lines[-1]["step"] if lines else 0
        for text in path.read_text().splitlines():
            line = json.loads(text)
            lines.append({**line, "step": start + line["step"]})
    return lines


def draw(lines: Sequence[dict[str, Any]], out: Path) -> None:
    """Write a picture: the loss's terms on the left, errors and PCK of the held-back pictures on the right."""
    steps = [line["step"] for line in lines]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    left.plot(steps, [sum(line["loss"].values()) for line in lines], marker=".", color="black", label="sum")
    for name in lines[-1]["loss"]:
        left.plot(steps, [line["loss"].get(name) for line in lines], marker=".", label=name)
    left.set(title="training loss", xlabel="step", yscale="log")
    left.legend(**BELOW, ncols=3)
    right.plot(steps, [line["median_percent"] for line in lines], marker=".", label="median error, % of diagonal")
    right.plot(steps, [line["mean_percent"] for line in lines], marker=".", label="mean error, % of diagonal")
    right.set(title="held-back pictures", xlabel="step", yscale="log")
    share = right.twinx()
    share.plot(steps, [line["pck2"] for line in lines], marker=".", color="tab:green", label="PCK at 2 %")
    share.set(ylim=(0, 100), ylabel="% of corners")
    handles = [*right.get_lines(), *share.get_lines()]
    right.legend(handles=handles, **BELOW, ncols=2)
    figure.savefig(out, dpi=110)
    plt.close(figure)
