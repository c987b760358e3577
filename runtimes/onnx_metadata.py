"""Read the metadata of an ONNX file without the onnx package, which edge devices lack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from runtimes.base import METADATA_KEY, existing_file
from runtimes.errors import ModelFileError

# Field numbers of ModelProto.metadata_props and of StringStringEntryProto in onnx.proto.
_METADATA_PROPS, _KEY, _VALUE = 14, 1, 2
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5  # wire types of Protocol Buffers


def read_metadata(path: Path) -> str | None:
    """Return the text stored under `METADATA_KEY` in an ONNX file, None if there is none.

    Raises:
        MissingFileError: The file does not exist.
        ModelFileError: The file is not a Protocol Buffers message.
    """
    try:
        for number, entry in fields(memoryview(existing_file(path).read_bytes())):
            if number == _METADATA_PROPS:
                pair = {name: bytes(value).decode() for name, value in fields(entry)}
                if pair.get(_KEY) == METADATA_KEY:
                    return pair.get(_VALUE, "")
    except (IndexError, ValueError) as error:
        raise ModelFileError(f"{path} is not an ONNX file: {error}") from None
    return None


def fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the number and content of each length-delimited field, and skip the numeric ones."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        kind = tag & 7
        if kind == _VARINT:
            _, at = _varint(message, at)
        elif kind in (_FIXED64, _FIXED32):
            at += 8 if kind == _FIXED64 else 4
        elif kind == _LENGTH:
            length, at = _varint(message, at)
            if at + length > len(message):
                raise ValueError("the file is truncated")
            yield tag >> 3, message[at : at + length]
            at += length
        else:
            raise ValueError(f"a field has the unknown wire type {kind}")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Decode a varint at position ``at``, low bits first. Return its value and the position after it."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
