"""Draw the logs of training runs as one chart."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from edgehrnet.errors import InputError

LOG = "log.jsonl"
BELOW: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.16), "frameon": False}  # hides no line
LOG_SCALE_FROM = 5.0  # largest value over smallest; a linear axis has more readable ticks below
TINY = 1e-3  # with smaller values, all ticks of an axis are powers of ten such as 5e-04


def read_logs(runs: Sequence[Path]) -> list[dict[str, Any]]:
    """Join the logs of runs into one. The steps of each run follow those of the run before.

    Args:
        runs: Folders of training runs, or ``log.jsonl`` files.

    Raises:
        InputError: A log is missing, empty, or not the log of a training run.
    """
    lines: list[dict[str, Any]] = []
    for run in runs:
        path = run / LOG if run.is_dir() else run
        start = lines[-1]["step"] if lines else 0
        try:
            found = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
            lines += [{**line, "step": start + line["step"]} for line in found]
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror}; pass the folder of a training run") from None
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is not the log of a training run: {error!r}") from None
        if not found:
            raise InputError(f"{path} is empty; the run has not trained long enough")
    return lines


def draw(lines: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw the training loss, and the errors and PCK on the validation set, over training steps.

    Args:
        lines: Lines of a log, as `read_logs` returns them. Lines between validations have the loss only.
    """
    steps = [line["step"] for line in lines]
    scored = [line for line in lines if "mean_percent" in line]
    validations = [line["step"] for line in scored]
    figure = Figure(figsize=(13.5, 4.2), layout="constrained")
    loss, error, share = figure.subplots(1, 3, sharex=True)
    names = list(dict.fromkeys(name for line in lines for name in line["loss"]))
    terms = {name: [_number(line["loss"].get(name)) for line in lines] for name in names}
    if len(names) > 1:
        loss.plot(steps, [sum(line["loss"].values()) for line in lines], marker=".", color="black", label="sum")
    for name, values in terms.items():
        loss.plot(steps, values, marker=".", label=name)
    loss.set(title="Training loss", xlabel="step", ylabel="loss")
    for key, label in (("median_percent", "median"), ("mean_percent", "mean")):
        error.plot(validations, [_number(line[key]) for line in scored], marker=".", label=label)
    error.set(title="Error on the validation set", xlabel="step", ylabel="error, % of the diagonal")
    # Both lines often end at 100 %.
    for radius, color, style, of in ((1, "tab:olive", "-", ""), (2, "tab:green", "--", " of the diagonal")):
        percent = [_number(line[f"pck{radius}"]) for line in scored]
        share.plot(validations, percent, style, marker=".", color=color, label=f"within {radius} %{of}")
    share.set(title="PCK on the validation set", xlabel="step", ylabel="share of the keypoints, %", ylim=(-3, 103))
    for axes in (loss, error):
        _choose_scale(axes)
    for axes in (error, share) if not scored else ():
        axes.text(0.5, 0.5, "no validation yet", transform=axes.transAxes, ha="center", color="dimgray")
        axes.set_yticks([])
    loss.set_xlim(0, steps[-1] * 1.03)  # of all panels
    loss.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    for axes in (loss, error, share):
        axes.grid(alpha=0.3)
        axes.legend(**BELOW, ncols=3)
    return figure


def _number(value: float | None) -> float:
    """Return a value of a log, NaN where nothing was scored."""
    return math.nan if value is None else float(value)


def _choose_scale(axes: Axes) -> None:
    """Make the y axis logarithmic where the values span a wide range, with ticks as a log or a table writes numbers."""
    values = np.concatenate([np.asarray(line.get_ydata(), np.float64) for line in axes.lines])
    values = values[np.isfinite(values)]
    if not values.size or values.min() <= 0 or values.max() < LOG_SCALE_FROM * values.min():
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:.0e}" if values.min() < TINY else "{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
