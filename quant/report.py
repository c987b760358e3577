"""``python -m quant.report``: one HTML page about a model: its scores, where it fails, what its confidence is worth."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from edgehrnet.certificate import parts
from edgehrnet.drawing import blend_heatmap
from edgehrnet.errors import EdgeHRNetError, InputError
from edgehrnet.preparation import prepare
from quant.coco_evaluation import load_pycocotools
from quant.data.corners import NAME
from quant.data.examples import DataSet, Example
from quant.data.sources import ACCEPTED, open_data, parse_fold
from quant.evaluate import OpenModel, compare, open_model
from quant.evaluation import Evaluation
from quant.report_page import Shown, page

WORST, BEST = 12, 6  # pictures shown


def make_report(model: OpenModel, data: DataSet, count: int | None = None, *, progress: bool = False) -> str:
    """Score the model on the first ``count`` pictures held back (None: all, or as many as is usual), as an HTML page.

    The data is gone through twice, the second time for the few pictures shown, so that no other is kept in memory.
    ``progress`` shows a bar. Raises as quant.evaluate.compare and Predictor.info do.
    """
    (evaluation,) = compare([model], data, count, progress=progress)
    worst, best = extremes(evaluation)
    pictures = {
        number: Shown(number, Image.fromarray(example.image), _heat(model, example))
        for number, example in tqdm(
            _chosen(data, {*worst, *best}),
            total=len(worst) + len(best),
            disable=not progress,
            desc="drawing",
            unit="picture",
        )
    }
    title = f"{model.spec.name} on {data.spec.name}"
    shown = [[pictures[number] for number in numbers] for numbers in (worst, best)]
    return page(title, facts(model), evaluation, data.spec, *shown)


def extremes(evaluation: Evaluation) -> tuple[list[int], list[int]]:
    """Return the numbers of the `WORST` and the `BEST` pictures by their worst keypoint, most extreme first.

    Errors are in percent of the diagonal. No picture is both; one where nothing was scored is neither.
    """
    scored = np.flatnonzero(np.isfinite(evaluation.percent).any(axis=1))
    errors = np.nanmax(evaluation.percent[scored], axis=1)
    order: list[int] = scored[np.argsort(errors, kind="stable")].tolist()
    return order[::-1][:WORST], order[: max(0, len(order) - WORST)][:BEST]


def _chosen(data: DataSet, numbers: set[int]) -> Iterator[tuple[int, Example]]:
    if not numbers:
        return
    for number, example in enumerate(data.held_back(max(numbers) + 1)):
        if number in numbers:
            yield number, example


def _heat(model: OpenModel, example: Example) -> Image.Image:
    """Return the picture under the highest of its heatmaps."""
    _, _, heatmaps = model.observe(example.image, example.box)
    _, (transform,) = prepare(example.image, model.spec, None if example.box is None else [example.box])
    return blend_heatmap(Image.fromarray(example.image), heatmaps.max(axis=0), transform, model.spec.grid)


def facts(model: OpenModel) -> dict[str, str]:
    """Return what is known about the model, each fact by its name."""
    info = model.info()
    height, width = model.spec.input_size
    size = sum(part.stat().st_size for part in parts(Path(info["file"])))
    known = {
        "model": model.name,
        "engine": f"{info['engine']} {info['version']} on {info['device']}",
        "precision": model.spec.quantization,
        "input": f"{height} x {width} px",
        "size": f"{size / 1e6:.1f} MB",
    }
    return known if info["certificate"] is None else {**known, "certificate": _certified(info["certificate"])}


def _certified(values: dict[str, Any]) -> str:
    drift = f"keypoints {values['drift_mean_px']:.3f} px from the float network's on average"
    if not values["convolutions_expected"]:
        return drift
    share = values["macs_int8"] / max(1, values["macs"])
    count = f"{values['convolutions_int8']} of {values['convolutions']} convolutions"
    return f"{count} and {share:.1%} of the multiply-accumulates in int8; {drift}"


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(prog="python -m quant.report", description=__doc__)
    p.add_argument("model", metavar="MODEL", help="model file, shipped name, or .pt checkpoint")
    p.add_argument("--data", default=NAME, help=f"{ACCEPTED} (default: %(default)s)")
    p.add_argument("--fold", type=parse_fold, metavar="K/N", help="score part K of N, from 0 (default: everything)")
    p.add_argument("--count", type=int, help="pictures to score (default: all, or as many as is usual)")
    p.add_argument("--out", type=Path, default=Path("report.html"), help="page to write (default: %(default)s)")
    p.add_argument("--device", help="as of Predictor, by kind of file: cpu, gpu, gpu.1, ... (default: its usual one)")
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    p = parser()
    args = p.parse_args(arguments)
    try:
        _run(args)
    except (EdgeHRNetError, OSError) as error:
        p.exit(2, f"error: {error}\n")
    return 0


def _run(args: argparse.Namespace) -> None:
    if args.count is not None and args.count < 1:
        raise InputError(f"--count {args.count}: at least 1 picture")
    if not args.out.parent.is_dir():
        raise InputError(f"--out {args.out}: there is no folder {args.out.parent}")
    load_pycocotools()  # better now than after an hour's work
    data = open_data(args.data, args.fold)
    with open_model(args.model, args.device) as model:
        text = make_report(model, data, args.count, progress=True)
    args.out.write_text(text, encoding="utf-8")
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    raise SystemExit(main())
