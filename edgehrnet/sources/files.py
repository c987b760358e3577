"""List the picture files of folders, patterns and list files, without reading them."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatch
from glob import has_magic
from operator import itemgetter
from pathlib import Path

from edgehrnet.errors import ImageError, MissingImageError
from edgehrnet.picture.sources import SUFFIXES
from runtimes.writing import PARTIAL

LIST_SUFFIX = ".txt"
OTHER = "other"  # key of left_out for suffixes beyond the first ones, so that odd names take no memory
Pattern = tuple[str, ...]  # the parts of a path
SHOWN = 8  # suffixes that left_out tells apart


class Files:
    """Paths of the pictures that a path, a folder, a pattern or a list file stands for. They are found while iterating.

    Only the names of the folders on the way are in memory, and of a list file one line.

    - Folder: its pictures, sorted by name. With ``recursive``, those of its subfolders follow, except through links.
      Names that begin with a dot are left out.
    - Pattern: the files that match it, sorted. ``**`` stands for folders at any depth.
    - List file (.txt): one path per line, relative to the folder of the list file. Empty lines are left out.
    - Any other path is returned as it is.
    """

    def __init__(self, source: str | Path, *, recursive: bool = False) -> None:
        self._source, self._recursive = source, recursive
        self.left_out: Counter[str] = Counter()
        """Number of files in folders that are no pictures, by suffix, without what a killed run has left."""

    def __iter__(self) -> Iterator[Path]:
        """Yield the paths.

        Raises:
            MissingImageError: There is no picture, or the folder or the list cannot be read.
        """
        path = Path(self._source)
        if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises for names that no file can have
            yield from self._non_empty(path)
        elif has_magic(str(self._source)) and not os.path.exists(path) and not is_address(path):  # noqa: PTH110
            is_empty = True
            for path in matches(str(self._source)):
                is_empty = False
                yield path
            if is_empty:
                raise MissingImageError(f"no file matches {str(self._source)!r}")
        elif path.suffix.lower() == LIST_SUFFIX and os.path.isfile(path):  # noqa: PTH113
            yield from _lines(path)
        else:
            yield path

    def _non_empty(self, folder: Path) -> Iterator[Path]:
        is_empty = True
        for path in self._of_folder(folder):
            is_empty = False
            yield path
        if is_empty:
            hint = "" if self._recursive else "; recursive=True or --recursive looks into its folders"
            raise MissingImageError(f"folder {str(folder)!r} holds no pictures ({' '.join(SUFFIXES)}){hint}")

    def _of_folder(self, folder: Path) -> Iterator[Path]:
        names, folders = [], []
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    # A name with a dot in front is not a picture: macOS puts such files beside copied ones.
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=not self._recursive):
                        folders.append(entry.name)
                    else:
                        names.append(entry.name)
        except OSError as error:
            raise MissingImageError(f"cannot read folder {str(folder)!r}: {error.strerror}") from None
        for name in sorted(names):
            suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 - a million times faster than a Path each
            if suffix in SUFFIXES:
                yield folder / name
            elif suffix != PARTIAL:
                known = suffix in self.left_out or len(self.left_out) < SHOWN
                self.left_out[suffix or "no suffix" if known else OTHER] += 1
        if self._recursive:
            for name in sorted(folders):
                yield from self._of_folder(folder / name)


def matches(pattern: str) -> Iterator[Path]:
    """Yield the files that match a pattern. ``**`` does not follow links, and at the end it matches pictures only."""
    parts = Path(pattern).parts
    first = next(number for number, part in enumerate(parts) if has_magic(part))
    folder, rest = Path(*parts[:first]), parts[first:]
    if rest[-1] != "**":
        yield from _matches(folder, {rest})
    else:
        yield from (path for path in _matches(folder, {(*rest, "*")}) if path.suffix.lower() in SUFFIXES)


def _matches(folder: Path, patterns: set[Pattern]) -> Iterator[Path]:
    """Yield the files below a folder that match one of several patterns."""
    patterns = {whole[count:] for whole in patterns for count in range(_leading(whole) + 1)}  # ** may stand for nothing
    found: list[tuple[str, set[Pattern]]] = []
    with suppress(OSError), os.scandir(folder or ".") as entries:
        for entry in entries:
            rests = {one[1:] for one in patterns if one[0] != "**" and _fits(entry.name, one[0])}
            if not entry.is_dir():
                if () in rests:
                    found.append((entry.name, set()))
                continue
            if not entry.name.startswith(".") and not entry.is_symlink():
                rests |= {one for one in patterns if one[0] == "**"}
            if rests := rests - {()}:
                found.append((entry.name, rests))
    for name, rests in sorted(found, key=itemgetter(0)):
        if rests:
            yield from _matches(folder / name, rests)
        else:
            yield folder / name


def _leading(pattern: Pattern) -> int:
    """Return the number of ``**`` at the beginning."""
    return next(number for number, part in enumerate(pattern) if part != "**")


def _fits(name: str, part: str) -> bool:
    """Return whether a part of a pattern matches a name. ``*`` stands for no name with a dot in front."""
    return fnmatch(name, part) and (part.startswith(".") or not name.startswith("."))


def is_address(path: str | Path) -> bool:
    """Recognize an address such as ``https://...``, of which Path leaves one slash. A single letter is a drive."""
    return re.match(r"[a-z][a-z0-9+.-]+:[/\\]", str(path), re.IGNORECASE) is not None


def _lines(path: Path) -> Iterator[Path]:
    """Yield the paths in a list file."""
    is_empty = True
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
            for line in file:
                if line.strip():
                    is_empty = False
                    yield path.parent / line.rstrip("\r\n")
    except OSError as error:
        raise ImageError(f"cannot read list {str(path)!r}: {error.strerror}") from None
    if is_empty:
        raise MissingImageError(f"list {str(path)!r} names no pictures; write one path per line")
