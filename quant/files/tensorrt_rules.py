"""Check an ONNX file against TensorRT's rules of explicit quantization.

The rules are from NVIDIA's "Working with Quantized Types". If a file breaks some of them, TensorRT refuses it. If it
breaks others, TensorRT runs layers in float without a warning.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper, shape_inference

from edgehrnet.errors import ModelFileError
from runtimes.base import existing_file

Severity = Literal["error", "note"]

QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
# Operator -> axis of the output channels in its weights, None for the last.
WEIGHTED = {"Conv": 0, "ConvTranspose": 1, "Gemm": None, "MatMul": None}
# Operators that only move values. The rules skip them.
MOVING = ("Identity", "Flatten", "Reshape", "Squeeze", "Transpose", "Unsqueeze")
# Operators without weights that run in int8 if their output is int8 too.
INT8_THROUGHOUT = ("AveragePool", "Concat", "GlobalAveragePool", "MaxPool")
# ONNX's integer operators, alternatives to QuantizeLinear, DequantizeLinear and a float operator.
ON_INTEGERS = ("ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul")
TYPES = (TensorProto.INT8, TensorProto.FLOAT8E4M3FN, TensorProto.INT4, TensorProto.FLOAT4E2M1)


@dataclass(frozen=True)
class Finding:
    """A broken rule in a file."""

    severity: Severity
    """``error`` if TensorRT refuses the file, or runs in float what should be INT8. ``note`` if the file itself keeps a
    node in float."""

    rule: str
    """Name of the rule."""

    node: str
    """Name of the node, or its operator and output if it has no name."""

    message: str
    """Description of the problem, and the remedy."""


def trt_lint(model: Path | ModelProto) -> list[Finding]:
    """Check an ONNX file, quantized or not, and return the findings in the order of its nodes.

    Raises:
        ModelFileError: There is no such file, or it is not an ONNX file.
    """
    graph = _Graph(model if isinstance(model, ModelProto) else _load(model))
    found: list[Finding] = []
    for node in graph.nodes:
        for rule in QUANTIZER_RULES if node.op_type in QUANTIZERS else OPERATOR_RULES:
            found += rule(graph, node)
    return found


def _load(path: Path) -> ModelProto:
    existing_file(path)
    try:
        model = onnx.load(path)
    except (DecodeError, ValueError, OSError) as error:
        raise ModelFileError(f"{path} is not an ONNX file: {error}") from None
    if not model.graph.node:
        raise ModelFileError(f"{path} is not an ONNX file: it has no nodes")
    return model


class _Graph:
    """The nodes of a model, and the producer, consumers, value and type of each tensor."""

    def __init__(self, model: ModelProto) -> None:
        graph = shape_inference.infer_shapes(model).graph
        self.nodes = list(graph.node)
        self.opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
        self.inputs = {value.name for value in graph.input}
        self.producer = {name: node for node in self.nodes for name in node.output if name}
        self.consumers: dict[str, list[NodeProto]] = defaultdict(list)
        for node in self.nodes:
            for name in node.input:
                self.consumers[name].append(node)
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        for node in self.nodes:
            if node.op_type == "Constant" and node.attribute[0].name == "value":
                self._tensors[node.output[0]] = node.attribute[0].t
        values = (*graph.input, *graph.output, *graph.value_info)
        self.types: dict[str, int] = {value.name: value.type.tensor_type.elem_type for value in values}
        self.types.update((name, tensor.data_type) for name, tensor in self._tensors.items())
        self.quantized = any(node.op_type in QUANTIZERS for node in self.nodes)

    def constant(self, name: str) -> NDArray[Any] | None:
        """Return the value of a constant tensor, None for other tensors."""
        return numpy_helper.to_array(self._tensors[name]) if name in self._tensors else None

    def source(self, name: str) -> NodeProto | None:
        """Return the node that computes a tensor, skipping moves. None for inputs and constants."""
        node = self.producer.get(name)
        while node is not None and node.op_type in MOVING:
            name = node.input[0]
            node = self.producer.get(name)
        return None if node is None or node.op_type == "Constant" else node

    def dequantizer(self, name: str) -> NodeProto | None:
        """Return the DequantizeLinear that computes a tensor, None if another node does."""
        node = self.source(name)
        return node if node is not None and node.op_type == "DequantizeLinear" else None

    def quantized_from(self, name: str) -> NodeProto | None:
        """Return the node that computes the tensor whose quantized and dequantized form is ``name``."""
        dequantize = self.dequantizer(name)
        quantize = None if dequantize is None else self.source(dequantize.input[0])
        return None if quantize is None else self.source(quantize.input[0])

    def readers(self, name: str) -> Iterator[NodeProto]:
        """Yield the nodes that consume a tensor, skipping moves."""
        for node in self.consumers[name]:
            if node.op_type in MOVING:
                yield from self.readers(node.output[0])
            else:
                yield node

    def weights_of(self, node: NodeProto) -> list[NodeProto]:
        """Return the operators whose weights a quantizer or dequantizer of a constant provides."""
        readers = list(self.readers(node.output[0]))
        if any(reader.op_type == "DequantizeLinear" for reader in readers):
            return [weighted for reader in readers for weighted in self.weights_of(reader)]
        return [reader for reader in readers if reader.op_type in WEIGHTED]

    def is_constant(self, name: str) -> bool:
        """Return whether a tensor is a constant or a quantized constant."""
        node = self.source(name)
        if node is not None and node.op_type == "QuantizeLinear":
            return self.is_constant(node.input[0])
        return node is None and name not in self.inputs


def _finding(severity: Severity, rule: str, node: NodeProto, message: str) -> Finding:
    return Finding(severity, rule, node.name or f"{node.op_type} of {node.output[0]!r}", message)


def _attribute(node: NodeProto, name: str, default: int) -> int:
    return next((int(entry.i) for entry in node.attribute if entry.name == name), default)


def _zero_point(graph: _Graph, node: NodeProto) -> Iterator[Finding]:
    if len(node.input) > 2 and node.input[2]:
        zero = graph.constant(node.input[2])
        if zero is None:
            yield _finding("error", "zero-point", node, "zero point computed at run time; store a constant 0")
        elif np.any(zero.astype(np.float32)):
            text = f"zero point {np.ravel(zero)[0]}; TensorRT accepts 0 only; quantize with symmetric ranges"
            yield _finding("error", "zero-point", node, text)


def _type(graph: _Graph, node: NodeProto) -> Iterator[Finding]:
    if len(node.input) > 2 and node.input[2]:
        found = graph.types.get(node.input[2], 0)
    elif node.op_type == "DequantizeLinear":
        found = graph.types.get(node.input[0], 0)
    else:
        found = _attribute(node, "output_dtype", 0) or TensorProto.UINT8
    if found not in (0, *TYPES):
        name = TensorProto.DataType.Name(found).lower()
        remedy = "keep the bias in float" if found == TensorProto.INT32 else "quantize to int8 with zero point 0"
        yield _finding("error", "type", node, f"quantized to {name}; {remedy}")


def _scale(graph: _Graph, node: NodeProto) -> Iterator[Finding]:
    scale = graph.constant(node.input[1])
    if scale is None:
        yield _finding("error", "scale", node, "scale computed at run time; calibrate, and store a constant")
    elif not np.all(np.isfinite(scale) & (scale > 0)):
        yield _finding("error", "scale", node, "scale is not above 0; calibrate again, or leave the tensor in float")
    kind, data = graph.types.get(node.input[1], 0), graph.types.get(node.input[0], 0)
    if kind in (TensorProto.FLOAT16, TensorProto.BFLOAT16) and graph.opset < 19:
        yield _finding("error", "scale", node, f"16-bit scale in opset {graph.opset}; export with opset 21")
    elif node.op_type == "QuantizeLinear" and data and kind and data != kind:
        text = "scale and tensor have different types; store the scale in the tensor's type"
        yield _finding("error", "scale", node, text)


def _channels(graph: _Graph, node: NodeProto) -> Iterator[Finding]:
    scale = graph.constant(node.input[1])
    if scale is None or scale.size == 1:
        return
    if not graph.is_constant(node.input[0]):
        yield _finding("error", "channels", node, f"activation with {scale.size} scales; use one scale")
        return
    values = graph.constant(node.input[0])
    for weighted in graph.weights_of(node):
        reads = graph.producer[weighted.input[1]]
        # Behind a Transpose or Reshape, the axis is another one.
        if values is None or reads.op_type != "DequantizeLinear":
            continue
        axis, wanted = _attribute(node, "axis", 1) % values.ndim, WEIGHTED[weighted.op_type]
        if wanted is None:
            wanted = 0 if _attribute(weighted, "transB", 0) else values.ndim - 1
        if axis != wanted:
            text = f"scales along axis {axis} of {weighted.op_type} weights; take axis {wanted}, the output channels"
            yield _finding("error", "channels", node, text)


def _weights(graph: _Graph, node: NodeProto) -> Iterator[Finding]:
    values, scale = graph.constant(node.input[0]), graph.constant(node.input[1])
    if values is None or scale is None or not graph.weights_of(node):
        return
    if node.op_type == "QuantizeLinear":
        along = [1] * values.ndim
        if scale.ndim:
            along[_attribute(node, "axis", 1)] = -1
        values = np.rint(values / scale.reshape(along))
    if values.min(initial=0) < -127:
        text = "weights reach -128, and TensorRT accepts -127 to 127; use absmax / 127 as the scale"
        yield _finding("error", "weights", node, text)


def _pairs(graph: _Graph, node: NodeProto) -> Iterator[Finding]:
    if node.op_type == "QuantizeLinear":
        others = {reader.op_type for reader in graph.readers(node.output[0])} - {"DequantizeLinear", *ON_INTEGERS}
        if others:
            text = f"{', '.join(sorted(others))} uses integers as its input; insert a DequantizeLinear before it"
            yield _finding("error", "pairs", node, text)
    elif not graph.is_constant(node.input[0]):
        source = graph.source(node.input[0])
        if source is not None and source.op_type not in ("QuantizeLinear", *ON_INTEGERS):
            text = f"dequantizes the output of {source.op_type}; only a QuantizeLinear or a constant may come before it"
            yield _finding("error", "pairs", node, text)


def _on_integers(_graph: _Graph, node: NodeProto) -> Iterator[Finding]:
    if node.op_type in ON_INTEGERS:
        text = f"TensorRT has no {node.op_type}; export QuantizeLinear, DequantizeLinear and the float operator"
        yield _finding("error", "operator", node, text)


def _weighted(graph: _Graph, node: NodeProto) -> Iterator[Finding]:
    if node.op_type not in WEIGHTED or not graph.quantized:
        return
    first, second = (graph.dequantizer(name) is not None for name in node.input[:2])
    if first != second:
        text = f"int8 {'activations' if first else 'weights'} only, so it runs in float; quantize both inputs"
        yield _finding("error", "weighted", node, text)
    elif not first:
        yield _finding("note", "weighted", node, "runs in float; to run in int8, quantize both inputs")


def _residual(graph: _Graph, node: NodeProto) -> Iterator[Finding]:
    if node.op_type != "Add":
        return
    quantized = [name for name in node.input if graph.dequantizer(name) and not graph.is_constant(name)]
    before = [source.op_type if (source := graph.quantized_from(name)) else "" for name in quantized]
    plain = [source.op_type if (source := graph.source(name)) else "" for name in node.input if name not in quantized]
    if not any(kind in WEIGHTED for kind in before):
        return
    if len(quantized) == 2:
        text = "both summands are quantized, so no convolution is fused with the sum; quantize the identity branch only"
        yield _finding("error", "residual", node, text)
    elif plain and plain[0] not in WEIGHTED:
        text = (
            "the convolution's output is quantized, so it is not fused with the sum; quantize the other input instead"
        )
        yield _finding("error", "residual", node, text)


def _int8_throughout(graph: _Graph, node: NodeProto) -> Iterator[Finding]:
    if node.op_type not in INT8_THROUGHOUT or not node.input:
        return
    inputs = [graph.dequantizer(name) for name in node.input]
    scales = [graph.constant(entry.input[1]) for entry in inputs if entry is not None]
    if not scales or len(scales) < len(inputs):
        return
    if any(reader.op_type != "QuantizeLinear" for reader in graph.readers(node.output[0])):
        text = f"int8 input but float output, so {node.op_type} runs in float; quantize both or neither"
        yield _finding("error", "int8-output", node, text)
    if any(scale is None or not np.array_equal(scale, scales[0]) for scale in scales):  # type: ignore[arg-type]
        yield _finding("error", "concat", node, "inputs have different scales; quantize them with one common scale")


def _uint8(graph: _Graph, node: NodeProto) -> Iterator[Finding]:
    for name in node.input if node.op_type not in ("Cast", "Identity", *ON_INTEGERS) else ():
        if graph.types.get(name) == TensorProto.UINT8:
            text = f"{node.op_type} has the uint8 input {name!r}, which TensorRT can only cast; insert a Cast before it"
            yield _finding("error", "uint8", node, text)


QUANTIZER_RULES = (_zero_point, _type, _scale, _channels, _weights, _pairs)
OPERATOR_RULES = (_on_integers, _weighted, _residual, _int8_throughout, _uint8)
