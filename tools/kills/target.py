"""One command with its older and newer results, to be killed or run on a full disk."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tools.kills.cases import Case
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
            self._must(call(lambda: case.run(inputs, self.folder, 0), self.fresh()))
            shutil.rmtree(self.old)
            self.folder.rename(self.old)
        self._must(call(lambda: case.run(inputs, self.folder, 1), self.fresh()))
        self.usual = call(lambda: case.run(inputs, self.folder, 1), self.fresh())
        self._must(self.usual)
        self.before, self.new = final_files(self.old), final_files(self.folder)
        self.counts = Counter[str]()

    def fresh(self) -> Path:
        """Put the older results back, and return the folder with them."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.old, self.folder)
        return self.folder

    def _must(self, ended: Ended) -> None:
        if ended.status:
            raise SystemExit(f"{self.case.name} failed without being killed:\n{ended.text}")

    def kill(self, moment: Moment) -> Iterator[str]:
        """Kill the command at a moment over older results, and yield what is wrong after it."""
        folder = self.fresh()
        ended = call(lambda: self.case.run(self.inputs, folder, 1), folder, moment)
        self.counts["kills"] += ended.status == -9
        if ended.status not in (0, -9):
            yield f"it ended by itself with {ended.status}:\n{ended.text}"
        self.counts["left over"] += bool(leftovers(folder))
        self.counts["to finish"] += finish(folder)
        self._count(final_files(folder))
        found = call(lambda: checked(self.case, folder, self.before, self.new), folder)
        if found.status:
            yield found.text
        yield from self.again(folder)

    def _count(self, found: Files) -> None:
        newer = [name for name in found if found[name] != self.before.get(name)]
        self.counts["older" if not newer else "newer" if len(newer) >= len(self.new) else "both"] += 1

    def again(self, folder: Path) -> Iterator[str]:
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


def checked(case: Case, folder: Path, old: Files, new: Files) -> int:
    """Print what is wrong with the files in a folder, and return 1 if something is."""
    found = list(problems(case, folder, old, new))
    print("\n".join(found))
    return 1 if found else 0
