"""Check the graph of an ONNX file, and list the operations of a graph that ONNX Runtime has optimized."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from runtimes.base import SIZE_KEY, Layer
from runtimes.errors import MissingExtraError, ModelFileError

_PRECISIONS = {"FLOAT": "f32", "FLOAT16": "f16", "UINT8": "u8", "INT8": "i8"}


def import_onnx() -> ModuleType:
    """Import the onnx package. It is needed to build files, but not to run them."""
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError(
            f"building an .onnx file needs onnx ({error}); type: pip install 'edgehrnet[train]'"
        ) from None
    return onnx


def read_checked(path: Path) -> Any:
    """Read an ONNX file and check it against the ONNX standard.

    Raises:
        ModelFileError: The file breaks the standard, or has operators outside it that it does not define.
    """
    onnx = import_onnx()
    try:
        model = onnx.load(path)
        # full_check infers shapes and types strictly, so that mismatches between operators are found.
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:  # raised by protobuf, the checker or shape inference
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ModelFileError(f"{path} is not a valid ONNX file: {reason}") from None
    defined = {(function.domain, function.name) for function in model.functions}
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    custom = {node.domain for node in nodes if (node.domain, node.op_type) not in defined} - {"", "ai.onnx"}
    if custom:
        raise ModelFileError(
            f"{path} has operators outside the ONNX standard, which other engines cannot run; they are from "
            f"{', '.join(sorted(custom))}"
        )
    return model


def remove_notes(model: Any) -> None:
    """Remove the notes of the exporter: stack traces of all nodes, with paths on the exporting machine."""
    graph = model.graph
    for part in (model, graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")


def read_layers(file: Path, optimized: Path) -> tuple[Layer, ...]:
    """List the operations of a graph that ONNX Runtime has optimized.

    Args:
        file: The ONNX file before optimization. Multiplications (MACs) are counted in it.
        optimized: The graph that ONNX Runtime saved after optimization.
    """
    onnx = import_onnx()
    infer = onnx.shape_inference.infer_shapes
    macs = _macs(infer(_fixed(onnx.load(file))).graph)
    # ONNX Runtime stores the types of most tensors, including those of its own operators. The others are inferred.
    graph = infer(onnx.load(optimized)).graph
    types = {v.name: v.type.tensor_type.elem_type for v in (*graph.value_info, *graph.input, *graph.output)}
    types |= {tensor.name: tensor.data_type for tensor in graph.initializer}
    layers = []
    for node in graph.node:
        kind = onnx.TensorProto.DataType.Name(types.get(_typed(node, types), 0))
        layers.append(
            Layer(
                node.name,
                "Convolution" if "Conv" in node.op_type else node.op_type,
                _PRECISIONS.get(kind, kind.lower()),
                macs=macs.get(node.name) or macs.get(node.name.partition("/")[0], 0),
                kernel=node.op_type if "Conv" in node.op_type else "",
            )
        )
    return tuple(layers)


def _typed(node: Any, types: Mapping[str, int]) -> str:
    """Return the tensor whose type is that of an operation: its first input, or output if there are no inputs.

    ONNX Runtime's own operators, such as QLinearMul, may leave the type of what they return open. The zero point of an
    integer operation has the type of its input.
    """
    first: str = (*node.input, *node.output)[0]
    return node.input[2] if first not in types and node.op_type.startswith("QLinear") else first


def _fixed(model: Any) -> Any:
    """Set the open dimensions of the input of a model that stores its own size, see `SIZE_KEY`, and return it."""
    stored = {entry.key: entry.value for entry in model.metadata_props}.get(SIZE_KEY)
    if stored is not None:
        dims = model.graph.input[0].type.tensor_type.shape.dim[:3]
        for dim, side in zip(dims, [1, *map(int, stored.split("x"))], strict=True):
            if not dim.dim_value:
                dim.dim_value = side
    return model


def _macs(graph: Any) -> dict[str, int]:
    """Return the MACs of each convolution, transposed convolution and matrix product by name.

    A convolution uses each weight once per output position, and a transposed one once per input position.
    """
    tensors = (*graph.value_info, *graph.input, *graph.output)
    shapes = {tensor.name: [dim.dim_value for dim in tensor.type.tensor_type.shape.dim] for tensor in tensors}
    shapes |= {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    found = {}
    for node in graph.node:
        if node.op_type not in ("Conv", "ConvTranspose", "MatMul", "Gemm"):
            continue
        first, second, output = (shapes.get(name, []) for name in (*node.input[:2], node.output[0]))
        if node.op_type == "Conv":
            found[node.name] = math.prod(output[2:]) * math.prod(second)
        elif node.op_type == "ConvTranspose":
            found[node.name] = math.prod(first[2:]) * math.prod(second)
        elif len(first) > 1:
            # The summed dimension: either side of the first matrix, as Gemm may transpose it.
            found[node.name] = math.prod(output) * (math.prod(first[-2:]) // max(1, output[-2]))
    return found
