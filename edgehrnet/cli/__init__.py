"""The ``edgehrnet`` command: demo, predict, info, selfcheck, models. Tables for people, ``--json`` for machines."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from edgehrnet import Predictor, Result, __version__, sample_picture
from edgehrnet.cli.arguments import parse_size
from edgehrnet.cli.info import print_devices, print_model, print_quirks
from edgehrnet.cli.tables import table
from edgehrnet.errors import EdgeHRNetError, ImageError, InputError, MissingExtraError
from edgehrnet.picture.sources import frames
from edgehrnet.spec import DECODE_METHODS


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status: 0, 1 for a failed self-check, 2 for bad input."""
    args = _parser().parse_args(arguments)
    try:
        status: int = args.run(args)
    except EdgeHRNetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # `edgehrnet predict ... | head`
        sys.stderr.close()
        return 0
    except OSError as error:  # what cannot be written
        print(f"error: {error}", file=sys.stderr)
        return 2
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edgehrnet", description="Keypoints from pictures, on the edge.")
    parser.add_argument("--version", action="version", version=f"edgehrnet {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="run the shipped model on the shipped picture")
    demo.add_argument("--out", type=Path, default=Path("edgehrnet-demo.png"), help="overlay to write")
    _model_options(demo)
    demo.set_defaults(run=_demo, model=None)

    predict = commands.add_parser("predict", help="find keypoints in pictures")
    predict.add_argument("model", help="model file, or the name of a shipped one such as document-corners")
    predict.add_argument("source", nargs="+", help="pictures, folders or quoted glob patterns")
    predict.add_argument("--out", type=Path, metavar="DIR", help="write an overlay of each picture here")
    predict.add_argument("--heatmaps", action="store_true", help="draw the heatmaps into the overlays")
    _model_options(predict)
    predict.set_defaults(run=_predict)

    info = commands.add_parser("info", help="what a model file is and where it runs; without one, what runs here")
    info.add_argument("model", nargs="?", help="model file, or the name of a shipped one")
    info.add_argument("--quirks", action="store_true", help="what engines get wrong, and what is done about it")
    _model_options(info)
    info.set_defaults(run=_info)

    check = commands.add_parser("selfcheck", help="run the picture a file carries and compare")
    check.add_argument("model", help="model file, or the name of a shipped one")
    _model_options(check)
    check.set_defaults(run=_selfcheck)

    _models_options(commands.add_parser("models", help="the networks, what they cost, and what goes on inside them"))
    return parser


def _model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", help="by kind of file: cpu, gpu, gpu.1, npu, auto, cuda, ... (default: its usual one)"
    )
    parser.add_argument("--size", type=parse_size, metavar="HxW", help="input height x width, multiples of 32")
    parser.add_argument("--threads", type=int, help="CPU threads")
    parser.add_argument("--decode", choices=DECODE_METHODS, help="how heatmaps become points")
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")


def _models_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", nargs="?", metavar="NAME", help="a network, or a checkpoint (.pt, .pth)")
    parser.add_argument("--size", type=parse_size, metavar="HxW", help="input height x width (default: its own)")
    parser.add_argument("--table", action="store_true", help="parameters, MACs, activations and time of each part")
    parser.add_argument("--no-time", action="store_true", help="leave out the time: nothing is computed")
    parser.add_argument("--statistics", action="store_true", help="BN statistics that look wrong")
    parser.add_argument("--features", type=Path, metavar="OUT.png", help="draw feature maps; of --picture")
    parser.add_argument("--picture", help="a photo to draw the feature maps of")
    parser.add_argument("--layer", help="the strongest channels of one layer, such as stage3 (default: all branches)")
    parser.add_argument("--json", action="store_true", help="print JSON, one object a line")
    parser.set_defaults(run=_models)


def _open(args: argparse.Namespace) -> Predictor:
    return Predictor(args.model, device=args.device, input_size=args.size, threads=args.threads, decode=args.decode)


def _demo(args: argparse.Namespace) -> int:
    args.model = "document-corners"
    with _open(args) as predictor:
        predictor.warmup()
        result = predictor.predict(sample_picture())
    written = result.save(args.out).resolve()
    if args.json:
        print(json.dumps({**result.to_dict(), "overlay": str(written)}))
        return 0
    print(f"{result.spec.name} on {sample_picture().name}, {result.keypoints.size[1]}x{result.keypoints.size[0]} px\n")
    _print_result(result)
    print(f"\noverlay: {written}")
    return 0


def _predict(args: argparse.Namespace) -> int:
    paths = [Path(path) for source in args.source for path in frames(source)]
    overlays = [None if args.out is None else args.out / f"{path.stem}.keypoints.png" for path in paths]
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        twice = [str(overlay) for overlay, count in Counter(overlays).items() if count > 1]
        if twice:
            raise InputError(f"several pictures would become {twice[0]!r}; give their folders one by one")
    status = 0
    with _open(args) as predictor:
        for path, overlay in zip(paths, overlays, strict=True):
            try:
                result = predictor.predict(path)
            except ImageError as error:  # the other pictures are still wanted
                print(f"error: {error}", file=sys.stderr)
                status = 2
                continue
            if overlay is not None:
                result.plot(heatmaps=args.heatmaps).save(overlay)
            if args.json:
                print(result.to_json())
            else:
                print(path)
                _print_result(result)
                print()
    return status


def _print_result(result: Result) -> None:
    rows = [
        (name, f"{x:.2f}", f"{y:.2f}", f"{conf:.3f}")
        for n in range(len(result.keypoints))
        for name, (x, y), conf in zip(
            result.keypoints.names, result.keypoints.xy[n], result.keypoints.conf[n], strict=True
        )
    ]
    print(table(("keypoint", "x", "y", "confidence"), rows))
    stages = [(stage, f"{ms:.2f}") for stage, ms in result.speed.items()]
    print()
    print(table(("stage", "ms"), [*stages, ("total", f"{sum(result.speed.values()):.2f}")]))


def _info(args: argparse.Namespace) -> int:
    if args.quirks:
        print_quirks(args.json)
    elif args.model is None:
        print_devices(args.json)
    else:
        with _open(args) as predictor:
            print_model(predictor, args.json)
    return 0


def _selfcheck(args: argparse.Namespace) -> int:
    with _open(args) as predictor:
        report = predictor.selfcheck()
    if args.json:
        print(json.dumps(asdict(report)))
    else:
        verdict = "passed" if report.passed else "FAILED: this device does not compute what the network learned"
        print(f"{verdict}\n")
        rows = [
            ("device", report.device),
            ("largest keypoint error", f"{report.max_px:.3f} px of the network input"),
            ("heatmap correlation", f"{report.correlation:.5f}"),
        ]
        print(table(("measure", "value"), rows))
    return 0 if report.passed else 1


def _models(args: argparse.Namespace) -> int:
    try:
        from edgehrnet.models.inspection.command import run
    except ImportError as error:
        raise MissingExtraError(f"the networks need torch ({error}); type: pip install 'edgehrnet[train]'") from None
    return run(args)
