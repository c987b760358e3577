"""Write files so that each appears whole under its name or not at all, and those that belong together all at once.

Files are written into a hidden folder beside their final places, and moved from there. One file is moved in one step.
Several files first become a folder of a fixed name, in one step, which decides that they replace the old ones. Whoever
reads or writes there next moves the files that a killed process has left in that folder. Files of a process that was
killed before this step are removed later.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

from runtimes.errors import EdgeHRNetError, WriteError

HIDDEN = ".edgehrnet-writing"
PARTIAL = ".partial"  # ending of the name of a file that a later process may continue or clear
_WHOLE = "whole"  # folder in HIDDEN with files that are complete and only have to be moved
_ABANDONED_S = 3600.0  # age of files in HIDDEN that no process writes to any more
_ATTEMPTS = 100  # to move files to their places while other processes do so too


def write_file(path: Path, content: str | bytes | Callable[[Path], object]) -> None:
    """Write one file whole, or leave it as it was.

    A link of this name is replaced, and the file that it points to stays as it is. A device or pipe is written to.

    Args:
        path: File to write.
        content: Text, which is written as UTF-8, or bytes, or a function that writes to the path that it is given.

    Raises:
        WriteError: The file cannot be written.
    """
    with _failures(path):
        special = path.exists() and not path.is_symlink() and not path.is_file() and not path.is_dir()
        if path.parent == Path("/dev") or special:
            _write(path, content)
            return
        with new_files(path) as folder:
            _write(folder / path.name, content)


def append_line(path: Path, line: str) -> None:
    """Add a line to a text file. A full disk may leave a part of it.

    Raises:
        WriteError: The file cannot be written.
    """
    with _failures(path), path.open("a", encoding="utf-8", newline="\n") as file:
        file.write(line + "\n")


def _write(path: Path, content: str | bytes | Callable[[Path], object]) -> None:
    if isinstance(content, str):
        path.write_text(content, encoding="utf-8", newline="\n")
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content(path)


@contextmanager
def new_files(path: Path) -> Iterator[Path]:
    """Yield an empty folder. Files that the block writes there appear beside ``path``, all of them or none.

    Folders in it appear too, and their files beside those that such a folder has already. If the block or the disk
    fails, files of the same names are as before.

    Args:
        path: One of the files, named in errors.

    Raises:
        WriteError: A file cannot be written. Errors of writing in the block count too: OSError and RuntimeError, which
            torch and OpenVINO raise for a full disk.
    """
    target = path.parent
    with _failures(path):
        finish_writing(target)
        own = _own_folder(target)
        try:
            yield own
            _publish(own, target)
        finally:
            shutil.rmtree(own, ignore_errors=True)
            _remove_if_empty(target / HIDDEN)


def finish_writing(folder: Path) -> None:
    """Move complete files that a killed process has left in a folder to their places.

    Several processes may do so at the same time. Raises OSError if a file cannot be moved.
    """
    whole = folder / HIDDEN / _WHOLE
    if whole.is_symlink() or whole.parent.is_symlink():
        return  # its files are not ours
    emptied = []
    for found, folders, names in os.walk(whole):
        place = folder / Path(found).relative_to(whole)
        if place != folder and place.is_symlink():
            folders.clear()
            continue  # it may lead anywhere
        place.mkdir(exist_ok=True)
        for name in list(folders):
            with suppress(OSError):  # it is there and has files: move one by one
                os.replace(Path(found, name), place / name)  # noqa: PTH105
                folders.remove(name)
        for name in names:
            with suppress(FileNotFoundError):  # moved by another process
                os.replace(Path(found, name), place / name)  # noqa: PTH105
        _sync(place)
        emptied.append(Path(found))
    for old in reversed(emptied):
        _remove_if_empty(old)
    if emptied:
        _remove_if_empty(whole.parent)


def place_of(path: Path) -> Path:
    """Return where a file that is written in a folder of `new_files` will be.

    >>> place_of(Path("out", HIDDEN, "x1", "labels")).as_posix()
    'out/labels'
    """
    parts = path.parts
    first = parts.index(HIDDEN) if HIDDEN in parts else len(parts)
    return Path(*parts[:first], *parts[first + 2 :])


@contextmanager
def _failures(path: Path) -> Iterator[None]:
    """Name the file in errors of the disk."""
    try:
        yield
    except (OSError, RuntimeError) as error:
        # A WriteError names a file in a folder that is about to be removed.
        cause = error.__cause__ if isinstance(error, WriteError) else error
        if cause is None or isinstance(cause, EdgeHRNetError):
            raise
        lines = (cause.strerror if isinstance(cause, OSError) else None) or str(cause).strip() or type(cause).__name__
        raise WriteError(f"cannot write {str(path)!r}: {lines.splitlines()[0]}") from cause


def _own_folder(target: Path) -> Path:
    """Make a folder for the files of this process, and remove those of processes that were killed."""
    hidden = target / HIDDEN
    while True:
        with suppress(FileExistsError):
            hidden.mkdir()
        if hidden.is_symlink() or hidden.is_file():
            raise OSError(f"{hidden} is no folder; remove it")
        with suppress(FileNotFoundError):  # another process has just removed the empty folder
            for other in hidden.iterdir():
                if other.name != _WHOLE and time.time() - _last_written(other) > _ABANDONED_S:
                    shutil.rmtree(other, ignore_errors=True)
            return Path(tempfile.mkdtemp(dir=hidden))


def _last_written(folder: Path) -> float:
    """Return when something in a folder was last changed. A video is written for hours."""
    return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))


def _publish(own: Path, target: Path) -> None:
    """Move the files of a folder to their places. If they are several, all replace the old ones or none does."""
    found = list(own.rglob("*"))
    for path in found:
        place = target / path.relative_to(own)
        if path.is_dir() and place.is_symlink():
            raise OSError(f"{place} is a link")
        if place.exists() and place.is_dir() != path.is_dir():
            raise OSError(f"{place} is {'a' if place.is_dir() else 'no'} folder")
        _sync(path)
    if len(found) == 1 and found[0].is_file():
        os.replace(found[0], target / found[0].name)  # noqa: PTH105
        _sync(target)
        return
    _sync(own)
    whole = target / HIDDEN / _WHOLE
    for attempt in range(_ATTEMPTS):
        try:
            own.rename(whole)
            break
        except OSError as error:
            if attempt == _ATTEMPTS - 1 or error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            finish_writing(target)  # the files of another process come first
    _sync(whole.parent)
    _sync(target)
    finish_writing(target)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk. Not every system can do so for folders."""
    is_folder = path.is_dir()
    with suppress(OSError) if is_folder else nullcontext():
        handle = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
