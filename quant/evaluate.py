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

from edgehrnet import Predictor
from edgehrnet.cli import parse_size
from edgehrnet.errors import EdgeHRNetError, InputError
from edgehrnet.spec import ModelSpec
from edgehrnet.tables import table
from quant.coco_evaluation import NAMES, Annotations, PredictBoxes, coco_scores, detect, load_pycocotools, read_boxes
from quant.data.examples import Box, DataSet
from quant.data.sources import ACCEPTED, open_data, parse_fold
from quant.evaluation import DEFAULT_SIGMA, RADII, Evaluation, Prediction, check_radii, evaluate
from quant.metrics import spread

# xy (K, 2) float64 in picture pixels, confidence (K,) float32 and heatmaps (K, h, w) float32, both 0..1.
Observation = tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]

NAME_WIDTH = 30  # characters of a model's name in the table, whose other columns need some 85


@dataclass(frozen=True)
class OpenModel:
    """A model ready to run: as it was named, and its spec at the size it runs at.

    ``observe`` maps a picture ``(H, W, 3)`` u8 RGB to xy ``(K, 2)`` in its pixels, confidence ``(K,)`` and heatmaps
    ``(K, h, w)``, both 0..1; with a box x, y, width, height of the picture as well, if the model is for crops.
    ``instances`` maps a picture and boxes ``(N, 4)`` to xy ``(N, K, 2)`` and confidence ``(N, K)``. ``info`` gives what
    is loaded, as Predictor.info does.
    """

    name: str
    spec: ModelSpec
    observe: Callable[..., Observation]
    instances: PredictBoxes
    info: Callable[[], dict[str, Any]]

    def predict(self, image: NDArray[np.uint8], box: Box | None = None) -> Prediction:
        """Return the points and their confidence alone."""
        return self.observe(image, box)[:2]


