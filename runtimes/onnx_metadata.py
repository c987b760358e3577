"""What an ONNX file says of itself, read without the onnx package, which edge devices lack."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from runtimes.base import METADATA_KEY, ModelFileError, existing_file

# Field numbers of ModelProto.metadata_props and of StringStringEntryProto, in onnx.proto.
_METADATA_PROPS, _KEY, _VALUE = 14, 1, 2
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5  # wire types of Protocol Buffers


def read_metadata(path: Path) -> str | None:
    """Return what `METADATA_KEY` holds in an ONNX file, None if it holds nothing.

    Raises ModelFileError if the file is no message of Protocol Buffers.
    """
    try:
        for number, entry in _fields(memoryview(existing_file(path).read_bytes())):
            if number == _METADATA_PROPS:
                pair = {name: bytes(value).decode() for name, value in _fields(entry)}
                if pair.get(_KEY) == METADATA_KEY:
                    return pair.get(_VALUE, "")
    except (IndexError, ValueError) as error:
        raise ModelFileError(f"{path} is no ONNX file: {error}") from None
    return None


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and content of each field that has a length; the others are numbers, and skipped."""
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
                raise ValueError("it is cut short")
            yield tag >> 3, message[at : at + length]
            at += length
        else:
            raise ValueError(f"it has a field of the unknown kind {kind}")


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """Read a number in groups of seven bits, the lowest first; return it and where the next field begins."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
