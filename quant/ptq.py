"""Quantize a float checkpoint after training, and build INT8 files with certificates."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path
from typing import get_args

from edgehrnet.cli.status import run
from edgehrnet.cli.tables import table
from edgehrnet.errors import InputError
from edgehrnet.models.checkpoints import Checkpoint, load_checkpoint
from edgehrnet.models.checkpoints.ranges import Adds
from edgehrnet.spec import ModelSpec
from quant.commandline import (
    add_allow_float,
    add_arguments,
    add_max_drift,
    calibration_pictures,
    int8_status,
    schemes_of,
    set_apart,
    warn_of_drift,
)
from quant.files.build import save_and_build
from quant.foreign.arguments import quantize_from_arguments
from quant.foreign.int8_file import SOURCES
from quant.int8.arguments import add_correction_arguments, corrected_checkpoint, pictures_to_judge
from quant.int8.importing import import_network
from quant.int8.placement import place
from quant.int8.scheme import Int8Scheme
from quant.int8.tracing import TracedNetwork, as_checkpoint, check_quantizable, left_float, traced


def _read(args: argparse.Namespace) -> Checkpoint:
    """Load the checkpoint, or call the function given as PACKAGE.MODULE:FUNCTION."""
    text = str(args.checkpoint)
    if ":" not in text or Path(text).exists():
        return load_checkpoint(args.checkpoint)
    if args.spec is None:
        raise InputError(f"{text} has no spec; pass --spec with the JSON of a ModelSpec")
    try:
        spec = ModelSpec.from_json(args.spec.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {args.spec}: {error}") from None
    if not spec.has_heatmaps:
        raise InputError(f"decode={spec.decode!r} in {args.spec}: a torch network is quantized by its heatmaps")
    size = spec.input_size
    network = traced(import_network(text), len(spec.keypoints), spec.channels, size=size, output=args.output)
    if network.note:
        print(network.note)
    for scheme in schemes_of(args):
        check_quantizable(network, scheme)
    return as_checkpoint(network, spec)


def _list_float(network: TracedNetwork, schemes: Collection[Int8Scheme], keep: Collection[str]) -> None:
    """Print the modules that run in float in the files, and why."""
    scheme = next(iter(schemes))
    sites = place(network, scheme).sites
    placement = place(network, scheme, [site for site in keep if site in sites])
    print(f"\nin int8: {len(placement.convolutions)} convolutions; in float:\n")
    parts = left_float(network, placement)
    print(table(("module", "what", "MACs", "why"), [(p.name, p.kind, f"{p.macs:,}", p.reason) for p in parts]))


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    p = argparse.ArgumentParser(prog="python -m quant.ptq", description=__doc__)
    add_arguments(p)
    add_allow_float(p)
    add_max_drift(p)
    p.add_argument("--spec", type=Path, metavar="JSON",
                   help="ModelSpec of PACKAGE.MODULE:FUNCTION, or of an .onnx or .xml file of another project "
                        "(default: the one in the checkpoint or file)")  # fmt: skip
    p.add_argument("--output", metavar="NAME|INDEX",
                   help="output of PACKAGE.MODULE:FUNCTION that has the heatmaps, by its key or its position from 0 "
                        "(default: the last one with a channel for each keypoint)")  # fmt: skip
    p.add_argument("--adds", choices=get_args(Adds),
                   help="inputs of additions to quantize for OpenVINO: identity for those that a convolution also "
                        "reads, all is slightly faster (default: identity)")  # fmt: skip
    add_correction_arguments(p)
    return run(p, _quantize, arguments)


def _quantize(args: argparse.Namespace) -> int:
    if args.checkpoint.suffix in SOURCES:
        files = quantize_from_arguments(args, lambda spec: calibration_pictures(args, spec.crop))
        warn_of_drift(files, args.max_drift)
        return int8_status(files, args.allow_float)
    others = pictures_to_judge(args)
    checkpoint = _read(args)
    pictures = calibration_pictures(args, ModelSpec.from_dict(checkpoint.spec).crop, others)
    pictures, judged = set_apart(pictures, args.calibration, others)
    schemes = schemes_of(args)
    if args.adds is not None:
        schemes = [s.replace(adds=args.adds) if s.target == "openvino" else s for s in schemes]
    checkpoint, keep, text = corrected_checkpoint(args, checkpoint, pictures, judged, schemes)
    print(text)
    name = args.name or checkpoint.spec["name"]
    proof = [*pictures[:1], *judged, *pictures[1:]]  # the first becomes the golden picture
    files = save_and_build(checkpoint, args.out, name, args.targets, proof, args.max_drift)
    if isinstance(checkpoint.network, TracedNetwork):
        _list_float(checkpoint.network, schemes, keep)
    warn_of_drift(files, args.max_drift)
    return int8_status(files, args.allow_float)


if __name__ == "__main__":
    raise SystemExit(main())
