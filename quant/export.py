"""``python -m quant.export``: a checkpoint -> files for each engine, and a report on whether they agree."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehrnet.cli import parse_size
from edgehrnet.errors import AbsentDeviceError, EdgeHRNetError, InputError, MissingExtraError
from edgehrnet.models.checkpoints import Checkpoint, load_checkpoint
from edgehrnet.sources import read_image
from quant.data.corners import DocumentCorners
from quant.data.sources import ACCEPTED, open_data
from quant.model_file import PRECISIONS, SUFFIX, TARGETS, export_file, export_plan, summary
from quant.parity import File, agreement
from quant.parity_page import write_report

PARITY_PICTURES = 64
TURING = (7, 5)  # the one compute capability that TensorRT-RTX builds for and has no INT8 for


@dataclass(frozen=True)
class Order:
    """What to build: ``<name>-<precision>`` with each target's suffix.

    ``input_size`` (height, width), None for the checkpoint's. ``compute_capability``: of the GPUs that TensorRT plans
    are for, such as (8, 6); none builds for the GPU that is here. ``picture``, ``pictures``: see export_file.
    """

    folder: Path
    name: str
    targets: Sequence[str] = ("openvino",)
    precisions: Sequence[str] = ("fp32",)
    input_size: tuple[int, int] | None = None
    compute_capability: Sequence[tuple[int, int]] = ()
    picture: NDArray[np.uint8] | None = None
    pictures: Sequence[NDArray[np.uint8]] = ()


def build_files(checkpoint: Checkpoint, order: Order) -> Iterator[File]:
    """Build one file after the other; a plan that cannot be built here is given with what is missing."""
    order.folder.mkdir(parents=True, exist_ok=True)
    for target in order.targets:
        for precision in order.precisions:
            path = order.folder / f"{order.name}-{precision}{SUFFIX[target]}"
            certificate = export_file(
                checkpoint, path, target=target, precision=precision, input_size=order.input_size,
                picture=order.picture, pictures=order.pictures,
            )  # fmt: skip
            yield File(path, target, precision, certificate)
            if target == "tensorrt":
                yield from _plans(path, precision, order)


def _plans(source: Path, precision: str, order: Order) -> Iterator[File]:
    stem = source.name.removesuffix(SUFFIX["tensorrt"])
    for capability in order.compute_capability or (None,):
        place = f".sm{capability[0]}{capability[1]}" if capability else ""
        path = source.with_name(f"{stem}{place}.engine")
        if capability == TURING and precision == "int8":
            yield File(path, "plan", precision, None, "TensorRT-RTX has no INT8 for compute capability 7.5; build fp16")
            continue
        try:
            yield File(path, "plan", precision, export_plan(source, path, capability))
        except (MissingExtraError, AbsentDeviceError) as error:
            yield File(path, "plan", precision, None, str(error))


def compute_capability(text: str) -> tuple[int, int]:
    """Read the compute capability of a GPU, for argparse.

    >>> compute_capability("8.6")
    (8, 6)
    """
    major, _, minor = text.partition(".")
    try:
        return int(major), int(minor)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no compute capability; write it as 8.6") from None


def report(file: File) -> str:
    """One line about a file, built or not, for people."""
    if file.certificate is None:
        return f"{file.path}: not built: {file.missing}"
    return summary(file.path, file.certificate)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    p = argparse.ArgumentParser(prog="python -m quant.export", description=__doc__)
    p.add_argument("checkpoint", type=Path)
    p.add_argument("--out", type=Path, required=True, metavar="DIR")
    p.add_argument("--name", help="file name without suffix (default: the checkpoint's)")
    p.add_argument("--targets", nargs="+", choices=TARGETS, default=["openvino"])
    p.add_argument("--precision", nargs="+", choices=PRECISIONS, default=["fp32"])
    p.add_argument("--size", type=parse_size, metavar="HxW", help="input height x width (default: the checkpoint's)")
    p.add_argument("--picture", type=Path, help="picture of the golden pair (default: one the project draws)")
    p.add_argument("--compute-capability", type=compute_capability, nargs="+", default=[], metavar="X.Y",
                   help="of the GPUs that TensorRT plans are for (default: the one that is here)")  # fmt: skip
    p.add_argument("--data", help=f"{ACCEPTED}; what the report compares the files on (default: drawn documents)")
    p.add_argument("--parity-pictures", type=int, default=PARITY_PICTURES, metavar="N",
                   help="pictures of the report; 0 writes none")  # fmt: skip
    args = p.parse_args(arguments)
    name = args.name or args.checkpoint.stem
    try:
        if args.compute_capability and "tensorrt" not in args.targets:
            raise InputError("--compute-capability is of TensorRT plans: add tensorrt to --targets")
        if args.parity_pictures < 0:
            raise InputError(f"--parity-pictures {args.parity_pictures}: at least 1, or 0 for no report")
        data = DocumentCorners() if args.data is None else open_data(args.data)
        checkpoint = load_checkpoint(args.checkpoint)
        picture = None if args.picture is None else read_image(args.picture)
        order = Order(args.out, name, args.targets, args.precision, args.size, args.compute_capability, picture)
        files = []
        for file in build_files(checkpoint, order):
            print(report(file))
            files.append(file)
        if args.parity_pictures:
            parity = agreement(checkpoint, files, list(data.held_back(args.parity_pictures)), args.size)
            print(write_report(parity, args.out / f"{name}.parity.md", name))
    except (EdgeHRNetError, OSError) as error:
        p.exit(2, f"error: {error}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
