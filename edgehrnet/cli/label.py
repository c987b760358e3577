"""``edgehrnet label``: write predictions as labels to be corrected."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from edgehrnet.cautions import missing_boxes
from edgehrnet.cli.arguments import MODEL_HELP, add_model_options, add_sources_options, open_predictor
from edgehrnet.cli.printable import printable, printable_name
from edgehrnet.errors import InputError, NoBoxesWarning, SkippedPictureWarning
from edgehrnet.labels import FORMATS, Written, labeled_before, write_labels
from edgehrnet.picture.boxes import read_boxes
from edgehrnet.predictor import Predictor
from edgehrnet.sources import Frame, Source
from edgehrnet.sources.files import Files
from edgehrnet.streaming import Stream

SUMMARY = "write predictions as labels to be corrected, for the pictures that the model is least certain of"
NEXT = {
    "label-studio": "start Label Studio with LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and "
    "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={above}; in a project with the labeling configuration config.xml, add "
    "{out}/images as a local storage, and import tasks.json",
    "cvat": "make a task with the labels in labels.json (Raw) and the pictures in images, and upload annotations.xml "
    "as CVAT 1.1",
    "coco": "open annotations.json with the pictures in images",
    "sleap": "open labels.slp; a double click on a predicted instance makes one to be corrected",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("model", help=MODEL_HELP)
    parser.add_argument("source", nargs="+", help="pictures, folders, quoted glob patterns or videos")
    parser.add_argument(
        "--format", required=True, choices=list(FORMATS), help="labeling tool or format (default: none)"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="new folder to write (default: none)")
    parser.add_argument("--count", type=int, default=200, metavar="N", help="pictures to write (default: %(default)s)")
    parser.add_argument(
        "--min-confidence",
        type=float,
        default=0.0,
        metavar="X",
        help="write keypoints with a lower confidence as not labeled (default: %(default)s)",
    )
    parser.add_argument(
        "--done",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="leave out the pictures in folders that this command wrote before (default: none)",
    )
    add_sources_options(parser)
    add_model_options(parser)


def run(args: argparse.Namespace) -> int:
    """Write the labels, and return 2 if a picture could not be read."""
    for source in args.source:
        if Source(source).is_live():
            raise InputError(f"{source!r} has no end; record a video, and pass that")
    done = labeled_before(args.done)
    with open_predictor(args) as predictor, warnings.catch_warnings():
        warnings.showwarning = _show  # type: ignore[assignment]  # without the place in this program
        warnings.simplefilter("always", SkippedPictureWarning)
        if args.boxes is None and predictor.spec.crop is not None:
            print(f"note: {missing_boxes(predictor.spec, '--boxes FILE')}", file=sys.stderr)
            warnings.simplefilter("ignore", NoBoxesWarning)
        streams = _streams(predictor, args)
        for stream in streams:
            stream.leave_out(lambda frame: (frame.name or "", frame.frame) in done)
        written = write_labels(
            chain.from_iterable(streams),
            args.out,
            predictor.spec,
            format=args.format,
            count=args.count,
            min_confidence=args.min_confidence,
        )
        _print(written, predictor, args)
    return 2 if any(stream.skipped for stream in streams) else 0


def _streams(predictor: Predictor, args: argparse.Namespace) -> list[Stream]:
    if args.boxes is None:
        return [predictor.stream(source, on_error="skip", recursive=args.recursive) for source in args.source]
    paths = [path for source in args.source for path in Files(source, recursive=args.recursive)]
    boxes = read_boxes(args.boxes, args.box_format).of_each(paths)

    def frames() -> Iterator[Frame]:
        for path, rows in zip(paths, boxes, strict=True):
            if rows:
                yield Frame(path, boxes=rows, ahead=True)

    return [predictor.stream(frames(), on_error="skip")]


def _show(message: Warning | str, *_: Any) -> None:
    print(f"note: {printable(message)}", file=sys.stderr)


def _print(written: Written, predictor: Predictor, args: argparse.Namespace) -> None:
    lowest, highest = written.certainties[0], written.certainties[-1]
    if args.json:
        facts = {"files": [str(path) for path in written.files], "seen": written.seen, "written": len(
            written.certainties), "lowest": round(lowest, 4), "highest": round(highest, 4)}  # fmt: skip
        print(json.dumps(facts))
        return
    kind = "peaks of heatmaps" if predictor.spec.confidence is None else "calibrated"
    print(f"{len(written.certainties)} of {written.seen} pictures, confidence {lowest:.3f} to {highest:.3f} ({kind})")
    for path in written.files:
        print(f"  {printable_name(path)}")
    print(f"next: {NEXT[args.format].format(out=args.out.resolve(), above=args.out.resolve().parent)}")
