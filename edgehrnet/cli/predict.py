"""``edgehrnet predict``: find keypoints in pictures and videos."""

from __future__ import annotations

import argparse
import sys
import warnings

from edgehrnet.cautions import missing_boxes
from edgehrnet.cli.arguments import open_predictor
from edgehrnet.cli.many import run_many
from edgehrnet.cli.predict_options import add_arguments, result_files
from edgehrnet.cli.prediction import Run
from edgehrnet.cli.printable import printable_name
from edgehrnet.cli.video_options import detector_of
from edgehrnet.errors import InputError, NoBoxesWarning
from edgehrnet.predictor import Predictor
from edgehrnet.results.files import ResultFiles
from edgehrnet.sources.several import Several

__all__ = ["SUMMARY", "add_arguments", "run"]
SUMMARY = "find keypoints in pictures and videos"


def run(args: argparse.Namespace) -> int:
    """Predict all pictures. Return 2 if one could not be read or written."""
    if args.ray is not None or args.workers is not None:
        return run_many(args)
    sources, kinds = Several(args.source, recursive=args.recursive), result_files(args)
    if args.resume and sources.is_live:
        raise InputError("--resume is for files; the frames of a camera or a stream do not come again")
    frames = iter(sources) if args.boxes is None else sources.with_boxes(args.boxes, args.box_format)
    with open_predictor(args, detector_of(args), batch=args.batch) as predictor, warnings.catch_warnings():
        if args.boxes is None and args.detector is None:
            _note_missing_boxes(predictor)
        with ResultFiles(kinds, resume=args.resume) as files:
            for path in files.complete:
                print(f"note: {printable_name(path)} is complete and stays as it is", file=sys.stderr)
            if kinds and len(files.complete) == len(kinds) and args.out is None and args.rectify is None:
                return 0
            with Run(args, predictor, files, sources) as going:
                going.predict(frames)
    return 2 if going.totals.errors else 0


def _note_missing_boxes(predictor: Predictor) -> None:
    """Say once that a model for crops has no boxes. The warning of predict, which names a Python argument, is off."""
    if predictor.spec.crop is not None:
        print(f"note: {missing_boxes(predictor.spec, '--boxes FILE or --detector FILE')}", file=sys.stderr)
        warnings.simplefilter("ignore", NoBoxesWarning)
