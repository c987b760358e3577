"""Options of ``edgehrnet predict``."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgehrnet.cli.arguments import MODEL_HELP, add_model_options, add_sources_options
from edgehrnet.cli.many import add_ray_options
from edgehrnet.cli.video_options import add_video_options
from edgehrnet.decoding import CONFIDENCE_THRESHOLD
from edgehrnet.drawing.files import JPEG_QUALITY
from edgehrnet.errors import InputError

SOURCE_HELP = (
    "pictures, folders, quoted glob patterns, list files (.txt with one path per line), videos, stream addresses such "
    "as rtsp://..., or the number of a camera, 0 for the first"
)
STDOUT = Path("-")
FILES = {
    "json": "JSON: a list with one object for each picture. Without FILE, print one object per line",
    "jsonl": "JSON Lines: one object for each picture",
    "csv": "CSV: one row for each keypoint",
    "coco": "a COCO data set in JSON, whose annotations are the predictions",
    "parquet": "Parquet with the rows of --csv; needs the extra edgehrnet[parquet]",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument("model", help=MODEL_HELP)
    parser.add_argument("source", nargs="+", help=SOURCE_HELP)
    add_sources_options(parser)
    _add_pictures(parser)
    _add_files(parser)
    parser.add_argument(
        "--min-score",
        type=float,
        default=CONFIDENCE_THRESHOLD,
        metavar="S",
        help="score from which something counts as found, in what is printed and for --rectify; files have all results "
        "(default: %(default)s)",
    )
    parser.add_argument("--quiet", action="store_true", help="print errors only (default: a line for each picture)")
    parser.add_argument(
        "--batch",
        type=int,
        default=1,
        metavar="N",
        help="number of boxes of one picture that run at once (default: %(default)s)",
    )
    add_video_options(parser)
    add_ray_options(parser)
    add_model_options(parser, json=False)


def _add_pictures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write each picture here with its keypoints drawn on it: PICTURE.keypoints.jpg "
        f"(quality {JPEG_QUALITY}) for JPEG pictures, PICTURE.keypoints.png for others. A video becomes a video with "
        "its sound (default: write nothing)",
    )
    parser.add_argument("--heatmaps", action="store_true", help="with --out, draw the heatmaps as well (default: no)")
    parser.add_argument(
        "--rectify",
        type=Path,
        metavar="DIR",
        help="write each page that was found here, flattened: PICTURE.page.jpg or .png, and with boxes "
        "PICTURE-0.page.jpg, PICTURE-1.page.jpg, ... (default: write nothing)",
    )


def _add_files(parser: argparse.ArgumentParser) -> None:
    for name, text in FILES.items():
        option = parser.add_argument(f"--{name}", type=Path, metavar="FILE", help=f"write {text} (default: no)")
        if name == "json":
            option.nargs, option.const = "?", STDOUT
    parser.add_argument(
        "--resume",
        action="store_true",
        help="continue an interrupted run: leave out the pictures whose results are in its files already. Those of "
        "an unfinished FILE are in FILE.partial (default: begin anew)",
    )


def result_files(args: argparse.Namespace) -> dict[Path, str]:
    """Return the formats of the files of results that the options name.

    Raises:
        InputError: A file is named twice, ``--json`` got something else than a JSON file, or ``--resume`` has nothing
            to continue.
    """
    named = [(getattr(args, name), name) for name in FILES if getattr(args, name) not in (None, STDOUT)]
    if args.json not in (None, STDOUT) and args.json.suffix.lower() != ".json":
        raise InputError(
            f"--json {str(args.json)!r} does not end in .json; to print JSON, write --json behind the pictures"
        )
    files = dict(named)
    if len(files) < len(named):
        raise InputError(f"{str(named[-1][0])!r} is named for two formats; use another file for each")
    if args.resume and not files and args.out is None:
        raise InputError("--resume continues what --json, --jsonl, --csv, --coco, --parquet or --out writes; name one")
    return files
