"""``python -m quant.evaluate``: models side by side on the pictures that a data set holds back."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from edgehrnet.cli.arguments import parse_size
from edgehrnet.cli.tables import table
from edgehrnet.errors import EdgeHRNetError, InputError
from quant.data.examples import DataSet
from quant.data.opening import ACCEPTED, open_data, parse_fold
from quant.reporting.score_table import _plain, _shorten, as_json, report
from quant.scoring.average_precision import (
    NAMES,
    Annotations,
    coco_scores,
    detect,
    load_pycocotools,
    read_boxes,
)
from quant.scoring.evaluation import DEFAULT_SIGMA, RADII, check_radii
from quant.scoring.model import OpenModel, compare, open_model


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
        # A part of the data; all of it has pictures without a labeled person, too, where whoever is found is wrong.
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
