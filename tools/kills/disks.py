"""Run the commands that write files on disks that are full, read-only or gone, and check what is left.

    python -m tools.kills.disks
    python -m tools.kills.disks quant.export "quant.train"

Each command runs over older results on a tmpfs that has room for a part of the new ones. It has to end with an exit
status other than 0 and with one line that names the file. No file may be damaged, and once there is room again, the
next run has to succeed. Linux only, as root.
"""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from edgehrnet.cli.tables import table
from tools.kills.cases import CASES, make_inputs
from tools.kills.children import Ended, call
from tools.kills.reading import final_files, finish
from tools.kills.target import Target, checked

PARTS = (0.0, 0.2, 0.4, 0.6, 0.8)
"""Room for new files, as a part of what they take."""
PAGE = 4096
BIG = 1 << 30
MANY = 100_000  # inodes


def _mount(*options: str) -> None:
    subprocess.run(["mount", *options], check=True)


class Disk:
    """A tmpfs at the folder that a command writes to."""

    def __init__(self, target: Target) -> None:
        self.target, self.folder = target, target.fresh()
        self._inodes = 2 + sum(1 for _ in self.folder.rglob("*"))
        self._pages = sum(-(-path.stat().st_size // PAGE) for path in self.folder.rglob("*") if path.is_file())
        new = sum(-(-len(content) // PAGE) for content in target.new.values())
        self.kinds: dict[str, Callable[[], None]] = {
            f"{part:.0%} of the room": lambda part=part: self._limit(pages=self._pages + max(1, round(part * new)))  # type: ignore[misc]
            for part in PARTS
        }
        self.kinds |= {
            "no inodes": lambda: self._limit(inodes=self._inodes),
            "two inodes": lambda: self._limit(inodes=self._inodes + 2),
            "read-only": lambda: _mount("-o", "remount,ro", str(self.folder)),
        }

    def _limit(self, pages: int = BIG // PAGE, inodes: int = MANY) -> None:
        _mount("-o", f"remount,rw,size={pages * PAGE},nr_inodes={inodes}", str(self.folder))

    def failures(self, kind: str) -> Iterator[str]:
        """Run the command on a disk of a kind, and yield what is wrong."""
        target, folder = self.target, self.target.fresh()
        _mount("-t", "tmpfs", "-o", f"size={BIG},nr_inodes={MANY}", "none", str(folder))
        try:
            shutil.copytree(target.old, folder, dirs_exist_ok=True)
            self.kinds[kind]()
            ended = call(lambda: target.case.run(target.inputs, folder, 1), folder)
            yield from _said(ended, folder)
            target.counts["failed" if ended.status else "had room"] += 1
            self._limit()
            finish(folder)
            found = call(lambda: checked(target.case, folder, target.before, target.new), folder)
            if found.status:
                yield found.text
            yield from target.again(folder)
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)

    def removed(self, event: int) -> Iterator[str]:
        """Run the command, remove its folder in mid-run, and yield what is wrong with what it says."""
        folder = self.target.fresh()

        def remove() -> None:
            shutil.rmtree(folder, ignore_errors=True)

        ended = call(lambda: self.target.case.run(self.target.inputs, folder, 1), folder, at=(event, remove))
        if ended.status or not set(final_files(folder)) >= set(self.target.new):
            yield from _said(ended, folder)


def _said(ended: Ended, folder: Path) -> Iterator[str]:
    """Yield what is wrong with how a command ended."""
    lines = [line for line in ended.text.splitlines() if line.startswith("error: ")]
    if ended.status < 0 or "Traceback" in ended.text or "Exception ignored" in ended.text:
        yield f"it ended with {ended.status}:\n{ended.text}"
    elif ended.status and not lines:
        yield f"it ended with {ended.status} and without a line:\n{ended.text}"
    for line in lines:
        if str(folder) not in line and not line.startswith("error: errors"):
            yield f"no file is named: {line}"


def main() -> int:
    """Run the commands on bad disks, print a table, and return 1 if something is wrong."""
    names = [case.name for case in CASES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", nargs="*", metavar="COMMAND", help=f"{', '.join(names)} (default: all)")
    args = parser.parse_args()
    cases = [case for case in CASES if case.name in (args.commands or names)]
    os.nice(15)
    torch.set_num_threads(1)
    for case in cases:
        importlib.import_module(case.module)
    listed = []
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder, "in")
        inputs.mkdir()
        call(lambda: make_inputs(inputs), inputs)
        for index, case in enumerate(cases):
            target = Target(case, inputs, Path(folder, str(index)))
            disk, bad = Disk(target), 0
            tries: dict[str, Iterator[str]] = {kind: disk.failures(kind) for kind in disk.kinds}
            middle = max(1, target.usual.events // 2)
            tries |= {f"removed at {event}": disk.removed(event) for event in (1, middle)}
            for kind, failures in tries.items():
                found = list(failures)
                bad += bool(found)
                for problem in found:
                    print(f"{case.name}, {kind}: {problem.strip()}", flush=True)
            listed.append(
                (case.name, str(len(tries)), *(str(target.counts[n]) for n in ("failed", "had room")), str(bad))
            )
            print(*listed[-1], sep=", ", file=sys.stderr, flush=True)
    print(table(("command", "disks", "refused", "had room", "wrong"), listed))
    return 1 if any(row[-1] != "0" for row in listed) else 0


if __name__ == "__main__":
    raise SystemExit(main())
