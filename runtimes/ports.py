"""Derive what a model file takes and gives from the types and shapes that its engine reports.

Files that this project builds have one static u8 input and static float32 outputs. Files of other projects may leave
sizes open, have a batch of several pictures, and use other types and layouts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.base import KINDS, Batch, Input, layout
from runtimes.errors import ModelFileError
from runtimes.remote_address import Location

Size = tuple[int, int]  # (height, width)
_FLOATS = ("f16", "f32", "f64")


@dataclass(frozen=True)
class InputPort:
    """The input of a file as the engine wants it."""

    input: Input
    """Format in which a runtime takes pictures."""

    kind: str
    """Element type in the file: ``u8``, ``f16``, ``f32`` or ``f64``."""

    batch: int = 1
    """Pictures that the file takes at a time."""

    @classmethod
    def read(cls, path: Location, kind: str, shape: Sequence[Any]) -> InputPort:
        """Derive the input from its type and shape. Raise ModelFileError if pictures cannot be brought into it."""
        batch = shape[0] if len(shape) == 4 and is_set(shape[0]) else 1
        try:
            return cls(Input.read(path, kind, [1, *shape[1:]] if batch > 1 else shape), kind, batch)
        except ModelFileError as error:
            if layout(kind, shape) is None or all(map(is_set, shape)):
                raise
            raise ModelFileError(f"{error}; pass the size that it leaves open: input_size=(height, width)") from None

    def array(self, pictures: Batch) -> Batch:
        """Return pictures in the file's type, one of them repeated to the file's batch."""
        cast = pictures.astype(KINDS[self.kind], copy=False)
        return cast if len(cast) > 1 or self.batch == 1 else np.repeat(cast, self.batch, axis=0)


def groups(count: int, batch: int) -> list[slice]:
    """Return which of ``count`` pictures run together: as many full batches as there are, then each one alone.

    >>> groups(4, 3)
    [slice(0, 3, None), slice(3, 4, None)]
    """
    full = count - count % batch
    return [slice(n, n + batch) for n in range(0, full, batch)] + [slice(n, n + 1) for n in range(full, count)]


def is_set(side: Any) -> bool:
    """Return whether a dimension is a number, and not open."""
    return isinstance(side, int) and side > 0


def filled(kind: str, shape: Sequence[Any], input_size: Size | None, open_size: Size | None) -> list[Any]:
    """Return the shape of an input with its open dimensions set, as far as they are known.

    Args:
        kind: Element type.
        shape: Shape with a string, None or a number below 1 for each open dimension.
        input_size: (height, width) that the user wants, or None.
        open_size: (height, width) to use if there is no ``input_size``, or None.

    >>> filled("f32", ["N", 3, None, 192], None, (256, 512))
    [1, 3, 256, 192]
    """
    order = layout(kind, shape)
    if order is None:
        return list(shape)
    height, width = input_size or open_size or (None, None)
    wanted = dict(zip(order, (1, None, height, width) if order == "NCHW" else (1, height, width, None), strict=True))
    return [side if is_set(side) else wanted[name] or side for name, side in zip(order, shape, strict=True)]


def resized(kind: str, shape: Sequence[Any], size: Size) -> list[Any]:
    """Return the shape of an input with another height and width.

    >>> resized("u8", [1, 256, 512, 4], (64, 96))
    [1, 64, 96, 4]
    """
    order = layout(kind, shape)
    if order is None:
        return list(shape)
    sides = dict(zip("HW", size, strict=True))
    return [sides.get(name, side) for name, side in zip(order, shape, strict=True)]


@dataclass(frozen=True)
class OutputPort:
    """An output of a file that its runtime reads."""

    index: int
    """Its position among the outputs of the file."""

    shape: tuple[int, ...]
    """Its shape for one picture, with a batch dimension of 1."""

    kind: str
    """Element type in the file."""


def read_outputs(
    path: Location, batch: int, found: Sequence[tuple[str, str, Sequence[Any]]]
) -> tuple[dict[str, OutputPort], str]:
    """Choose the outputs to read: those of floats with a static shape that begins with the batch.

    Args:
        path: Model, named in the error.
        batch: Pictures that the file takes at a time.
        found: Name, element type and shape of each output.

    Returns:
        The outputs to read by name, and a list of the others as text.

    Raises:
        ModelFileError: There is none to read.
    """
    ports, others = {}, []
    for index, (name, kind, shape) in enumerate(found):
        if kind in _FLOATS and all(map(is_set, shape)) and tuple(shape[:1]) == (batch,):
            ports[name] = OutputPort(index, (1, *shape[1:]), kind)
        else:
            others.append(f"{name}: {kind} {list(shape)}")
    if not ports:
        raise ModelFileError(f"{path}: expected an output of floats with a static shape, found {', '.join(others)}")
    return ports, ", ".join(others)


def first_of(array: NDArray[Any], batch: int) -> NDArray[np.float32]:
    """Return an output for the first picture of the file's batch, as float32. Copies only what has to change."""
    found: NDArray[np.float32] = (array if batch == 1 else array[:1]).astype(np.float32, copy=False)
    return found


def shapes_of(ports: Mapping[str, OutputPort]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each output by name."""
    return {name: port.shape for name, port in ports.items()}
