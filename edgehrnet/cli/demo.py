"""``edgehrnet demo``: run the shipped model on the shipped picture."""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack
from pathlib import Path

from PIL import Image

from edgehrnet.cli.arguments import add_model_options, open_predictor
from edgehrnet.cli.printable import printable
from edgehrnet.cli.tables import result_tables
from edgehrnet.shipped import sample_picture
from edgehrnet.webdemo import serve
from edgehrnet.webdemo.serving import import_gradio

MODEL, FLOAT = "document-corners", "document-corners-fp16"
SUMMARY = "run the shipped model on the shipped picture, or serve a page for your own pictures"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("edgehrnet-demo.png"),
        metavar="FILE",
        help="picture to write, with the keypoints drawn on it (default: %(default)s)",
    )
    parser.add_argument("--web", action="store_true", help="serve a page for your own pictures (default: no)")
    parser.add_argument("--model", default=MODEL, help="with --web, another model (default: %(default)s)")
    parser.add_argument(
        "--against", help=f"with --web, a model to compare with (default: {FLOAT} with {MODEL}, else none)"
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="with --web, address to listen at (default: %(default)s, this machine only)"
    )
    parser.add_argument("--port", type=int, default=7860, help="with --web, port to listen at (default: %(default)s)")
    add_model_options(parser)


def _serve(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    against = args.against or (FLOAT if args.model == MODEL else None)
    with ExitStack() as stack:
        first = stack.enter_context(open_predictor(args))
        options = argparse.Namespace(**{**vars(args), "model": against, "spec": None})
        models = [first] if against is None else [first, stack.enter_context(open_predictor(options))]
        import_gradio()
        print(f"http://{args.host}:{args.port}  (Ctrl-C ends)", flush=True)
        serve(models, host=args.host, port=args.port)
    return 0


def run(args: argparse.Namespace) -> int:
    """Print the keypoints and write the overlay, or serve the page."""
    if args.web:
        return _serve(args)
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
