"""Quantize a float checkpoint after training, and build INT8 files with certificates."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path
from typing import TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

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
from quant.int8.calibration import network_inputs
from quant.int8.choice import BIAS, EQUALIZE, FLOAT_BUDGET, JUDGED, Search, corrected
from quant.int8.importing import import_network
from quant.int8.pipeline import calibrate
from quant.int8.placement import place
from quant.int8.ranking import choose_float
from quant.int8.scheme import Int8Scheme
from quant.int8.tracing import TracedNetwork, as_checkpoint, check_quantizable, left_float, traced
from quant.reporting.choice_table import as_text

Pictures: TypeAlias = list[NDArray[np.uint8]]


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
    p.add_argument("--corrections", nargs="+", choices=("auto", "none", EQUALIZE, BIAS), default=["auto"],
                   metavar="NAME",
                   help="auto tries corrections and keeps the best by the drift of keypoints, none is plain "
                        f"quantization, {BIAS} subtracts the mean rounding error from each bias, {EQUALIZE} balances "
                        "the weights of consecutive convolutions (default: auto)")  # fmt: skip
    p.add_argument("--float-budget", type=float, default=FLOAT_BUDGET, metavar="SHARE",
                   help="largest share of the multiply-accumulates that auto may leave in float, 0 to 1 "
                        "(default: %(default)s)")  # fmt: skip
    p.add_argument("--keep-float", nargs="+", default=[], metavar="SITE",
                   help="quantizers to leave out, by the names that quant.sensitivity lists, or auto for as few as "
                        "--budget allows (default: none)")  # fmt: skip
    p.add_argument("--budget", type=float, default=0.25, metavar="PX",
                   help="largest mean keypoint drift for auto, in pixels of the network input "
                        "(default: %(default)s)")  # fmt: skip
    return run(p, _quantize, arguments)


def _quantize(args: argparse.Namespace) -> int:
    if args.checkpoint.suffix in SOURCES:
        files = quantize_from_arguments(args, lambda spec: calibration_pictures(args, spec.crop))
        return int8_status(files, args.allow_float)
    _check(args)
    checkpoint = _read(args)
    crop = ModelSpec.from_dict(checkpoint.spec).crop
    auto = args.corrections == ["auto"]
    pictures = calibration_pictures(args, crop, more=JUDGED if auto else 0)
    judged: Pictures = []
    if auto:
        pictures, judged = set_apart(pictures, args.calibration, JUDGED)
    schemes = schemes_of(args)
    if args.adds is not None:
        schemes = [s.replace(adds=args.adds) if s.target == "openvino" else s for s in schemes]
    checkpoint, keep = _corrected(args, checkpoint, pictures, judged, schemes)
    name = args.name or checkpoint.spec["name"]
    proof = [*pictures[:1], *judged, *pictures[1:]]  # the first becomes the golden picture
    files = save_and_build(checkpoint, args.out, name, args.targets, proof, args.max_drift)
    if isinstance(checkpoint.network, TracedNetwork):
        _list_float(checkpoint.network, schemes, keep)
    warn_of_drift(files, args.max_drift)
    return int8_status(files, args.allow_float)


def _corrected(
    args: argparse.Namespace, checkpoint: Checkpoint, pictures: Pictures, judged: Pictures, schemes: list[Int8Scheme]
) -> tuple[Checkpoint, list[str]]:
    """Calibrate and correct the checkpoint. Return it with the sites that stay in float."""
    target, keep = args.targets[0], args.keep_float
    images = network_inputs(pictures, ModelSpec.from_dict(checkpoint.spec))
    if keep == ["auto"]:
        calibrated = calibrate(checkpoint, images, schemes, method=args.method, progress=True)
        keep = choose_float(calibrated, pictures, target, args.budget, progress=True)
        print(f"left in float to stay within {args.budget} px: {' '.join(keep) or 'nothing'}")
    options = {"method": args.method, "keep_float": keep, "progress": True}
    if args.corrections != ["auto"]:
        return corrected(checkpoint, images, schemes, target, args.corrections, **options), keep
    search = Search(checkpoint, pictures, judged, schemes, target, float_budget=args.float_budget, **options)
    choice = search.run()
    print(as_text(choice, len(judged)))
    return choice.checkpoint, [*keep, *choice.sites]


def _check(args: argparse.Namespace) -> None:
    """Refuse options that do not fit each other."""
    alone = {"auto", "none"} & {*args.corrections}
    if alone and len(args.corrections) > 1:
        raise InputError(
            f"--corrections {' '.join(args.corrections)}: {sorted(alone)[0]} cannot be combined with others"
        )
    if not 0 <= args.float_budget <= 1:
        raise InputError(f"--float-budget {args.float_budget} is not a share; use 0 to 1, such as 0.05")


if __name__ == "__main__":
    raise SystemExit(main())
