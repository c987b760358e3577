"""Build model files from a checkpoint for each engine, and write a page that compares them."""

from __future__ import annotations

import argparse
from pathlib import Path

from edgehrnet.cli.arguments import parse_size
from edgehrnet.cli.status import run
from edgehrnet.errors import InputError
from edgehrnet.models.checkpoints import load_checkpoint
from edgehrnet.picture.sources import read_image
from edgehrnet.spec import PRECISIONS, ModelSpec
from quant.commandline import (
    add_allow_float,
    add_max_drift,
    check_export,
    compute_capability,
    int8_status,
    warn_of_drift,
)
from quant.data.arguments import add_data_arguments, open_labels
from quant.data.documents.corners import SPEC, DocumentCorners
from quant.data.examples import DataSet
from quant.data.opening import ACCEPTED
from quant.files.build import BuildOptions, build_files, complete, report
from quant.files.model_file import PROOF_PICTURES, TARGETS
from quant.files.parity import agreement
from quant.files.servers import SERVERS, check_servers, write_servers
from quant.reporting.parity_page import write_report

PARITY_PICTURES = 64


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    p = argparse.ArgumentParser(prog="python -m quant.export", description=__doc__)
    p.add_argument("checkpoint", type=Path, help="a .pt file of this project, or a published .pth")
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    p.add_argument("--name", help="start of the file names (default: the model's name)")
    p.add_argument("--targets", nargs="+", choices=TARGETS, default=["openvino"],
                   help="engines to build for (default: openvino)")  # fmt: skip
    p.add_argument("--precision", nargs="+", choices=PRECISIONS, default=["fp32"],
                   help="precisions to build, int8 only with the ranges that quant.ptq or quant.qat store "
                        "(default: fp32)")  # fmt: skip
    p.add_argument("--size", type=parse_size, metavar="HEIGHTxWIDTH", help="input size (default: the checkpoint's)")
    add_data_arguments(p, required=False, fold="compare on part K of N, counted from 0 (default: all pictures)",
                       data=f"{ACCEPTED}, on whose validation pictures the files are compared with the torch network "
                            f"(default: synthetic documents if the model is {SPEC.name})")  # fmt: skip
    p.add_argument("--picture", type=Path,
                   help="picture stored in each file for its self-check (default: the first of --data)")  # fmt: skip
    p.add_argument("--compute-capability", type=compute_capability, nargs="+", default=[], metavar="X.Y",
                   help="GPUs to build TensorRT plans for (default: the GPU of this machine)")  # fmt: skip
    p.add_argument("--parity-pictures", type=int, default=PARITY_PICTURES, metavar="N",
                   help="pictures to compare the files on, 0 for no page (default: %(default)s)")  # fmt: skip
    p.add_argument("--open-input", action="store_true",
                   help="let .onnx files take inputs in any number, and of any size unless the network takes crops "
                        "(default: one of --size)")  # fmt: skip
    p.add_argument("--servers", nargs="+", choices=SERVERS, default=[],
                   help="also lay the files out for Triton and OpenVINO Model Server (default: neither)")  # fmt: skip
    add_allow_float(p)
    add_max_drift(p)
    return p


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run(parser(), _export, arguments)


def _export(args: argparse.Namespace) -> int:
    check_export(args)
    check_servers(args.servers, args.targets)
    checkpoint = load_checkpoint(args.checkpoint)
    spec = ModelSpec.from_dict(checkpoint.spec)
    data = _validation_data(args, spec)
    options = BuildOptions(
        folder=args.out,
        name=args.name or spec.name,
        pictures=[example.picture_for(spec) for example in data.validation(PROOF_PICTURES)],
        targets=args.targets,
        precisions=args.precision,
        input_size=args.size,
        compute_capability=args.compute_capability,
        picture=None if args.picture is None else read_image(args.picture),
        max_drift=args.max_drift,
        leave_open=args.open_input,
    )
    if "int8" in args.precision:
        checkpoint = complete(checkpoint, args.targets, data, spec)
    files = []
    for file in build_files(checkpoint, options):
        print(report(file))
        files.append(file)
    if args.parity_pictures:
        parity = agreement(checkpoint, files, list(data.validation(args.parity_pictures)), args.size)
        print(write_report(parity, args.out / f"{options.name}.parity.md", options.name))
    for folder in write_servers(files, args.servers, args.out):
        print(folder)
    warn_of_drift(files, args.max_drift)
    return int8_status(files, args.allow_float)


def _validation_data(args: argparse.Namespace, spec: ModelSpec) -> DataSet:
    """Open the data set. Only the document model has one by default."""
    if args.data is not None:
        return open_labels(args, spec.crop)
    if spec.name == SPEC.name:
        return DocumentCorners()
    raise InputError(f"{args.checkpoint} is the model {spec.name!r}, which needs pictures of its kind; "
                     "pass --data with the labels it was trained on, or others")  # fmt: skip


if __name__ == "__main__":
    raise SystemExit(main())
