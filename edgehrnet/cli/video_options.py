"""Options of ``edgehrnet predict`` for videos, and for detectors."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from edgehrnet.detectors.detector import Detector
from edgehrnet.errors import InputError
from edgehrnet.result import Result
from edgehrnet.tracking.smoothing import METHODS, smooth
from edgehrnet.tracking.tracks import track
from edgehrnet.tracking.trails import Trails


def add_video_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--detector``, ``--classes``, ``--track``, ``--smooth`` and ``--trails``."""
    parser.add_argument(
        "--detector",
        type=Path,
        metavar="FILE",
        help="detector of another project that finds the boxes: .onnx or .xml as Ultralytics and MMDeploy (RTMDet) "
        "export them, or its detections as .json. In videos a model runs where keypoints are lost, and every 15 frames "
        "(default: each whole picture)",
    )
    parser.add_argument(
        "--classes",
        metavar="NAMES",
        help="classes of the detector to use, by name or number, such as person,dog; or all "
        "(default: the only one that it has)",
    )
    parser.add_argument(
        "--track", action="store_true", help="give instances ids that last through a video (default: no)"
    )
    parser.add_argument(
        "--smooth",
        choices=METHODS,
        help="smooth the keypoints of videos, with ids as well: kalman and one-euro use earlier frames, offline also "
        "later ones (default: no)",
    )
    parser.add_argument(
        "--trails",
        type=int,
        metavar="FRAMES",
        help="with --out, draw the path of each keypoint over this many frames (default: no)",
    )


def detector_of(args: argparse.Namespace) -> Detector | None:
    """Return the detector that the options name.

    Raises:
        InputError: ``--classes`` without a detector, or a detector with ``--boxes``.
    """
    if args.detector is None:
        if args.classes is not None:
            raise InputError(f"--classes {args.classes!r} needs --detector FILE")
        return None
    if args.boxes is not None:
        raise InputError("--boxes and --detector both give boxes; leave out one")
    classes = None if args.classes is None else [_class(one) for one in args.classes.split(",")]
    return Detector(args.detector, classes="all" if classes == ["all"] else classes, threads=args.threads)


def _class(text: str) -> str | int:
    return int(text) if text.strip().isdecimal() else text.strip()


def trails_of(args: argparse.Namespace) -> Trails | None:
    """Return what draws trails, None without ``--trails``."""
    if args.trails is not None and (args.out is None or args.heatmaps):
        raise InputError(f"--trails {args.trails} needs --out DIR, and no --heatmaps")
    return None if args.trails is None else Trails(args.trails)


def followed(results: Iterable[Result], args: argparse.Namespace) -> Iterable[Result]:
    """Return results that are smoothed or have ids, as the options say."""
    if args.smooth is not None:
        return smooth(results, args.smooth)
    return track(results) if args.track else results
