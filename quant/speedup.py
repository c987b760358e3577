"""Replace activations where this saves the most time for the accuracy lost, and repair the network by training.

The compiled INT8 graph of OpenVINO shows how many milliseconds another activation saves at each site. Sites are
exchanged in the order of the milliseconds that they save for each pixel that they move the keypoints. The table shows
this trade-off before any training. The point chosen by --budget-px is then trained to answer as the network did.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from edgehrnet.cli.arguments import parse_size
from edgehrnet.cli.status import run
from edgehrnet.models.checkpoints import Checkpoint, build_model, load_checkpoint
from edgehrnet.spec import ModelSpec
from quant.data.arguments import add_data_arguments, open_labels
from quant.data.examples import DataSet
from quant.int8.calibration import network_inputs
from quant.int8.degradation import Probe
from quant.speed.gains import RUNS, SLOWER, Gains, measure_gains, with_activations
from quant.speed.tables import point_table, site_table
from quant.speed.trade_off import Point, choose, measure, rank_sites, trade_off
from quant.training.repair import RepairSettings, RepairTrainer, repair_settings

CALIBRATION = 2  # pictures for the ranges of the graphs that are timed


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    default = RepairSettings
    p = argparse.ArgumentParser(
        prog="python -m quant.speedup", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("checkpoint", type=Path,
                   help="float weights: a .pt file of this project, or a published .pth")  # fmt: skip
    add_data_arguments(p, fold="use part K of N for validation, counted from 0 (default: no split)")
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write the checkpoint ema.pt to")
    p.add_argument("--to", choices=list(SLOWER), default="hardswish", help="other activation (default: %(default)s)")
    p.add_argument("--budget-px", type=float, default=1.0, metavar="PX",
                   help="largest mean drift before the repair, in pixels of the network input "
                        "(default: %(default)g)")  # fmt: skip
    p.add_argument("--points", type=int, default=8, metavar="N", help="rows of the table (default: %(default)s)")
    p.add_argument("--pictures", type=int, default=24, metavar="N",
                   help="pictures to measure the drift on (default: %(default)s)")  # fmt: skip
    p.add_argument("--validate-count", type=int, default=default.validate_count, metavar="N",
                   help="largest number of examples to score on (default: %(default)s)")  # fmt: skip
    p.add_argument("--runs", type=int, default=RUNS, metavar="N",
                   help="inferences of each graph to time (default: %(default)s)")  # fmt: skip
    p.add_argument("--steps", type=int, default=default.steps, metavar="N",
                   help="training steps of the repair; 0: only print the table (default: %(default)s)")  # fmt: skip
    p.add_argument("--sizes", type=parse_size, nargs="+", default=[], metavar="HEIGHTxWIDTH",
                   help="input sizes of the repair, used in turn by the batches "
                        "(default: the checkpoint's)")  # fmt: skip
    p.add_argument("--batch", type=int, default=default.batch, metavar="N",
                   help="pictures in a batch (default: %(default)s)")  # fmt: skip
    p.add_argument("--learning-rate", type=float, default=default.learning_rate, metavar="RATE",
                   help="largest learning rate of the repair (default: %(default)s)")  # fmt: skip
    p.add_argument("--workers", type=int, default=default.workers, metavar="N",
                   help="processes that prepare pictures; 0: this process (default: %(default)s)")  # fmt: skip
    p.add_argument("--device", default=default.device, help="torch device of the repair (default: %(default)s)")
    p.add_argument("--threads", type=int, metavar="N", help="CPU threads of torch (default: all)")
    p.add_argument("--seed", type=int, default=0, help="random seed (default: %(default)s)")
    return p


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    return run(parser(), _speed_up, arguments)


def _speed_up(args: argparse.Namespace) -> None:
    if args.threads:
        torch.set_num_threads(args.threads)
    checkpoint = load_checkpoint(args.checkpoint)
    spec = ModelSpec.from_dict(checkpoint.spec)
    data = open_labels(args, spec.crop)
    pictures = list(data.calibration(args.pictures, args.seed))
    inputs = network_inputs(pictures[:CALIBRATION], spec)
    gains = measure_gains(checkpoint, args.to, inputs, runs=args.runs, progress=True)
    probe = Probe(build_model(checkpoint), pictures, spec)
    ranked = rank_sites(probe, gains, args.to, progress=True)
    points = trade_off(
        probe, gains, ranked, args.to, data, points=args.points, pictures=args.validate_count, progress=True
    )
    chosen = choose(points, args.budget_px)
    print(f"{site_table(ranked)}\n\n{point_table(points, gains, chosen)}")
    if not chosen.sites:
        print(f"\nno point is within --budget-px {args.budget_px:g}, so there is nothing to repair; allow more")
    elif args.steps:
        _repair(args, checkpoint, chosen, gains, probe, data)


def _repair(
    args: argparse.Namespace, checkpoint: Checkpoint, chosen: Point, gains: Gains, probe: Probe, data: DataSet
) -> None:
    changed = with_activations(checkpoint, dict.fromkeys(chosen.sites, args.to))
    trainer = RepairTrainer(repair_settings(args, changed), args.out, checkpoint)
    trainer.run()
    repaired = build_model(load_checkpoint(args.out / "ema.pt"))
    after = measure(probe, repaired, gains, chosen.sites, data, args.validate_count)
    print(f"\nafter the repair\n{point_table([after], gains)}")
    print(f"\nnetwork  {args.out / 'ema.pt'}\nnext     python -m quant.ptq {args.out / 'ema.pt'} --data {args.data}")


if __name__ == "__main__":
    raise SystemExit(main())
