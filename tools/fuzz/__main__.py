"""Read thousands of damaged files and odd arguments, and write down those that raise foreign errors."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from tools.fuzz.children import run_in_child
from tools.fuzz.engine import Worst, judge, make_case
from tools.fuzz.entries import ENTRIES, open_entry, scratch

OUT = Path("fuzz-failures")


def main() -> int:
    """Run the entries and return 1 if a case failed."""
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.add_argument("entries", nargs="*", metavar="ENTRY", help=f"{', '.join(ENTRIES)}; without any: all")
    parser.add_argument(
        "--cases", type=int, default=2000, help="cases of each entry, fewer of slow entries (default: %(default)s)"
    )
    parser.add_argument("--seconds", type=float, help="end after this time, which the entries share (default: no end)")
    parser.add_argument("--seed", type=int, default=0, help="other seeds make other cases (default: %(default)s)")
    parser.add_argument("--case", type=int, help="run this case only, in this process, and show its traceback")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the cases that fail (default: %(default)s)")
    args = parser.parse_args()
    for name in args.entries:
        if name not in ENTRIES:
            parser.error(f"no entry {name!r}; accepted: {', '.join(ENTRIES)}")
    names = args.entries or list(ENTRIES)
    if args.case is not None:
        return _repeat(names[0], args.seed, args.case)
    end = None if args.seconds is None else time.time() + args.seconds
    failed = False
    for index, name in enumerate(names):
        until = None if end is None else time.time() + (end - time.time()) / (len(names) - index)
        failed = _fuzz(name, args, until) or failed
    return 1 if failed else 0


def _fuzz(name: str, args: argparse.Namespace, until: float | None) -> bool:
    """Run an entry, print a line about it and one about each kind of failure. Return whether there is any."""
    started, worst = time.monotonic(), Worst()
    failures = run_in_child(name, max(1, args.cases // ENTRIES[name].slowness), args.seed, worst=worst, until=until)
    rate = worst.cases / (time.monotonic() - started)
    print(
        f"{name}: {worst.cases} cases, {rate:.0f} cases/s, at most {worst.seconds:.2f} s and {worst.megabytes:.0f} MB, "
        f"{len(failures)} kinds of failures",
        flush=True,
    )
    for failure in failures:
        print(f"  {failure.kind}: {failure.write(args.out)}\n    {failure.command}", flush=True)
    return bool(failures)


def _repeat(name: str, seed: int, index: int) -> int:
    """Run one case and print how it failed."""
    with scratch() as folder:
        entry = open_entry(name, Path(folder))
        found = judge(entry, make_case(entry, seed, index))
    print("the case keeps all promises" if found is None else f"{found[0]}\n{found[1]}")
    return 0 if found is None else 1


if __name__ == "__main__":
    raise SystemExit(main())
