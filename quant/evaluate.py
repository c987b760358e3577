"""``python -m quant.evaluate``: models side by side on the pictures that a data set holds back."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgehrnet import Predictor, shipped_model
from edgehrnet.cli import parse_size, table
from edgehrnet.errors import EdgeHRNetError, InputError
from edgehrnet.spec import ModelSpec
from quant.data.examples import DataSet
from quant.data.sources import ACCEPTED, open_data, parse_fold
from quant.evaluation import RADII, Evaluation, Prediction, check_radii, evaluate, load_pycocotools
from quant.metrics import spread

# xy (K, 2) float64 in picture pixels, confidence (K,) float32 and heatmaps (K, h, w) float32, both 0..1.
Observation = tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]

NAME_WIDTH = 30  # characters of a model's name in the table, whose other columns need some 85


@dataclass(frozen=True)
class OpenModel:
    """A model ready to run: as it was named, and its spec at the size it runs at.

    ``observe`` maps a picture ``(H, W, 3)`` u8 RGB to xy ``(K, 2)`` in its pixels, confidence ``(K,)`` and heatmaps
    ``(K, h, w)``, both 0..1. ``info`` gives what is loaded, as Predictor.info does.
    """

    name: str
    spec: ModelSpec
    observe: Callable[[NDArray[np.uint8]], Observation]
    info: Callable[[], dict[str, Any]]

    def predict(self, image: NDArray[np.uint8]) -> Prediction:
        """Return the points and their confidence alone."""
        return self.observe(image)[:2]


@contextmanager
def open_model(name: str, device: str = "cpu", input_size: tuple[int, int] | None = None) -> Iterator[OpenModel]:
    """Open a file that Predictor runs, checkpoints among them, or a shipped name such as document-corners.

    ``device`` as of Predictor. ``input_size`` (height, width), None for the model's own.
    """
    # A bare word without a dot cannot be a model file, so it is the name of a shipped one.
    path = shipped_model(name) if Path(name).name == name and "." not in name else Path(name)
    with Predictor(path, device=device, input_size=input_size) as predictor:

        def observe(image: NDArray[np.uint8]) -> Observation:
            found = predictor.predict(image)
            return found.keypoints.xy[0], found.keypoints.conf[0], found.heatmaps[0]

        yield OpenModel(name, predictor.spec, observe, predictor.info)


def compare(
    models: Sequence[OpenModel], data: DataSet, count: int | None, *, progress: bool = False
) -> list[Evaluation]:
    """Evaluate each model, after checking that all of them fit the data; ``progress`` shows a bar."""
    expected = len(data.spec.keypoints)
    for model in models:
        found = len(model.spec.keypoints)
        if found != expected:
            raise InputError(f"{model.name} finds {found} keypoints, {data.spec.name} has {expected}; they must agree")
    return [evaluate(model.name, model.predict, data, count, progress=progress) for model in models]


def report(evaluations: Sequence[Evaluation], radii: Sequence[float] = RADII) -> str:
    """Lay out one row a model; a column that no model has a value for is left out."""
    columns = {
        "mean px": ("mean_px", ".2f"),
        "median px": ("median_px", ".2f"),
        "p95 px": ("p95_px", ".2f"),
        **{f"PCK {radius:g}px": (f"pck@{radius:g}px", ".1f") for radius in radii},
        "mean %": ("mean_percent", ".2f"),
        "PCK 1%": ("pck1", ".1f"),
        "OKS AP": ("oks_ap", ".3f"),
        "AUROC": ("presence_auroc", ".3f"),
    }
    summaries = [evaluation.summary(radii) for evaluation in evaluations]
    shown = {head: column for head, column in columns.items() if any(s[column[0]] is not None for s in summaries)}
    rows = [
        (_shorten(evaluation.name), *(_cell(summary[key], style) for key, style in shown.values()))
        for evaluation, summary in zip(evaluations, summaries, strict=True)
    ]
    return table(("model", *shown), rows)


def _cell(value: float | None, style: str) -> str:
    return format(math.nan if value is None else value, style)


def _shorten(name: str) -> str:
    """Keep the end of a long name, which tells files apart."""
    return name if len(name) <= NAME_WIDTH else "..." + name[3 - NAME_WIDTH :]


def as_json(model: OpenModel, evaluation: Evaluation, radii: Sequence[float]) -> dict[str, Any]:
    """Return everything about one model as JSON values; None where nothing was scored."""
    names = model.spec.keypoints
    return {
        "model": model.name,
        "quantization": model.spec.quantization,
        "input_size": list(model.spec.input_size),
        **evaluation.summary(radii),
        "keypoint_mean_px": dict(zip(names, _plain(spread(c)[0] for c in evaluation.errors.T), strict=True)),
        "picture_mean_px": _plain(evaluation.picture_px),
        "picture_diagonal_px": _plain(evaluation.diagonals),
        "picture_confidence": _plain(evaluation.conf.mean(axis=1)),
        "picture_empty": evaluation.empty.tolist(),
    }


def _plain(values: Any) -> list[float | None]:
    return [None if math.isnan(value) else round(float(value), 4) for value in values]


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(prog="python -m quant.evaluate", description=__doc__)
    p.add_argument("models", nargs="+", metavar="MODEL", help="model file, shipped name, or .pt checkpoint")
    p.add_argument("--data", required=True, help=ACCEPTED)
    p.add_argument("--fold", metavar="K/N", help="score part K of N, counted from 0 (default: everything)")
    p.add_argument("--count", type=int, help="pictures to score (default: all, or as many as is usual)")
    p.add_argument("--radii", type=float, nargs="+", default=list(RADII), metavar="PX", help="of PCK, in picture px")
    p.add_argument("--size", type=parse_size, metavar="HxW", help="input height x width (default: each model's own)")
    p.add_argument("--device", default="cpu", help="as of Predictor: cpu, gpu, gpu.1, and others by kind of file")
    p.add_argument("--json", type=Path, metavar="FILE", help="write everything here, errors of each picture too")
    return p


def main(arguments: list[str] | None = None) -> int:
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
    if args.json is not None and not args.json.parent.is_dir():
        raise InputError(f"--json {args.json}: there is no folder {args.json.parent}")
    check_radii(args.radii)
    load_pycocotools()  # better now than after an hour's work
    data = open_data(args.data, None if args.fold is None else parse_fold(args.fold))
    with ExitStack() as stack:
        models = [stack.enter_context(open_model(name, args.device, args.size)) for name in args.models]
        evaluations = compare(models, data, args.count)
    scored = evaluations[0].summary(args.radii)
    part = "" if args.fold is None else f", fold {args.fold}"
    print(f"{args.data}{part}: {scored['pictures']} pictures, {scored['keypoints']} keypoints scored\n")
    print(report(evaluations, args.radii))
    if args.json is not None:
        content = {
            "data": args.data,
            "fold": args.fold,
            "radii": args.radii,
            "models": [as_json(m, e, args.radii) for m, e in zip(models, evaluations, strict=True)],
        }
        args.json.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
