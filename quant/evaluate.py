"""Score models on the validation set of a data set and compare them in a table."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from edgehrnet.cli.arguments import add_verify_option, parse_size
from edgehrnet.cli.status import run
from edgehrnet.errors import InputError
from quant.data.arguments import add_data_arguments, print_remarks
from quant.data.labeled import Labeled
from quant.data.opening import open_data
from quant.reporting.keypoint_table import MOST, WORST, keypoint_table
from quant.reporting.score_table import as_json, coco_table, counted, legend, score_table, trained_text
from quant.scoring.average_precision import load_pycocotools
from quant.scoring.box_scores import BoxScores, check_models, open_boxes, score_boxes
from quant.scoring.detections import Detection
from quant.scoring.evaluation import RADII, Evaluation, check_radii
from quant.scoring.model import OpenModel, compare, open_model
from quant.scoring.trained_pictures import trained_of
from runtimes.writing import write_file


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    p = argparse.ArgumentParser(prog="python -m quant.evaluate", description=__doc__)
    radii = " ".join(f"{radius:g}" for radius in RADII)
    p.add_argument("models", nargs="+", metavar="MODEL", help="model file, shipped name, or .pt checkpoint")
    add_data_arguments(p, fold="score part K of N, counted from 0 (default: all)")
    p.add_argument("--count", type=int, metavar="N", help="pictures to score (default: all, or 2000 synthetic ones)")
    p.add_argument("--radii", type=float, nargs="+", default=list(RADII), metavar="PX",
                   help=f"distances of the PCK in picture pixels (default: {radii})")  # fmt: skip
    p.add_argument("--nme", nargs=2, metavar="NAME",
                   help="also print errors divided by the distance of these two keypoints (default: no)")  # fmt: skip
    p.add_argument("--size", type=parse_size, metavar="HxW", help="input height x width (default: each model's own)")
    p.add_argument("--spec", type=Path, metavar="JSON",
                   help="ModelSpec of files of another project (default: each file's own)")  # fmt: skip
    p.add_argument("--device", help="device name, such as cpu or gpu (default: the first one that the file type has)")
    p.add_argument("--flip-test", action="store_true",
                   help="average the heatmaps of each picture and its mirror image (default: no)")  # fmt: skip
    p.add_argument("--boxes", type=Path, metavar="FILE",
                   help="COCO data: a detector's boxes for AP and AR (default: the labels' boxes)")  # fmt: skip
    p.add_argument("--results", type=Path, metavar="FILE",
                   help="COCO data: write one model's detections as COCO results (default: none)")  # fmt: skip
    p.add_argument("--json", type=Path, metavar="FILE",
                   help="write all scores here, with the errors of each picture (default: none)")  # fmt: skip
    p.add_argument("--per-keypoint", action="store_true",
                   help=f"list all keypoints if there are more than {MOST} (default: the {WORST} worst)")  # fmt: skip
    add_verify_option(p)
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run(parser(), _evaluate, arguments)


def _evaluate(args: argparse.Namespace) -> None:
    _check(args)
    data = open_data(args.data, args.fold, images=args.images, flip_pairs=args.flip_pairs)
    detections = open_boxes(data, args.boxes, args.results)
    print_remarks(data)
    with ExitStack() as stack:
        options = {"flip_test": args.flip_test, "spec": args.spec, "verify": args.verify, "trusted": args.trusted}
        opened = (open_model(name, args.device, args.size, **options) for name in args.models)
        models = [stack.enter_context(model) for model in opened]
        check_models(models, args.boxes, args.results)
        evaluations = compare(models, data, args.count)
        boxes = _boxes(models, evaluations, data, detections, args) if isinstance(data, Labeled) else []
    coco = [found.scores for found in boxes if found.scores is not None]
    trained = trained_of(args.models, data, evaluations)
    names, fold = data.spec.keypoints, None if args.fold is None else "{}/{}".format(*args.fold)
    print(f"{args.data}{'' if fold is None else f', fold {fold}'}: {counted(evaluations[0])}\n")
    print(score_table(evaluations, args.radii, args.nme and [found.nme(args.nme, names) for found in evaluations]))
    if coco:
        whose = "the labels" if args.boxes is None else args.boxes.name
        print(f"\nCOCO keypoint scores with the boxes of {whose}\n\n{coco_table(args.models, coco)}")
    print(f"\n{legend(evaluations[0])}\n")
    print(keypoint_table(evaluations, names, complete=args.per_keypoint))
    if trained:
        print(f"\n{trained_text(args.models, trained)}")
    if args.json is not None:
        pairs = enumerate(zip(models, evaluations, strict=True))
        each = [as_json(*pair, names, args.radii, coco[n] if coco else None, trained[n] if trained else None)
                for n, pair in pairs]  # fmt: skip
        content = {"data": args.data, "fold": fold, "radii": args.radii, "models": each}
        write_file(args.json, json.dumps(content, indent=1) + "\n")
    if args.results is not None:
        write_file(args.results, json.dumps(boxes[0].results) + "\n")


def _check(args: argparse.Namespace) -> None:
    """Refuse bad arguments now rather than after an hour of scoring."""
    if args.count is not None and args.count < 1:
        raise InputError(f"--count {args.count} is not a number of pictures; use 1 or more")
    for option, path in (("--json", args.json), ("--results", args.results)):
        if path is not None and not path.parent.is_dir():
            raise InputError(f"{option} {path}: there is no folder {path.parent}")
    check_radii(args.radii)
    if args.results is not None and len(args.models) > 1:
        raise InputError(f"--results takes the detections of one model; {len(args.models)} models are given")
    load_pycocotools()


def _boxes(
    models: Sequence[OpenModel], evaluations: Sequence[Evaluation], data: Labeled, boxes: list[Detection] | None,
    args: argparse.Namespace,
) -> list[BoxScores]:  # fmt: skip
    """Score models for crops, if this gives AP or the results that were asked for."""
    if any(model.spec.crop is None for model in models) or (args.results is None and not data.spec.oks_sigmas):
        return []
    return score_boxes(models, evaluations, data, boxes, part=args.fold is not None or args.count is not None)


if __name__ == "__main__":
    raise SystemExit(main())
