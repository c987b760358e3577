"""Turn the errors of a command into one line and an exit status."""

from __future__ import annotations

import argparse
import contextlib
import errno
import io
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence

from edgehrnet.cli.printable import printable
from edgehrnet.errors import EdgeHRNetError

INTERRUPTED, TERMINATED = 130, 143  # exit status after Ctrl-C and after SIGTERM, as shells give them

FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


def exit_status(action: Callable[[], int | None]) -> int:
    """Call a command's action and return its exit status.

    An error of this project, or a file that cannot be read or written, prints one line and gives status 2. A reader
    that closes the output, such as ``head``, is not an error. Ctrl-C gives status 130, and SIGTERM 143.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a file name may have characters that the terminal lacks
    try:
        with sigterm_exits():
            status = action() or 0
            sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except (EdgeHRNetError, OSError) as error:
        if isinstance(error, BrokenPipeError) and output_is_closed():
            return 0
        print(f"error: {printable(_text(error))}", file=sys.stderr)
        return 2
    return status


def run(
    parser: argparse.ArgumentParser, action: Callable[[argparse.Namespace], int | None], arguments: Sequence[str] | None
) -> int:
    """Parse the arguments, call ``action`` with them and return its exit status, 0 if it returns None.

    An error of this project, or a file that cannot be read or written, ends the process with one line and status 2. A
    reader that closes the output, such as ``head``, is not an error. Ctrl-C gives status 130, and SIGTERM 143.
    """
    args = parser.parse_args(arguments)
    try:
        with sigterm_exits():
            status = action(args) or 0
            sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except (EdgeHRNetError, OSError) as error:
        if isinstance(error, BrokenPipeError) and output_is_closed():
            return 0
        parser.exit(2, f"error: {printable(_text(error))}\n")
    return status


def _text(error: Exception) -> str:
    """Return the text of an error. One of a full disk names the file; only output and temporary files have no name."""
    if not isinstance(error, OSError) or error.errno not in FULL or error.filename is not None:
        return str(error)
    where = f"a temporary file in {tempfile.gettempdir()!r}, the folder that TMPDIR names"
    try:
        print(flush=True)
    except OSError:
        where = "the standard output"
    return f"cannot write {where}: {error.strerror}"


@contextlib.contextmanager
def sigterm_exits() -> Iterator[None]:
    """Let SIGTERM end the process as ``sys.exit`` does: threads stop, and files in work are removed.

    A process that ignores SIGTERM goes on doing so. Only the main thread may change how signals are treated.
    """
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def output_is_closed() -> bool:
    """Return True if the reader of the standard output has closed it, and discard what was not written yet.

    Writes an empty line to find out.
    """
    try:
        print(flush=True)
    except BrokenPipeError:
        # Python flushes once more at exit, and would print an error then.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return True
    return False
