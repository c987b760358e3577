"""Run the cases of an entry, and say which of them break its promises: typed errors, little time, little memory."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from edgehrnet.errors import EdgeHRNetError
from edgehrnet.result import Result

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MOST_KINDS = 20  # of failures, after which an entry ends


class NotFiniteError(AssertionError):
    """An answer has a number that is not finite."""


@dataclass(frozen=True)
class Entry:
    """One reader of foreign input."""

    name: str
    """Name on the command line."""
    make: Callable[[Random], Any]
    """Makes a case. The same generator makes the same case."""
    check: Callable[[Any], None]
    """Reads a case. May raise EdgeHRNetError, and raises `NotFiniteError` if an answer is not finite."""
    seconds: float = 1.0
    """CPU time that a case may take."""
    megabytes: float = 256.0
    """Memory that a case may take in addition to what the process has."""


@dataclass(frozen=True)
class Failure:
    """A case that broke a promise."""

    entry: str
    seed: int
    index: int
    kind: str
    """Short name, the same for cases that fail at the same place."""
    details: str
    case: bytes
    """The case, or its text where it is no file."""

    def write(self, folder: Path) -> Path:
        """Write the case and, beside it, how it failed and the command that repeats it. Return the file."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.entry}-{self.seed}-{self.index}.case"
        path.write_bytes(self.case)
        path.with_suffix(".txt").write_text(f"{self.details}\n\n{self.command}\n", encoding="utf-8", errors="replace")
        return path

    @property
    def command(self) -> str:
        """Command that runs this case alone."""
        return f"python -m tools.fuzz {self.entry} --seed {self.seed} --case {self.index}"


@dataclass
class Worst:
    """Costs of the most expensive cases of an entry."""

    cases: int = 0
    """Number of cases that ran."""
    seconds: float = 0.0
    megabytes: float = 0.0

    def add(self, other: Worst) -> None:
        """Take the larger of both."""
        self.cases += other.cases
        self.seconds, self.megabytes = max(self.seconds, other.seconds), max(self.megabytes, other.megabytes)


def make_case(entry: Entry, seed: int, index: int) -> Any:
    """Return a case by its number."""
    return entry.make(Random(f"{entry.name} {seed} {index}"))


def run(
    entry: Entry,
    cases: range,
    seed: int,
    note: Callable[[int], None] | None = None,
    *,
    worst: Worst | None = None,
    until: float | None = None,
) -> list[Failure]:
    """Run cases in this process and return the first failure of each kind.

    Args:
        entry: What reads the cases.
        cases: Their numbers.
        seed: Makes other cases.
        note: Gets each number beforehand.
        worst: Gets what the cases took.
        until: `time.time` after which no case begins.
    """
    failures: dict[str, Failure] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for index in cases:
            if until is not None and time.time() > until:
                break
            if note is not None:
                note(index)
            case = make_case(entry, seed, index)
            found = judge(entry, case, worst)
            if found is not None:
                kind, details = found
                failures.setdefault(kind, Failure(entry.name, seed, index, kind, details, as_bytes(case)))
                if len(failures) >= MOST_KINDS:
                    break
    return list(failures.values())


def judge(entry: Entry, case: Any, worst: Worst | None = None) -> tuple[str, str] | None:
    """Run one case. Return the kind and the details of its failure, None if it keeps all promises.

    ``worst`` gets what it took.
    """
    before, started = _start_peak(), time.process_time()
    try:
        entry.check(case)
    except EdgeHRNetError:
        pass
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
        place = f"{Path((ours or [last])[-1].filename).name}:{(ours or [last])[-1].lineno}"
        return f"{type(error).__name__} at {place}", traceback.format_exc()
    seconds, megabytes = time.process_time() - started, _peak() - before
    if worst is not None:
        worst.add(Worst(1, seconds, megabytes))
    if seconds > entry.seconds:
        return "slow", f"took {seconds:.1f} s of CPU time, accepted: {entry.seconds:g} s"
    if megabytes > entry.megabytes:
        return "memory", f"took {megabytes:.0f} MB of memory, accepted: {entry.megabytes:g} MB"
    return None


def as_bytes(case: Any) -> bytes:
    """Return a case as the content of a file."""
    return case if isinstance(case, bytes) else repr(case)[:100_000].encode("utf-8", "backslashreplace")


def require_finite(result: Result) -> None:
    """Raise NotFiniteError unless the keypoints are finite."""
    for name in ("xy", "conf"):
        values = getattr(result.keypoints, name)
        if not np.isfinite(values).all():
            raise NotFiniteError(f"{name} = {values.tolist()}")


def _start_peak() -> float:
    """Set the peak of this process's memory to what it has now, where Linux allows it, and return it in MB."""
    with suppress(OSError):
        CLEAR.write_bytes(b"5")
    return _peak()


def _peak() -> float:
    """Return the peak of this process's memory in MB, 0 where it is not known."""
    try:
        content = STATUS.read_bytes()
    except OSError:
        return 0.0
    _, _, rest = content.partition(b"VmHWM:")
    return int(rest.split(None, 1)[0]) / 1024 if rest else 0.0
