"""Read the weights that an ONNX file keeps in other files into memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runtimes.errors import ModelFileError
from runtimes.onnx_metadata import fields

# Field numbers of ModelProto.graph, GraphProto.initializer, TensorProto.external_data and StringStringEntryProto.
_GRAPH, _INITIALIZER, _EXTERNAL, _KEY, _VALUE = 7, 5, 13, 1, 2


def add_external_data(options: Any, path: Path) -> list[bytes]:
    """Give a session the contents of the files with the weights of an ONNX file.

    By default, ONNX Runtime maps these files into memory. A file that is then written over changes the answers of the
    loaded model, or ends the process. Only files in the folder of the ONNX file are read. ONNX Runtime refuses others.

    Args:
        options: SessionOptions of ONNX Runtime.
        path: The ONNX file.

    Returns:
        The contents, which must be kept until the session is made.
    """
    add = getattr(options, "add_external_initializers_from_files_in_memory", None)  # not in older versions
    if add is None:
        return []
    try:
        names = sorted(set(_locations(path.read_bytes())))
        files = [(name, path.parent / name) for name in names if Path(name).name == name]
        found = [(name, file.read_bytes()) for name, file in files if file.is_file() and not file.is_symlink()]
    except (OSError, ValueError, IndexError) as error:
        raise ModelFileError(f"{path} is not a usable ONNX file: {error}") from None
    contents = [content for _, content in found]
    if found:
        add([name for name, _ in found], contents, list(map(len, contents)))
    return contents


def _locations(model: bytes) -> Iterator[str]:
    """Yield the name of the file with each weight that is not in the ONNX file itself."""
    for number, graph in fields(memoryview(model)):
        if number != _GRAPH:
            continue
        for inner, tensor in fields(graph):
            if inner != _INITIALIZER:
                continue
            for place, entry in fields(tensor):
                if place == _EXTERNAL:
                    pair = {key: bytes(value).decode() for key, value in fields(entry)}
                    if pair.get(_KEY) == "location":
                        yield pair.get(_VALUE, "")
