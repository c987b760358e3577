"""``python -m quant.ptq``: post-training quantization of a float checkpoint, and INT8 files with certificates."""

from __future__ import annotations

import argparse
from collections.abc import Collection
from pathlib import Path
from typing import get_args

from edgehrnet.cli.tables import table
from edgehrnet.errors import EdgeHRNetError, InputError
from edgehrnet.models.checkpoints import Checkpoint, load_checkpoint
from edgehrnet.models.checkpoints.ranges import Adds
from edgehrnet.spec import ModelSpec
from quant.commandline import add_arguments, calibration_pictures, schemes_of
from quant.files.build import save_and_build
from quant.int8.calibration import network_inputs
from quant.int8.pipeline import bias_corrected, calibrate, equalized
from quant.int8.placement import place
from quant.int8.ranking import choose_float
from quant.int8.scheme import Int8Scheme
from quant.int8.tracing import TracedNetwork, as_checkpoint, import_network, left_float, traced


def _read(args: argparse.Namespace) -> Checkpoint:
    """Open the checkpoint, or call the function that was named in its place."""
    text = str(args.checkpoint)
    if ":" not in text or Path(text).exists():
        return load_checkpoint(args.checkpoint)
    if args.spec is None:
        raise InputError(f"{text} does not say how its input is prepared: pass --spec with the JSON of a ModelSpec")
    try:
        spec = ModelSpec.from_json(args.spec.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {args.spec}: {error}") from None
    network = traced(import_network(text), len(spec.keypoints), spec.channels)
    return as_checkpoint(network, spec)


def _list_float(network: TracedNetwork, schemes: Collection[Int8Scheme], keep: Collection[str]) -> None:
    """Print what computes in float in the files, and why."""
    placement = place(network, next(iter(schemes)), keep)
    print(f"\nin int8: {len(placement.convolutions)} convolutions; in float:\n")
    rows = [(part.name, part.kind, part.reason) for part in left_float(network, placement)]
    print(table(("module", "what", "why"), rows))


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    p = argparse.ArgumentParser(prog="python -m quant.ptq", description=__doc__)
    add_arguments(p)
    p.add_argument("--spec", type=Path, metavar="JSON", help="of PACKAGE.MODULE:FUNCTION: how its input and output are")
    p.add_argument("--adds", choices=get_args(Adds),
                   help="summands that are quantized for OpenVINO; all is a little faster")  # fmt: skip
    p.add_argument("--bias-correction", action="store_true", help="take the mean rounding error from each bias")
    p.add_argument("--equalize", action="store_true", help="equalize channels between linear convolutions")
    p.add_argument("--keep-float", nargs="+", default=[], metavar="SITE",
                   help="tensors to leave in float, by site; or auto: as few as --budget needs")  # fmt: skip
    p.add_argument("--budget", type=float, default=0.25, metavar="PX", help="mean drift of keypoints, for auto")
    args = p.parse_args(arguments)
    try:
        checkpoint = _read(args)
        spec = ModelSpec.from_dict(checkpoint.spec)
        pictures = calibration_pictures(args)
        images = network_inputs(pictures, spec)
        if args.equalize:
            checkpoint = equalized(checkpoint)
        schemes, keep = schemes_of(args), args.keep_float
        if args.adds is not None:
            schemes = [s.replace(adds=args.adds) if s.target == "openvino" else s for s in schemes]
        if keep == ["auto"]:
            calibrated = calibrate(checkpoint, images, schemes, method=args.method, progress=True)
            keep = choose_float(calibrated, pictures, args.targets[0], args.budget, progress=True)
            print(f"left in float to stay within {args.budget} px: {' '.join(keep) or 'nothing'}")
        checkpoint = calibrate(checkpoint, images, schemes, method=args.method, keep_float=keep, progress=True)
        if args.bias_correction:
            checkpoint = bias_corrected(checkpoint, args.targets[0], images)
        name = args.name or checkpoint.spec["name"]
        save_and_build(checkpoint, args.out, name, args.targets, pictures)
        if isinstance(checkpoint.network, TracedNetwork):
            _list_float(checkpoint.network, schemes, keep)
    except EdgeHRNetError as error:
        p.exit(2, f"error: {error}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
