"""Read the input and the outputs of an OpenVINO model, and set what the file leaves open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runtimes.errors import ModelFileError
from runtimes.ports import InputPort, Size, filled, resized

# OpenVINO's errors. For a text that is not UTF-8, its Python package fails to make the first.
FAILURES = (RuntimeError, UnicodeDecodeError, IndexError)

STEP = 32  # px by which a side is changed to see whether a model can be resized


def reshape(
    model: Any, path: Path, input_size: Size | None, open_size: Size | None, *, batch: int | None = None
) -> None:
    """Set the open dimensions of the input, and its size (height, width) and its number of pictures if given."""
    if len(model.inputs) != 1 or (input_size is None and batch is None and model.inputs[0].partial_shape.is_static):
        return
    kind, shape = _type_and_shape(model.inputs[0])
    wanted = filled(kind, shape, input_size, open_size)
    if input_size is not None:
        wanted = resized(kind, wanted, input_size)
    if batch is not None:
        wanted[0] = batch
    if wanted == shape and input_size is None:
        return
    try:
        model.reshape([-1 if side is None else side for side in wanted])
    except FAILURES as error:
        size = wanted if batch else input_size or wanted
        raise ModelFileError(f"{path} cannot be reshaped to {size}: {reason(error)}") from None


def resizes(model: Any, path: Path, size: Size) -> bool:
    """Return whether the input of a model of ``size`` (height, width) may have another size.

    Exporters write the sides that they saw into some operations. A copy of such a model is resized to find out.
    """
    if len(model.inputs) != 1:
        return False
    if not any(map(_may_fix_sides, model.get_ops())):
        return True
    try:
        reshape(model.clone(), path, (size[0] + STEP, size[1] + STEP), None)
    except ModelFileError:
        return False
    return True


def _may_fix_sides(op: Any) -> bool:
    """Return whether an operation may state the height and width of its result."""
    kind = op.get_type_name()
    if kind == "Interpolate":
        return bool(op.get_attributes().get("shape_calculation_mode") == "sizes")
    readers = (
        {port.get_node().get_type_name() for port in op.output(0).get_target_inputs()} if kind == "Reshape" else ()
    )
    return kind == "Reshape" and readers != {"GroupConvolution"}  # those are weights


def input_port(model: Any, path: Path) -> InputPort:
    """Return the input of a file. Raise ModelFileError if pictures cannot be brought into it."""
    if len(model.inputs) != 1:
        raise ModelFileError(f"{path}: expected one input, found {len(model.inputs)}")
    return InputPort.read(path, *_type_and_shape(model.inputs[0]))


def output_types(compiled: Any) -> list[tuple[str, str, list[Any]]]:
    """Return name, type and shape of each output. Files of other projects may have outputs without a name."""
    single = len(compiled.outputs) == 1
    found = []
    for index, port in enumerate(compiled.outputs):
        name = _name(port) if port.names else "output" if single else f"output{index}"
        found.append((name, *_type_and_shape(port)))
    return found


def _name(port: Any) -> str:
    """Return the file's name of an output.

    After compilation, an output may also have the names of tensors that were merged with it.
    """
    own = str(port.node.get_friendly_name()).partition("/sink_port")[0]
    return own if own in port.names else str(port.get_any_name())


def _type_and_shape(port: Any) -> tuple[str, list[Any]]:
    rank = port.partial_shape.rank
    sides = port.partial_shape if rank.is_static else ()
    shape = [side.get_length() if side.is_static else None for side in sides]
    return port.element_type.get_type_name(), shape if rank.is_static else [None]


def reason(error: Exception) -> str:
    """Return the last line of an OpenVINO error. The lines before it name places in OpenVINO's source code."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