@contextmanager
def open_model(
    name: str, device: str | None = None, input_size: tuple[int, int] | None = None, *, flip_test: bool = False
) -> Iterator[OpenModel]:
    """Open a file that Predictor runs, checkpoints among them, or a shipped name such as document-corners.

    ``device`` and ``flip_test`` as of Predictor. ``input_size`` (height, width), None for the model's own.
    """
    with Predictor(name, device=device, input_size=input_size, flip_test=flip_test) as predictor:

        def observe(image: NDArray[np.uint8], box: Box | None = None) -> Observation:
            found = predictor.predict(image, boxes=None if box is None else [box])
            return found.keypoints.xy[0], found.keypoints.conf[0], found.heatmaps[0]

        def instances(
            image: NDArray[np.uint8], boxes: NDArray[np.float64]
        ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
            found = predictor.predict(image, boxes=boxes)
            return found.keypoints.xy, found.keypoints.conf

        yield OpenModel(name, predictor.spec, observe, instances, predictor.info)


def compare(
    models: Sequence[OpenModel], data: DataSet, count: int | None, *, progress: bool = False
) -> list[Evaluation]:
    """Evaluate each model, after checking that all of them fit the data; ``progress`` shows a bar."""
    expected = len(data.spec.keypoints)
    for model in models:
        found = len(model.spec.keypoints)
        if found != expected:
            raise InputError(f"{model.name} finds {found} keypoints, {data.spec.name} has {expected}; they must agree")
        if model.spec.crop is None and data.spec.crop is not None:
            raise InputError(f"{model.name} looks at whole pictures, {data.spec.name} has boxes of instances")
    return [evaluate(model.name, model.predict, data, count, progress=progress) for model in models]


def report(
    evaluations: Sequence[Evaluation], radii: Sequence[float] = RADII, nmes: Sequence[float] | None = None
) -> str:
    """Lay out one row a model; a column that no model has a value for is left out. ``nmes``: of each, a column more."""
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
    if nmes is None:
        return table(("model", *shown), rows)
    wider = [(*row, f"{value:.2f}") for row, value in zip(rows, nmes, strict=True)]
    return table(("model", *shown, "NME %"), wider)


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
    p.add_argument("--fold", type=parse_fold, metavar="K/N", help="score part K of N, from 0 (default: everything)")
    p.add_argument("--count", type=int, help="pictures to score (default: all, or as many as is usual)")
    p.add_argument("--radii", type=float, nargs="+", default=list(RADII), metavar="PX", help="of PCK, in picture px")
    p.add_argument("--nme", nargs=2, metavar="NAME", help="keypoints whose distance is what errors are divided by, too")
    p.add_argument("--size", type=parse_size, metavar="HxW", help="input height x width (default: each model's own)")
    p.add_argument("--device", help="as of Predictor, by kind of file: cpu, gpu, gpu.1, ... (default: its usual one)")
    p.add_argument("--flip-test", action="store_true", help="decode the mean with the mirrored picture's heatmaps")
    p.add_argument("--boxes", type=Path, metavar="FILE", help="of COCO: a detector's boxes (default: the labels' own)")
    p.add_argument("--results", type=Path, metavar="FILE", help="of COCO: write what one model finds, as COCO results")
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
    if args.results is not None and len(args.models) > 1:
        raise InputError("--results holds what one model finds; name one")
    load_pycocotools()  # better now than after an hour's work
    data = open_data(args.data, args.fold)
    with ExitStack() as stack:
        models = [
            stack.enter_context(open_model(name, args.device, args.size, flip_test=args.flip_test))
            for name in args.models
        ]
        evaluations = compare(models, data, args.count)
        persons = _by_coco(models, data, args)
    scored = evaluations[0].summary(args.radii)
    fold = None if args.fold is None else "{}/{}".format(*args.fold)
    part = "" if fold is None else f", fold {fold}"
    print(f"{args.data}{part}: {scored['pictures']} pictures, {scored['keypoints']} keypoints scored\n")
    names = data.spec.keypoints
    nmes = None if args.nme is None else [evaluation.nme(args.nme, names) for evaluation in evaluations]
    print(report(evaluations, args.radii, nmes))
    if persons:
        boxes = "its labels" if args.boxes is None else args.boxes.name
        print(f"\nCOCO keypoints, boxes of {boxes}\n")
        rows = [(_shorten(m.name), *(f"{s[name]:.3f}" for name in NAMES)) for m, s in zip(models, persons, strict=True)]
        print(table(("model", *NAMES), rows))
    if args.json is not None:
        each = [as_json(m, e, args.radii) for m, e in zip(models, evaluations, strict=True)]
        for row, scores in zip(each, persons, strict=False):
            row["coco"] = dict(zip(NAMES, _plain(scores.values()), strict=True))
        content = {"data": args.data, "fold": fold, "radii": args.radii, "models": each}
        args.json.write_text(json.dumps(content, indent=1) + "\n")


def _by_coco(models: Sequence[OpenModel], data: DataSet, args: argparse.Namespace) -> list[dict[str, float]]:
    """Return COCO's scores of each model; nothing for data that is not COCO's."""
    if data.spec.crop is None:
        if args.boxes is not None or args.results is not None:
            raise InputError(f"--boxes and --results are for COCO's keypoints, {args.data} has none")
        return []
    annotations = Annotations.read(Path(args.data))
    boxes = annotations.true_boxes() if args.boxes is None else read_boxes(args.boxes)
    images = None
    if args.fold is not None or args.count is not None:
        # A part of the data; all of it has pictures without a labelled person, too, where whoever is found is wrong.
        images = {example.image_id for example in data.held_back(args.count) if example.image_id is not None}
    sigmas = data.spec.oks_sigmas or (DEFAULT_SIGMA,) * len(data.spec.keypoints)
    scores = []
    for model in models:
        results = detect(model.instances, annotations, boxes, sigmas, images)
        scores.append(coco_scores(annotations.content, results, sigmas, images))
        if args.results is not None:
            args.results.write_text(json.dumps(results) + "\n")
    return scores


if __name__ == "__main__":
    raise SystemExit(main())
