"""Find picture files with the same content, under any names."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from pathlib import Path

from quant.data.annotations import Annotations

PIECE = 4096
"""Bytes from the middle of a file that are compared before all of it is read."""


def note_duplicates(ours: Annotations, others: Annotations) -> None:
    """Note in the remarks of ``ours`` which pictures are also in the validation set ``others``, under any name."""
    mine, theirs = ({picture.path for picture in labels.sizes} for labels in (ours, others))
    pairs = [(path, path) for path in mine & theirs]
    for same in same_files(mine | theirs):
        first = next((path for path in same if path in mine), None)
        if first is not None:
            pairs += [(first, path) for path in same if path in theirs - mine]
    for path, other in sorted(pairs, key=lambda pair: pair[1]):
        ours.remarks.add("warning", "pictures in both the training set and the validation set", f"{path} and {other}")


def note_repeated(annotations: Annotations) -> None:
    """Note the pictures that are in a data set several times under different names."""
    kind = "pictures with the same content as another one, which --fold may put into the other part; remove one"
    for first, *others in same_files(picture.path for picture in annotations.sizes):
        for other in others:
            annotations.remarks.add("warning", kind, f"{other} and {first}")


def same_files(paths: Iterable[Path]) -> list[list[Path]]:
    """Return groups of two or more files with the same content, in the order of their names.

    Most files differ in size or in a piece of a few thousand bytes, so that few are read as a whole.
    """
    groups = [sorted(set(paths))]
    for key in (_size, _piece, _digest):
        groups = [same for group in groups for same in _split(group, key)]
    return groups


def _split(paths: Iterable[Path], key: Callable[[Path], Hashable]) -> list[list[Path]]:
    """Return the groups of two or more paths with the same key."""
    found: defaultdict[Hashable, list[Path]] = defaultdict(list)
    for path in paths:
        found[key(path)].append(path)
    return [group for group in found.values() if len(group) > 1]


def _size(path: Path) -> int:
    return path.stat().st_size


def _piece(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, (_size(path) - PIECE) // 2))
        return file.read(PIECE)


def _digest(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest()
