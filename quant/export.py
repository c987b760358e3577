"""``python -m quant.export``: a checkpoint -> files for each engine, and a report on whether they agree."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgehrnet.cli.arguments import parse_size
from edgehrnet.errors import EdgeHRNetError, InputError
from edgehrnet.models.checkpoints import load_checkpoint
from edgehrnet.picture.sources import read_image
from edgehrnet.spec import PRECISIONS
from quant.commandline import compute_capability
from quant.data.documents.corners import DocumentCorners
from quant.data.opening import ACCEPTED, open_data
from quant.files.build import Order, build_files, report
from quant.files.model_file import TARGETS
from quant.files.parity import agreement
from quant.reporting.parity_page import write_report

PARITY_PICTURES = 64


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
