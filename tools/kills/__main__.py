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
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import torch

from edgehrnet.cli.tables import table
from tools.kills.cases import CASES, Case, make_inputs
from tools.kills.children import Ended, Moment, call
from tools.kills.reading import Files, final_files, finish, leftovers, problems

COUNTS = ("kills", "older", "newer", "both", "to finish", "left over")


class Target:
    """A command, its older results, and those of a run that was not killed.

    Args:
        case: The command.
        inputs: Folder of the inputs.
        work: Empty folder.
    """

    def __init__(self, case: Case, inputs: Path, work: Path) -> None:
        self.case, self.inputs = case, inputs
        self.old, self.folder = work / "old", work / "out"
        self.old.mkdir(parents=True)
        if case.older:
            self._must(call(lambda: case.run(inputs, self.folder, 0), self._fresh()))
            shutil.rmtree(self.old)
            self.folder.rename(self.old)
        self._must(call(lambda: case.run(inputs, self.folder, 1), self._fresh()))
        self.usual = call(lambda: case.run(inputs, self.folder, 1), self._fresh())
        self._must(self.usual)
        self.before, self.new = final_files(self.old), final_files(self.folder)
        self.counts = Counter[str]()

    def _fresh(self) -> Path:
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.old, self.folder)
        return self.folder

    def _must(self, ended: Ended) -> None:
        if ended.status:
            raise SystemExit(f"{self.case.name} failed without being killed:\n{ended.text}")

    def kill(self, moment: Moment) -> Iterator[str]:
        """Kill the command at a moment over older results, and yield what is wrong after it."""
        folder = self._fresh()
        ended = call(lambda: self.case.run(self.inputs, folder, 1), folder, moment)
        self.counts["kills"] += ended.status == -9
        if ended.status not in (0, -9):
            yield f"it ended by itself with {ended.status}:\n{ended.text}"
        self.counts["left over"] += bool(leftovers(folder))
        self.counts["to finish"] += finish(folder)
        self._count(final_files(folder))
        checked = call(lambda: _checked(self.case, folder, self.before, self.new), folder)
        if checked.status:
            yield checked.text
        yield from self._again(folder)

    def _count(self, found: Files) -> None:
        newer = [name for name in found if found[name] != self.before.get(name)]
        self.counts["older" if not newer else "newer" if len(newer) >= len(self.new) else "both"] += 1

    def _again(self, folder: Path) -> Iterator[str]:
        """Run the command again, as its message asks if it refuses, and yield what is wrong then."""
        if not self.case.older and set(final_files(folder)) == set(self.new) and not self.case.resume:
            return  # complete, and the command writes to new folders only
        ended = call(lambda: self.case.run(self.inputs, folder, 1), folder)
        if ended.status == 2 and self.case.resume and "--resume" in ended.text:
            ended = call(lambda: self.case.run(self.inputs, folder, 1, self.case.resume), folder)
        if ended.status:
            yield f"the next run ended with {ended.status}:\n{ended.text}"
        found = final_files(folder)
        for name in self.new:
            if name not in found:
                yield f"the next run did not write {name}"
            elif not self.case.varies(name) and found[name] != self.new[name]:
                yield f"the next run wrote another {name}"
        if any(name.endswith(".partial") for name in leftovers(folder)):
            yield f"the next run left {leftovers(folder)}"


def _checked(case: Case, folder: Path, old: Files, new: Files) -> int:
    found = list(problems(case, folder, old, new))
    print("\n".join(found))
    return 1 if found else 0


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
