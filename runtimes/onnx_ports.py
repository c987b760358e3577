"""Read the input and the outputs of an ONNX file from its session, and set what the file leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from runtimes.base import KINDS, SIZE_KEY, layout
from runtimes.errors import ModelFileError
from runtimes.ports import InputPort, Size, filled, is_set

_KINDS = {"tensor(uint8)": "u8", "tensor(float16)": "f16", "tensor(float)": "f32", "tensor(double)": "f64"}


def stored_size(metadata: Mapping[str, str]) -> Size | None:
    """Return the size (height, width) that a file of this project with open sides has for its own, else None."""
    sides = metadata.get(SIZE_KEY, "").split("x")
    if len(sides) != 2 or not all(side.isascii() and side.isdecimal() for side in sides):
        return None
    return int(sides[0]), int(sides[1])


def has_open_sides(session: Any) -> bool:
    """Return whether the height and the width of the input are open."""
    kind, shape = _type_and_shape(session.get_inputs()[0])
    order = layout(kind, shape)
    return order is not None and not any(is_set(shape[order.index(axis)]) for axis in "HW")


def fix_dimensions(options: Any, session: Any, input_size: Size | None, open_size: Size | None, kept: str = "") -> bool:
    """Set the named open dimensions of the input, but not the axes ``kept``, such as N. Return whether any was set."""
    kind, shape = _type_and_shape(session.get_inputs()[0])
    rows = zip(layout(kind, shape) or "?" * len(shape), shape, filled(kind, shape, input_size, open_size), strict=True)
    named = {(name, side) for axis, name, side in rows if axis not in kept and isinstance(name, str) and is_set(side)}
    names = [name for name, _ in named]
    # A name for two different sides cannot be set. The input then fixes them when it is given.
    unique = [(name, side) for name, side in named if names.count(name) == 1]
    for name, side in unique:
        options.add_free_dimension_override_by_name(name, side)
    return bool(unique)


def _type_and_shape(port: Any) -> tuple[str, list[Any]]:
    return _KINDS.get(port.type, port.type), list(port.shape)


def input_port(session: Any, path: Path, input_size: Size | None, open_size: Size | None) -> InputPort:
    """Return the input of a file. Raise ModelFileError if pictures cannot be brought into it."""
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise ModelFileError(f"{path}: expected one input, found {len(inputs)}")
    kind, shape = _type_and_shape(inputs[0])
    return InputPort.read(path, kind, filled(kind, shape, input_size, open_size))


def output_types(session: Any, port: InputPort) -> list[tuple[str, str, list[Any]]]:
    """Return name, type and shape of each output. If the file leaves shapes open, they are found by two runs."""
    found = [(output.name, *_type_and_shape(output)) for output in session.get_outputs()]
    missing = [name for name, _, shape in found if not all(isinstance(side, int) for side in shape)]
    if not missing:
        return found
    name, blank = session.get_inputs()[0].name, port.array(port.input.blank())
    try:
        runs = [session.run(missing, {name: blank + value}) for value in (blank.dtype.type(0), blank.dtype.type(1))]
    except Exception:  # its errors share no base class; such outputs stay open
        return found
    # A shape that depends on the values stays open, because no memory can be kept for it.
    same = {key: a.shape for key, a, b in zip(missing, *runs, strict=True) if np.shape(a) == np.shape(b)}
    return [(key, kind, list(same.get(key, shape))) for key, kind, shape in found]


def check_batch(path: Path, session: Any, port: InputPort, batch: int, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Raise ModelFileError unless a file runs ``batch`` pictures at once, and gives ``shapes`` for each of them."""
    source, wanted = session.get_inputs()[0], {name: (batch, *shape[1:]) for name, shape in shapes.items()}
    if is_set(source.shape[0]) and source.shape[0] != batch:
        raise ModelFileError(
            f"batch={batch}: {path} takes {source.shape[0]} at a time; leave out batch, or export it with --open-input"
        )
    try:
        arrays = session.run(list(wanted), {source.name: port.input.blank(batch).astype(KINDS[port.kind])})
    except Exception:  # its errors share no base class
        arrays = []
    if [array.shape for array in arrays] != list(wanted.values()):
        raise ModelFileError(f"batch={batch}: {path} mixes pictures that run together; leave out batch")


def check_size(path: Path, size: Size, wanted: Size | None) -> None:
    """Raise ModelFileError if another input (height, width) is wanted than the file has."""
    if wanted not in (None, size):
        raise ModelFileError(
            f"{path} runs at {size[0]}x{size[1]} only, not at {wanted[0]}x{wanted[1]}; "
            "leave out input_size, or export a file of that size"
        )
