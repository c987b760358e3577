"""The graph of an ONNX file: checked before it is written, and read once ONNX Runtime has optimized it."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType
from typing import Any

from runtimes.base import Layer, MissingExtraError, ModelFileError

_PRECISIONS = {"FLOAT": "f32", "FLOAT16": "f16", "UINT8": "u8", "INT8": "i8"}


def import_onnx() -> ModuleType:
    """Return the package that reads and writes the files; what runs them does without it."""
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError(
            f"to build an .onnx file needs onnx ({error}); type: pip install 'edgehrnet[train]'"
        ) from None
    return onnx


def read_checked(path: Path) -> Any:
    """Read a file, and check it against the standard.

    Raises:
        ModelFileError: it breaks the standard, or has operators outside of it.
    """
    onnx = import_onnx()
    try:
        model = onnx.load(path)
        # With shapes and types inferred strictly: every output of every operator has to fit.
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # of three libraries: protobuf, the checker, shape inference
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ModelFileError(f"{path} is not a valid ONNX file: {reason}") from None
    custom = {node.domain for node in model.graph.node} | {function.domain for function in model.functions}
    custom -= {"", "ai.onnx"}
    if custom:
        raise ModelFileError(
            f"{path} has operators outside the ONNX standard ({', '.join(sorted(custom))}), which engines do not know"
        )
    return model


def remove_notes(model: Any) -> None:
    """Remove what an exporter notes about itself: a stack trace of each node, with the paths of the machine."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def read_layers(file: Path, optimized: Path) -> tuple[Layer, ...]:
    """Return the operations of a graph as ONNX Runtime saved it after optimization; ``file`` is what it had read."""
    onnx = import_onnx()
    infer = onnx.shape_inference.infer_shapes
    macs = _macs(infer(onnx.load(file)).graph)
    # ONNX Runtime lists the types of most tensors, among them those of its own operators; the rest follow from these.
    graph = infer(onnx.load(optimized)).graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.input, *graph.output)}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    layers = []
    for node in graph.node:
        # Of the tensor that it reads, or gives, if it reads none.
        kind = onnx.TensorProto.DataType.Name(types.get((*node.input, *node.output)[0], 0))
        layers.append(
            Layer(
                node.name,
                "Convolution" if "Conv" in node.op_type else node.op_type,
                _PRECISIONS.get(kind, kind.lower()),
                macs=macs.get(node.name, 0),
            )
        )
    return tuple(layers)


def _macs(graph: Any) -> dict[str, int]:
    """Map the name of each convolution, which it keeps, to its MACs: each weight is used once for every place."""
    tensors = (*graph.value_info, *graph.output)
    shapes = {tensor.name: [dim.dim_value for dim in tensor.type.tensor_type.shape.dim] for tensor in tensors}
    shapes |= {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    return {n.name: math.prod(shapes[n.output[0]][2:]) * math.prod(shapes[n.input[1]]) for n in convolutions}
