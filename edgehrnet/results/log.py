"""Append results to a log that survives a killed process.

A log is a JSON Lines file: one line about the model, then one line for each picture, as `Result.to_dict` returns it. A
process that is killed while it writes leaves at most one incomplete line at the end, which is removed when the log is
opened again.
"""

from __future__ import annotations

import errno
import json
import os
from array import array
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from edgehrnet.errors import InputError, WriteError
from edgehrnet.result import Result

FORMAT = 1


def key(source: str | None, frame: int | None) -> int:
    """Return 64 bits that identify a picture. Two of a million pictures share them once in 30 million runs."""
    text = json.dumps([source, frame]).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


class Log:
    """A log that results are appended to.

    Args:
        path: File of the log.
        resume: Whether to go on with a log that exists, instead of refusing it.

    Raises:
        InputError: There is such a log and ``resume`` is False, or it is not a log.
        WriteError: It cannot be read or written, or another process writes to it.
    """

    def __init__(self, path: Path, *, resume: bool) -> None:
        self.path, self.head = path, None
        self._done = array("Q")  # keys of earlier processes, sorted: 8 bytes per picture
        if path.is_symlink():
            raise InputError(f"{str(path)!r} is a link; remove it")
        try:
            with ExitStack() as stack:
                self._file = stack.enter_context(path.open("ab", buffering=0))
                _lock(self._file, path)
                if path.stat().st_size and not resume:
                    raise InputError(
                        f"{str(path)!r} holds results of a run that was interrupted; continue it with resume=True or "
                        "--resume, or remove the file"
                    )
                self.size = self._read_back()
                self._file.truncate(self.size)
                stack.pop_all()  # keeps the file open
        except OSError as error:
            raise WriteError(f"cannot write {str(path)!r}: {error.strerror or error}") from error

    head: dict[str, Any] | None

    def _read_back(self) -> int:
        """Read which pictures are in the log, and return the size of its complete lines."""
        size, keys = 0, array("Q")
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                values = self._parsed(line)
                if self.head is None:
                    self.head = values
                else:
                    keys.append(key(values.get("source"), values.get("frame")))
                size += len(line)
        np.frombuffer(keys, np.uint64).sort()  # in place: a list of a million integers would take 40 MB
        self._done = keys
        return size

    def _parsed(self, line: bytes) -> dict[str, Any]:
        with suppress(ValueError):
            values = json.loads(line)
            if isinstance(values, dict) and (self.head is not None or values.get("format") == FORMAT):
                return values
        raise InputError(f"{str(self.path)!r} is not a log of results; remove it, or choose another file")

    def __contains__(self, place: tuple[str | None, int | None]) -> bool:
        """Return whether the picture with this (source, frame) was in the log when it was opened."""
        wanted = key(*place)
        index = bisect_left(self._done, wanted)
        return index < len(self._done) and self._done[index] == wanted

    def __len__(self) -> int:
        """Return the number of pictures that were in the log when it was opened."""
        return len(self._done)

    def add(self, result: Result) -> None:
        """Append a result.

        Raises:
            InputError: The log was begun with another model, or is continued with pictures that have no name.
            WriteError: The disk is full. The log is as it was before.
        """
        spec = result.spec
        head = {
            "format": FORMAT,
            "model": spec.name,
            "keypoints": list(spec.keypoints),
            "skeleton": [list(pair) for pair in spec.skeleton],
        }
        if self.head is None:
            self._append(head)
            self.head = head
        elif head != self.head:
            raise InputError(f"{str(self.path)!r} was begun with model {self.head['model']!r}, this is {spec.name!r}")
        if self._done and result.source is None:
            raise InputError(
                f"{str(self.path)!r} cannot be continued with pictures that have no name; yield Frame(picture, "
                "source=..., frame=...)"
            )
        self._append(result.to_dict())

    def _append(self, values: dict[str, Any]) -> None:
        line = json.dumps(values).encode() + b"\n"
        try:
            if self._file.write(line) != len(line):
                raise OSError(28, "no space left on device")
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(self.size)
            raise WriteError(f"cannot write {str(self.path)!r}: {error.strerror}") from error
        self.size += len(line)

    def records(self) -> Iterator[dict[str, Any]]:
        """Yield the results, one at a time in memory."""
        with self.path.open("rb") as file:
            next(file, None)
            yield from map(json.loads, file)

    def close(self) -> None:
        """Close the file. Its lines stay."""
        self._file.close()

    def remove(self) -> None:
        """Close the file, and remove it."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def _lock(file: BinaryIO, path: Path) -> None:
    """Keep other processes from writing to a log until it is closed. Windows has no such locks."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BlockingIOError(errno.EAGAIN, "another process writes to it") from None
    except OSError:  # a file system without locks
        return
    if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
        raise FileNotFoundError(errno.ENOENT, "another process has just completed it")
