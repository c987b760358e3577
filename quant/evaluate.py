"""Score models on the validation set of a data set and compare them in a table."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from edgehrnet.cli.arguments import parse_size
from edgehrnet.cli.status import run
from edgehrnet.errors import InputError
from edgehrnet.shipped import model_path
from quant.commandline import add_data_arguments, open_labels
from quant.data.examples import DataSet
from quant.data.labeled import Labeled
from quant.reporting.keypoint_table import MOST, WORST, keypoint_table
from quant.reporting.score_table import as_json, coco_table, counted, legend, score_table, trained_text
from quant.scoring.average_precision import coco_scores, detect, load_pycocotools
from quant.scoring.detections import read_boxes, true_boxes
from quant.scoring.evaluation import RADII, Evaluation, check_radii
from quant.scoring.model import OpenModel, compare, in_order_of, open_model
from quant.scoring.trained_pictures import Trained, trained_pictures


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
    return p


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run(parser(), _evaluate, arguments)


def _evaluate(args: argparse.Namespace) -> None:
    _check(args)
    data = open_labels(args)
    _check_labels(args, data)
    with ExitStack() as stack:
        opened = (open_model(name, args.device, args.size, flip_test=args.flip_test) for name in args.models)
        models = [stack.enter_context(model) for model in opened]
        evaluations = compare(models, data, args.count)
        coco = _coco(models, evaluations, data, args) if isinstance(data, Labeled) else []
        trained = _trained(models, evaluations, data) if isinstance(data, Labeled) else []
    fold = None if args.fold is None else "{}/{}".format(*args.fold)
    print(f"{args.data}{'' if fold is None else f', fold {fold}'}: {counted(evaluations[0])}\n")
    nmes = None if args.nme is None else [found.nme(args.nme, data.spec.keypoints) for found in evaluations]
    print(score_table(evaluations, args.radii, nmes))
    if coco:
        boxes = "the labels" if args.boxes is None else args.boxes.name
        print(f"\nCOCO keypoint scores with the boxes of {boxes}\n\n{coco_table(args.models, coco)}")
    print(f"\n{legend(evaluations[0])}\n")
    print(keypoint_table(evaluations, data.spec.keypoints, complete=args.per_keypoint))
    if trained:
        print(f"\n{trained_text(args.models, [found.text for found in trained])}")
    if args.json is not None:
        names = data.spec.keypoints
        each = [as_json(*pair, names, args.radii, coco[n] if coco else None)
                for n, pair in enumerate(zip(models, evaluations, strict=True))]  # fmt: skip
        for row, known in zip(each, trained, strict=False):
            row["pictures_trained"] = None if known.paths is None else len(known.paths)
        content = {"data": args.data, "fold": fold, "radii": args.radii, "models": each}
        args.json.write_text(json.dumps(content, indent=1) + "\n")


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


def _check_labels(args: argparse.Namespace, data: DataSet) -> None:
    """Refuse options that the labels cannot serve."""
    if args.boxes is None and args.results is None:
        return
    if not isinstance(data, Labeled):
        raise InputError(f"--boxes and --results need labeled pictures; {args.data} has none")
    if args.results is None and not data.spec.oks_sigmas:
        raise InputError(f"--boxes {args.boxes} is for AP, and {args.data} states no OKS sigmas for its keypoints; add "
                         '"sigmas" to the category, leave out --boxes, or add --results')  # fmt: skip


def _trained(models: Sequence[OpenModel], evaluations: Sequence[Evaluation], data: Labeled) -> list[Trained]:
    pairs = zip(models, evaluations, strict=True)
    return [trained_pictures(model_path(model.name), data, found) for model, found in pairs]


def _coco(
    models: Sequence[OpenModel], evaluations: Sequence[Evaluation], data: Labeled, args: argparse.Namespace
) -> list[dict[str, float]]:
    """Return COCO's scores of models for crops, or nothing where the labels state no OKS sigmas.

    Boxes that a model has seen in its evaluation are not run again.
    """
    labels = data.annotations
    if any(model.spec.crop is None for model in models):
        if args.boxes is not None or args.results is not None:
            raise InputError("--boxes and --results need models for crops of boxes; one of these takes whole pictures")
        return []
    boxes = true_boxes(labels) if args.boxes is None else read_boxes(args.boxes, labels)
    scores = []
    for model, found in zip(models, evaluations, strict=True):
        # All of the data includes pictures without people, where each detection is a false positive.
        some = args.fold is not None or args.count is not None
        images = {key for key in found.image_ids if key is not None} if some else None
        if not found.sigmas and args.results is None:
            continue
        results = detect(in_order_of(model, data.spec).instances, boxes, found.oks_sigmas, images, found.by_box())
        if found.sigmas:
            scores.append(coco_scores(labels, results, found.sigmas, images))
        if args.results is not None:
            args.results.write_text(json.dumps(results) + "\n")
    return scores


if __name__ == "__main__":
    raise SystemExit(main())
