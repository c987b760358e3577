"""Run cases in a child process, which may crash or hang."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from tools.fuzz.engine import MOST_KINDS, Entry, Failure, Worst, as_bytes, make_case, run
from tools.fuzz.entries import open_entry, scratch

HANG = 60.0  # seconds without an answer, also while the entry is imported

Opens = Callable[[str, Path], Entry]


def run_in_child(
    name: str,
    cases: int,
    seed: int,
    *,
    opens: Opens = open_entry,
    hang: float = HANG,
    worst: Worst | None = None,
    until: float | None = None,
) -> list[Failure]:
    """Run the cases 0..cases-1 of an entry, and go on with a new child after a crash or a hang.

    ``worst`` gets what the cases took, without those of a child that crashed. After ``until``, no case begins.

    Returns:
        The first failure of each kind.
    """
    failures: dict[str, Failure] = {}
    start, worst = 0, worst or Worst()
    while start < cases and len(failures) < MOST_KINDS and (until is None or time.time() < until):
        found, reached, ended = _one_child((name, range(start, cases), seed, opens, until), hang, worst)
        for failure in found:
            failures.setdefault(failure.kind, failure)
        if ended is None:
            break
        with scratch() as folder:
            entry = opens(name, Path(folder))
            case = as_bytes(make_case(entry, seed, reached))
        failures.setdefault(ended, Failure(entry.name, seed, reached, ended, ended, case))
        start = reached + 1
    return list(failures.values())


def _one_child(
    work: tuple[str, range, int, Opens, float | None], hang: float, worst: Worst
) -> tuple[list[Failure], int, str | None]:
    """Return the failures, the last case that was begun, and how the child ended if it did not end by itself."""
    name, cases, *_ = work
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_work, args=(sender, *work), daemon=True)
    child.start()
    sender.close()
    reached = cases.start - 1
    found: list[Failure] = []
    try:
        while True:
            if not receiver.poll(hang):
                return found, max(reached, cases.start), f"no answer for {hang:g} s"
            message = receiver.recv()
            if isinstance(message, int):
                reached = message
            elif isinstance(message, Failure):
                found.append(message)
            elif isinstance(message, Worst):
                worst.add(message)
            else:
                return found, reached, None
    except EOFError:
        child.join()
        if reached < cases.start:
            raise RuntimeError(f"the entry {name} could not be made; see the output of its process") from None
        return found, reached, f"the process ended with code {child.exitcode}"
    finally:
        child.kill()
        child.join()


def _work(sender: Connection, name: str, cases: range, seed: int, opens: Opens, until: float | None) -> None:
    """Run cases, and send the number of each, the failures and what the cases took."""
    os.environ.setdefault("TF_BUILD", "fuzz")  # OpenVINO then sends no usage statistics, for which it would fork
    with scratch() as folder:
        entry = opens(name, Path(folder))
        with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - libtiff and HDF5 print to the file of that number
            os.dup2(nowhere.fileno(), 2)
        worst = Worst()
        for failure in run(entry, cases, seed, sender.send, worst=worst, until=until):
            sender.send(failure)
        sender.send(worst)
        sender.send(None)
