"""``python -m quant.sensitivity``: how much each quantizer alone harms the keypoints, and which to leave in float.

A quantizer is a tensor's (called by its site) or a convolution's weights (called by the convolution). Harm is measured
where the float network is certain, against the float network's own keypoints, in pixels of the network input.
"""

from __future__ import annotations

import argparse

from edgehrnet.errors import EdgeHRNetError
from edgehrnet.models.checkpoints import build_model, load_checkpoint
from edgehrnet.spec import ModelSpec
from quant.commandline import add_arguments, calibration_pictures, schemes_of
from quant.int8.calibration import network_inputs
from quant.int8.pipeline import calibrate
from quant.int8.placement import place
from quant.int8.ranking import PICTURES, Probe, rank, solve
from quant.reporting.sensitivity_chart import as_text, write


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    p = argparse.ArgumentParser(prog="python -m quant.sensitivity", description=__doc__)
    add_arguments(p)
    p.add_argument("--pictures", type=int, default=PICTURES, help="pictures to measure on")
    p.add_argument("--budget", type=float, metavar="PX", help="also find the fewest float sites within this mean drift")
    args = p.parse_args(arguments)
    try:
        checkpoint = load_checkpoint(args.checkpoint)
        spec, target = ModelSpec.from_dict(checkpoint.spec), args.targets[0]
        pictures = calibration_pictures(args)
        images = network_inputs(pictures, spec)
        schemes = [scheme for scheme in schemes_of(args) if scheme.target == target]
        table = calibrate(checkpoint, images, schemes, method=args.method, progress=True).table(target)
        network = build_model(checkpoint)
        probe = Probe(network, pictures[: args.pictures], spec)
        ranked, everything = rank(probe, table, progress=True), probe.harm(table)
        write(ranked, everything, args.out)
        print("\n".join(as_text(ranked, everything).splitlines()[:22]))
        print(f"\nall {len(ranked)} quantizers: {args.out / 'sensitivity.txt'}, {args.out / 'sensitivity.png'}")
        if args.budget is not None:
            kept = solve(probe, table, ranked, place(network, schemes[0]).sites, args.budget)
            print(f"within {args.budget} px with {len(kept)} sites in float: --keep-float {' '.join(kept)}")
    except EdgeHRNetError as error:
        p.exit(2, f"error: {error}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
