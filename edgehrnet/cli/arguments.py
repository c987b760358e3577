"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgehrnet.detectors.detector import Detector
from edgehrnet.errors import InputError
from edgehrnet.picture.boxes import BOX_FORMATS
from edgehrnet.predictor import Predictor
from edgehrnet.spec import DECODE_METHODS

MODEL_HELP = "model file, or the name of a shipped model such as document-corners"
PUBLISHED = (".pth", ".ckpt", ".safetensors")  # suffixes of checkpoints of other projects


def parse_size(text: str) -> tuple[int, int]:
    """Parse an input size, height first, for argparse.

    >>> parse_size("256x512")
    (256, 512)
    """
    height, _, width = text.partition("x")
    try:
        return int(height), int(width)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size; use HEIGHTxWIDTH, such as 256x512") from None


def add_model_options(parser: argparse.ArgumentParser, *, json: bool = True) -> None:
    """Add the options of `open_predictor`, and with ``json`` the option ``--json``."""
    parser.add_argument(
        "--device",
        help="device to run on, depending on the type of file: cpu, gpu, gpu.1, npu, auto, cuda, cuda:1, ... "
        "(default: cpu, for TensorRT files cuda)",
    )
    parser.add_argument(
        "--size",
        type=parse_size,
        metavar="HEIGHTxWIDTH",
        help="input size of the network, multiples of 32 (default: the file's)",
    )
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all that may be used)")
    parser.add_argument(
        "--spec",
        type=Path,
        metavar="JSON",
        help="description of a file of another project, as ModelSpec.to_json writes it (default: the file's own)",
    )
    parser.add_argument("--decode", choices=DECODE_METHODS, help="decoding of heatmaps (default: the file's)")
    add_verify_option(parser)
    if json:
        add_json_option(parser)


def add_sources_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--recursive``, ``--boxes`` and ``--box-format``."""
    parser.add_argument("--recursive", action="store_true", help="look into the subfolders of folders (default: no)")
    parser.add_argument(
        "--boxes",
        type=Path,
        metavar="FILE",
        help="JSON file with boxes, one for each instance: COCO detections or annotations, or "
        '{"photo.jpg": [[x, y, w, h], ...]}. Pictures without a box are skipped (default: each whole picture)',
    )
    parser.add_argument(
        "--box-format",
        choices=BOX_FORMATS,
        default="xywh",
        help="xywh: left, top, width, height; xyxy: left, top, right, bottom (default: %(default)s)",
    )


def add_verify_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--no-verify`` and ``--trusted``."""
    parser.add_argument(
        "--no-verify",
        dest="verify",
        action="store_false",
        help="load the model file even if it differs from its certificate or checksums (default: refuse)",
    )
    parser.add_argument(
        "--trusted",
        action="store_true",
        help="load a model file without a certificate without trying it in a limited process first (default: try once)",
    )


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="print JSON, one object per line (default: tables)")


def open_predictor(args: argparse.Namespace, detector: Detector | None = None, *, batch: int = 1) -> Predictor:
    """Open the model that the arguments name, with a detector for its boxes if there is one. For batch see Predictor.

    Raises:
        InputError: If its suffix is that of a published checkpoint, which does not run as it is.
    """
    if Path(args.model).suffix.lower() in PUBLISHED:
        raise InputError(
            f"{args.model!r} is a published checkpoint, which does not run as it is; describe it with "
            f"'edgehrnet models {args.model}', or make a file that runs with 'python -m quant.export {args.model}'"
        )
    return Predictor(
        args.model,
        device=args.device,
        input_size=args.size,
        threads=args.threads,
        decode=args.decode,
        spec=args.spec,
        verify=args.verify,
        trusted=args.trusted,
        batch=batch,
        boxes_from=detector,
    )
