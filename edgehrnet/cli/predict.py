"""``edgehrnet predict``: find keypoints in pictures."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections import Counter
from pathlib import Path

from edgehrnet.cautions import missing_boxes
from edgehrnet.cli.arguments import MODEL_HELP, add_model_options, open_predictor
from edgehrnet.cli.printable import printable, printable_name
from edgehrnet.cli.tables import result_tables
from edgehrnet.drawing.files import JPEG_QUALITY, JPEG_SUFFIXES, save_picture
from edgehrnet.errors import ImageError, InputError, NoBoxesWarning, WriteError
from edgehrnet.picture.boxes import BOX_FORMATS, read_boxes
from edgehrnet.picture.matching import Row
from edgehrnet.predictor import Predictor
from edgehrnet.result import Result
from edgehrnet.sources.files import Files

SUMMARY = "find keypoints in pictures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("model", help=MODEL_HELP)
    parser.add_argument("source", nargs="+", help="pictures, folders or quoted glob patterns")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write each picture here with its keypoints drawn on it: PICTURE.keypoints.jpg "
        f"(quality {JPEG_QUALITY}) for JPEG pictures, PICTURE.keypoints.png for others (default: write nothing)",
    )
    parser.add_argument(
        "--boxes",
        type=Path,
        metavar="FILE",
        help="JSON file with boxes, for models that take crops: COCO detections or annotations, or "
        '{"photo.jpg": [[x, y, w, h], ...]}. Pictures without a box are skipped (default: each whole picture)',
    )
    parser.add_argument(
        "--box-format",
        choices=BOX_FORMATS,
        default="xywh",
        help="xywh: left, top, width, height; xyxy: left, top, right, bottom (default: %(default)s)",
    )
    parser.add_argument("--heatmaps", action="store_true", help="with --out, draw the heatmaps as well (default: no)")
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Print the keypoints of each picture, and return 2 if one could not be read."""
    paths = [Path(path) for source in args.source for path in Files(source)]
    boxes = [None] * len(paths) if args.boxes is None else read_boxes(args.boxes, args.box_format).of_each(paths)
    overlays = [None] * len(paths) if args.out is None else _overlay_paths(paths, args.out)
    status = 0
    with open_predictor(args) as predictor, warnings.catch_warnings():
        if args.boxes is None:
            _note_missing_boxes(predictor)
        for path, rows, overlay in zip(paths, boxes, overlays, strict=True):
            if rows == []:
                print(f"note: {args.boxes} has no box for {printable_name(path)}, which is skipped", file=sys.stderr)
                continue
            try:
                _predict(predictor, path, rows, overlay, args)
            except (ImageError, WriteError) as error:  # go on with the other pictures
                print(f"error: {printable(error)}", file=sys.stderr)
                status = 2
    return status


def _predict(
    predictor: Predictor, path: Path, boxes: list[Row] | None, overlay: Path | None, args: argparse.Namespace
) -> None:
    """Print the keypoints of one picture and write its overlay. If it cannot be written, they are printed too."""
    result = predictor.predict(path, boxes=boxes)
    if overlay is None:
        _print(result, path, None, args)
        return
    try:
        save_picture(result.plot(heatmaps=args.heatmaps), overlay)
    except WriteError:
        _print(result, path, None, args)
        raise
    _print(result, path, overlay, args)


def _print(result: Result, path: Path, overlay: Path | None, args: argparse.Namespace) -> None:
    if args.json:
        written = {} if overlay is None else {"overlay": str(overlay)}
        print(json.dumps({**result.to_dict(), **written}))
        return
    print(f"{printable_name(path)}\n\n{result_tables(result)}\n")
    if overlay is not None:
        print(f"overlay: {printable_name(overlay)}\n")


def _overlay_paths(paths: list[Path], folder: Path) -> list[Path]:
    """Return the file to write for each picture, in a folder that is made if it does not exist.

    Raises:
        InputError: If two pictures would have the same file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    suffixes = [path.suffix.lower() if path.suffix.lower() in JPEG_SUFFIXES else ".png" for path in paths]
    overlays = [folder / f"{path.stem}.keypoints{suffix}" for path, suffix in zip(paths, suffixes, strict=True)]
    overlay, count = Counter(overlays).most_common(1)[0]
    if count > 1:
        raise InputError(f"{count} pictures would be written to {str(overlay)!r}; use one --out for each folder")
    return overlays


def _note_missing_boxes(predictor: Predictor) -> None:
    """Say once that a model for crops has no boxes. The warning of predict, which names a Python argument, is off."""
    if predictor.spec.crop is not None:
        print(f"note: {missing_boxes(predictor.spec, '--boxes FILE')}", file=sys.stderr)
        warnings.simplefilter("ignore", NoBoxesWarning)
