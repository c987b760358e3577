"""Kill the commands that write files at random moments, and check that each file is whole, the older one or the newer.

    python -m tools.kills --cases 200
    python -m tools.kills quant.export quant.train --cases 50 --seed 1

Half of the kills are at a random moment of the whole run, half just before the command touches the folder for the n-th
time, with a random n. Then every file is read, the command is run again, and its files must be those of a run that was
not killed. Linux only.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch

from edgehrnet.cli.tables import table
from tools.kills.cases import CASES, Case, make_inputs
from tools.kills.children import Moment, call
from tools.kills.target import COUNTS, Target


def _moment(target: Target, chance: random.Random) -> Moment:
    if chance.random() < 0.5:
        return Moment(seconds=chance.uniform(0, target.usual.seconds))
    return Moment(event=chance.randint(1, max(1, target.usual.events)))


def _shares(cases: Sequence[Case], kills: int) -> list[int]:
    """Divide a number of kills by the weights of the cases."""
    total = sum(case.weight for case in cases)
    ends = [round(kills * sum(case.weight for case in cases[:n]) / total) for n in range(len(cases) + 1)]
    return [end - begin for begin, end in pairwise(ends)]


def _run(case: Case, kills: int, chance: random.Random, inputs: Path, work: Path) -> tuple[Target, int]:
    target, failed = Target(case, inputs, work), 0
    for number in range(kills):
        moment = _moment(target, chance)
        found = list(target.kill(moment))
        failed += bool(found)
        for problem in found:
            print(f"{case.name}, kill {number + 1}, {moment}: {problem.strip()}", flush=True)
    return target, failed


def main() -> int:
    """Kill the commands, print a table, and return 1 if a file was damaged."""
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=f"{', '.join(names)} (default: all)")
    parser.add_argument("--cases", type=int, default=200, help="kills, of all commands (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="other seeds kill at other moments (default: %(default)s)")
    args = parser.parse_args()
    if unknown := set(args.commands) - set(names):
        parser.error(f"no command {unknown.pop()!r}; accepted: {', '.join(names)}")
    cases = [case for case in CASES if case.name in (args.commands or names)]
    os.nice(15)
    torch.set_num_threads(1)
    for case in cases:
        importlib.import_module(case.module)
    failed, listed = 0, []
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder, "in")
        inputs.mkdir()
        if (made := call(lambda: make_inputs(inputs), inputs)).status:
            parser.error(made.text)
        for index, (case, kills) in enumerate(zip(cases, _shares(cases, args.cases), strict=True)):
            started, chance = time.monotonic(), random.Random(f"{args.seed} {case.name}")
            target, bad = _run(case, kills, chance, inputs, Path(folder, str(index)))
            failed += bad
            listed.append((case.name, f"{target.usual.seconds:.1f}", *(target.counts[name] for name in COUNTS), bad))
            seconds = time.monotonic() - started
            print(f"{case.name}: {seconds:.0f} s, {dict(target.counts)}, failed {bad}", file=sys.stderr, flush=True)
    print(table(("command", "seconds", *COUNTS, "failed"), [tuple(map(str, row)) for row in listed]))
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
