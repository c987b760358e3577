"""Read the weights that an ONNX file keeps in other files into memory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runtimes.errors import ModelFileError
from runtimes.onnx_metadata import fields

# message of onnx.proto -> number of a field that may lead to a tensor -> message of that field
_SCHEMA = {
    "model": {7: "graph", 25: "function"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_KEY, _VALUE = 1, 2  # field numbers of StringStringEntryProto
_DEEPEST = 64  # graphs, nodes, attributes inside each other


def add_external_data(options: Any, path: Path) -> list[bytes]:
    """Give a session the contents of the files with the weights of an ONNX file.

    By default, ONNX Runtime maps these files into memory. A file that is then written over changes the answers of the
    loaded model, or ends the process.

    Args:
        options: SessionOptions of ONNX Runtime.
        path: The ONNX file.

    Returns:
        The contents, which must be kept until the session is made.

    Raises:
        ModelFileError: The file names weights outside its folder.
    """
    files = external_files(path)
    add = getattr(options, "add_external_initializers_from_files_in_memory", None)  # not in older versions
    if add is None or not files:
        return []
    try:
        contents = [file.read_bytes() for file in files]
    except OSError as error:
        raise ModelFileError(f"{path} is not a usable ONNX file: {error}") from None
    names = [file.relative_to(path.parent).as_posix() for file in files]
    add(names, contents, list(map(len, contents)))
    return contents


def external_files(path: Path) -> list[Path]:
    """Return the files in which an ONNX file keeps weights.

    Raises:
        ModelFileError: The file is damaged, or one of them is missing, is no ordinary file, or is not in its folder or
            a folder below, or has another name that is not there.
    """
    try:
        content = path.read_bytes()
        names = sorted(set(_locations(memoryview(content), "model"))) if b"location" in content else []
        for name in names:
            _require_inside(path.parent, name)
    except (OSError, ValueError, IndexError) as error:
        raise ModelFileError(f"{path} is not a usable ONNX file: {error}") from None
    return [path.parent / name for name in names]


def _require_inside(folder: Path, name: str) -> None:
    """Raise ValueError unless a file of this name lies in the folder, under no name outside."""
    parts = Path(name).parts
    place = folder.joinpath(*parts)
    links = [folder.joinpath(*parts[: count + 1]) for count in range(len(parts))]
    if not parts or ".." in parts or Path(name).is_absolute() or any(link.is_symlink() for link in links):
        raise ValueError(f"its weights {name!r} lead out of its folder; copy them there, without links")
    if not place.is_file():
        raise ValueError(f"its weights {name!r} are not a file in its folder")
    facts = place.stat()
    if facts.st_nlink > 1 and facts.st_nlink > sum(
        os.path.samestat(facts, other.stat(follow_symlinks=False)) for other in os.scandir(place.parent)
    ):
        raise ValueError(f"its weights {name!r} are also a file elsewhere (a hard link); replace them by a copy")


def _locations(message: memoryview, kind: str, depth: int = 0) -> Iterator[str]:
    """Yield the name of the file with each weight that is not in the ONNX file itself, also of graphs in nodes."""
    if depth > _DEEPEST:
        raise ValueError("graphs are too deep inside each other")
    for number, content in fields(message):
        inner = _SCHEMA[kind].get(number)
        if inner == "entry":
            pair = {key: bytes(value).decode() for key, value in fields(content)}
            if pair.get(_KEY) == "location":
                yield pair.get(_VALUE, "")
        elif inner is not None:
            yield from _locations(content, inner, depth + 1)
