"""Measure how far each quantizer alone moves the keypoints, and find which tensors to leave in float.

A quantizer rounds a tensor or the weights of a convolution. That of a tensor is named by its site, which is the layer
whose output it rounds, such as stem.conv1, or whose input, such as stem.conv1.input. That of weights is named by the
convolution. The drift is measured on keypoints that the float network is confident of, in pixels of the network input.
"""

from __future__ import annotations

import argparse

from edgehrnet.cli.status import run
from edgehrnet.models.checkpoints import build_model, load_checkpoint
from edgehrnet.spec import ModelSpec
from quant.commandline import add_arguments, calibration_pictures, schemes_of
from quant.int8.calibration import network_inputs
from quant.int8.degradation import Probe
from quant.int8.pipeline import calibrate
from quant.int8.placement import place
from quant.int8.ranking import PICTURES, rank, solve
from quant.reporting.sensitivity_chart import as_text, write


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    p = argparse.ArgumentParser(prog="python -m quant.sensitivity", description=__doc__)
    add_arguments(p)
    p.add_argument("--pictures", type=int, default=PICTURES, help="pictures to measure on (default: %(default)s)")
    p.add_argument("--budget", type=float, metavar="PX",
                   help="also find the fewest float sites for a mean drift below PX (default: off)")  # fmt: skip
    return run(p, _measure, arguments)


def _measure(args: argparse.Namespace) -> None:
    checkpoint = load_checkpoint(args.checkpoint)
    spec, target = ModelSpec.from_dict(checkpoint.spec), args.targets[0]
    pictures = calibration_pictures(args, spec.crop)
    images = network_inputs(pictures, spec)
    schemes = [scheme for scheme in schemes_of(args) if scheme.target == target]
    table = calibrate(checkpoint, images, schemes, method=args.method, progress=True).table(target)
    network = build_model(checkpoint)
    probe = Probe(network, pictures[: args.pictures], spec)
    ranked, everything = rank(probe, table, progress=True), probe.degradation(table)
    write(ranked, everything, args.out)
    print("\n".join(as_text(ranked, everything).splitlines()[:22]))
    print(f"\nall {len(ranked)} quantizers: {args.out / 'sensitivity.txt'}, {args.out / 'sensitivity.png'}")
    if args.budget is not None:
        kept = solve(probe, table, ranked, place(network, schemes[0]).sites, args.budget)
        print(f"within {args.budget} px with {len(kept)} sites in float: --keep-float {' '.join(kept)}")


if __name__ == "__main__":
    raise SystemExit(main())
