"""Run commands in forked processes, so that none has to import torch again, and kill them at a chosen moment."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EVENTS = ("open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.truncate")
"""What Python reports before it changes names or opens a file."""
LIMIT_S = 900.0


@dataclass(frozen=True)
class Moment:
    """When to kill a process: after some seconds, or before it touches the folder for the n-th time."""

    seconds: float | None = None
    event: int | None = None


@dataclass(frozen=True)
class Ended:
    """End of a process."""

    status: int
    """Its exit status, -9 if it was killed."""
    text: str
    """What it printed."""
    seconds: float
    events: int
    """How often it touched the folder, if it was not killed."""


def call(
    action: Callable[[], int | None],
    folder: Path,
    moment: Moment | None = None,
    at: tuple[int, Callable[[], None]] | None = None,
) -> Ended:
    """Run a function in a forked process.

    Args:
        action: The function, which returns the exit status.
        folder: Folder whose changes are counted.
        moment: When to kill the process. None: not.
        at: A function, and before which touch of the folder the process calls it.
    """
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as counted:
        started = time.perf_counter()
        child = os.fork()
        if not child:
            if moment is not None and moment.event is not None:
                at = moment.event, lambda: os.kill(os.getpid(), signal.SIGKILL)
            _child(action, folder, at, output.fileno(), counted.fileno())
        limit = LIMIT_S if moment is None or moment.seconds is None else moment.seconds
        status = _wait(child, limit)
        seconds = time.perf_counter() - started
        output.seek(0)
        counted.seek(0)
        text = output.read().decode(errors="replace")
        return Ended(status, text, seconds, int(counted.read() or 0))


def _wait(child: int, limit: float) -> int:
    """Wait for a process, kill it after some seconds, and return its exit status."""
    end = time.perf_counter() + limit
    while time.perf_counter() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(min(0.002, max(0.0, end - time.perf_counter())))
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _child(
    action: Callable[[], int | None],
    folder: Path,
    at: tuple[int, Callable[[], None]] | None,
    output: int,
    counted: int,
) -> None:
    os.dup2(output, 1)
    os.dup2(output, 2)
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        if event in EVENTS and str(arguments[0]).startswith(str(folder)):
            count += 1
            if at is not None and count == at[0]:
                at[1]()

    sys.addaudithook(hook)
    status: Any = 1
    try:
        status = action() or 0
    except SystemExit as stop:
        status = stop.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(counted, str(count).encode())
        os._exit(status if isinstance(status, int) else 1)
