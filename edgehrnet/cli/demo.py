"""``edgehrnet demo``: run the shipped model on the shipped picture."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from PIL import Image

from edgehrnet.cli.arguments import add_model_options, open_predictor
from edgehrnet.cli.printable import printable
from edgehrnet.cli.tables import result_tables
from edgehrnet.shipped import sample_picture

SUMMARY = "run the shipped model on the shipped picture"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("edgehrnet-demo.png"),
        metavar="FILE",
        help="picture to write, with the keypoints drawn on it (default: %(default)s)",
    )
    add_model_options(parser)
    parser.set_defaults(model="document-corners")


def run(args: argparse.Namespace) -> int:
    """Print the keypoints and write the overlay."""
    with open_predictor(args) as predictor, Image.open(sample_picture()) as picture:
        predictor.warmup([(picture.height, picture.width)])  # compiles for this size, which is no part of inference
        result = predictor.predict(sample_picture())
    overlay = result.save(args.out).resolve()
    if args.json:
        print(json.dumps({**result.to_dict(), "overlay": str(overlay)}))
        return 0
    height, width = result.keypoints.size
    print(f"{printable(result.spec.name)} on {sample_picture().name}, {width}x{height} px (width x height)\n")
    print(result_tables(result))
    print(f"\noverlay: {overlay}")
    return 0
