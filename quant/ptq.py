"""``python -m quant.ptq``: post-training quantization of a float checkpoint, and INT8 files with certificates."""

from __future__ import annotations

import argparse
from typing import get_args

from edgehrnet.errors import EdgeHRNetError
from edgehrnet.models.checkpoints import load_checkpoint
from edgehrnet.models.quantized import Adds
from edgehrnet.spec import ModelSpec
from quant.calibration import network_inputs
from quant.quantize import (
    add_arguments,
    bias_corrected,
    calibrate,
    calibration_pictures,
    equalised,
    save_and_build,
    schemes_of,
)
from quant.sensitivity import choose_float


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    p = argparse.ArgumentParser(prog="python -m quant.ptq", description=__doc__)
    add_arguments(p)
    p.add_argument("--adds", choices=get_args(Adds),
                   help="summands that are quantized for OpenVINO; all is a little faster")  # fmt: skip
    p.add_argument("--bias-correction", action="store_true", help="take the mean rounding error from each bias")
    p.add_argument("--equalise", action="store_true", help="equalise channels between linear convolutions")
    p.add_argument("--keep-float", nargs="+", default=[], metavar="SITE",
                   help="tensors to leave in float, by site; or auto: as few as --budget needs")  # fmt: skip
    p.add_argument("--budget", type=float, default=0.25, metavar="PX", help="mean drift of keypoints, for auto")
    args = p.parse_args(arguments)
    try:
        checkpoint = load_checkpoint(args.checkpoint)
        spec = ModelSpec.from_dict(checkpoint.spec)
        pictures = calibration_pictures(args)
        images = network_inputs(pictures, spec)
        if args.equalise:
            checkpoint = equalised(checkpoint)
        schemes, keep = schemes_of(args), args.keep_float
        if args.adds is not None:
            schemes = [s.replace(adds=args.adds) if s.target == "openvino" else s for s in schemes]
        if keep == ["auto"]:
            calibrated = calibrate(checkpoint, images, schemes, method=args.method, progress=True)
            keep = choose_float(calibrated, images, args.targets[0], args.budget, progress=True)
            print(f"left in float to stay within {args.budget} px: {' '.join(keep) or 'nothing'}")
        checkpoint = calibrate(checkpoint, images, schemes, method=args.method, keep_float=keep, progress=True)
        if args.bias_correction:
            checkpoint = bias_corrected(checkpoint, args.targets[0], images)
        save_and_build(checkpoint, args.out, args.name or args.checkpoint.stem, args.targets, pictures)
    except EdgeHRNetError as error:
        p.exit(2, f"error: {error}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
