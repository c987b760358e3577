"""Let atheris choose cases by the branches that they reach: ``python -m tools.fuzz.guided specs -runs=100000``.

Install it with ``pip install atheris``. Options that begin with a dash are those of libFuzzer. Atheris chooses bytes,
and an entry makes its case of them as it would of random numbers. So another byte is another choice, and a case that
reaches a new branch is kept and varied.
"""

from __future__ import annotations

import sys
from pathlib import Path
from random import Random


class ChosenBytes(Random):
    """Makes random numbers of bytes, and zeros when they are used up."""

    def __init__(self, content: bytes) -> None:
        super().__init__(0)
        self._rest = int.from_bytes(content, "little")

    def getrandbits(self, count: int, /) -> int:
        """Return the next ``count`` bits."""
        found = self._rest & ((1 << count) - 1)
        self._rest >>= count
        return found

    def random(self) -> float:
        """Return a number from 0 to below 1, in steps of 1/65536."""
        return self.getrandbits(16) / 65536


def main() -> None:
    """Run an entry until libFuzzer ends. A case that breaks a promise is written to the current folder."""
    import atheris  # no dependency of this project, since it has no wheels for many systems

    with atheris.instrument_imports(include=["edgehrnet", "runtimes", "quant"]):
        from tools.fuzz.engine import judge
        from tools.fuzz.entries import ENTRIES, open_entry, scratch

        if len(sys.argv) < 2 or sys.argv[1] not in ENTRIES:
            raise SystemExit(
                f"usage: python -m tools.fuzz.guided ENTRY [-runs=N]; ENTRY is one of {', '.join(ENTRIES)}"
            )
        folder = scratch()
        entry = open_entry(sys.argv.pop(1), Path(folder.name))

    def one(content: bytes) -> None:
        found = judge(entry, entry.make(ChosenBytes(content)))
        if found is not None:
            raise AssertionError(f"{found[0]}\n{found[1]}")

    with folder:
        atheris.Setup(sys.argv, one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
