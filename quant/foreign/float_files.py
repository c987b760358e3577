"""Read a float model file to quantize, and refuse one that is quantized already.

A quantizer that is given a quantized file may add a second set of quantizers without a word, as NNCF 3.4 does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgehrnet.errors import InputError
from runtimes import openvino
from runtimes.onnx_graph import import_onnx
from runtimes.ports import InputPort, Size, filled, is_set

PER_CHANNEL_OPSET = 13  # the first with a scale for each channel
_INTEGER_OPERATIONS = ("Quantize", "QLinear", "Integer")
_INTEGER_WEIGHTS = ("i4", "i8", "u4", "u8")


def read_float_onnx(path: Path, size: Size) -> Any:
    """Read an ONNX file as a ModelProto with a batch of 1 and static sizes where the file leaves them open.

    Args:
        path: The file.
        size: (height, width) for what the file leaves open.

    Raises:
        InputError: The file is quantized already.
    """
    onnx = import_onnx()
    model = onnx.load(path)
    _refuse(path, [n.op_type for n in model.graph.node if any(word in n.op_type for word in _INTEGER_OPERATIONS)])
    _fix_sizes(model, size)
    opset = next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if opset < PER_CHANNEL_OPSET:
        model = onnx.version_converter.convert_version(model, PER_CHANNEL_OPSET)
    return onnx.shape_inference.infer_shapes(model)


def read_float_openvino(path: Path, size: Size) -> Any:
    """Read an IR or ONNX file as an openvino.Model. Arguments and errors are those of `read_float_onnx`."""
    model = openvino.read(path, size)
    found = [op.get_type_name() for op in model.get_ops() if op.get_type_name().startswith("Fake")]
    found += ["integer weights" for op in model.get_ops() if has_integer_weights(op)]
    _refuse(path, found)
    return model


def has_integer_weights(op: Any) -> bool:
    """Return whether an operation of an openvino.Model converts stored integers of 8 bits or fewer to floats."""
    if op.get_type_name() != "Convert":
        return False
    source = op.input_value(0).get_node()
    return source.get_type_name() == "Constant" and source.get_element_type().get_type_name() in _INTEGER_WEIGHTS


def _refuse(path: Path, found: list[str]) -> None:
    if found:
        raise InputError(
            f"{path} is quantized already: it has {found[0]}{f' and {len(found) - 1} more' * (len(found) > 1)}; "
            "pass the float file that it was made from"
        )


def input_of(model: Any, path: Path) -> tuple[str, InputPort]:
    """Return the name of a ModelProto's input, and what it takes. ``path`` is named in errors."""
    value = _input(model.graph)
    return value.name, InputPort.read(path, _kind(value), _shape(value))


def _fix_sizes(model: Any, size: Size) -> None:
    """Set the open sizes of the input in a ModelProto, and forget the shapes that depend on them."""
    value = _input(model.graph)
    for side, wanted in zip(
        value.type.tensor_type.shape.dim, filled(_kind(value), _shape(value), None, size), strict=True
    ):
        if is_set(wanted):
            side.dim_value = wanted
    open_outputs = [output for output in model.graph.output if not all(map(is_set, _shape(output)))]
    if open_outputs:
        model.graph.ClearField("value_info")
    for output in open_outputs:
        for side in output.type.tensor_type.shape.dim:
            side.Clear()


def _input(graph: Any) -> Any:
    """Return the only input of a graph. Old files list their weights among the inputs, too."""
    stored = {tensor.name for tensor in graph.initializer}
    return next(value for value in graph.input if value.name not in stored)


def _shape(value: Any) -> list[Any]:
    return [side.dim_value or side.dim_param or None for side in value.type.tensor_type.shape.dim]


def _kind(value: Any) -> str:
    tensor = import_onnx().TensorProto
    kinds = {tensor.UINT8: "u8", tensor.FLOAT16: "f16", tensor.FLOAT: "f32", tensor.DOUBLE: "f64"}
    return kinds.get(value.type.tensor_type.elem_type, "other")
