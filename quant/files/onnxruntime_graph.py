"""Rewrite an INT8 graph so that ONNX Runtime runs it fast on a CPU. Only biases change, because they are rounded."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

DOMAIN, SILU = "com.microsoft", "QuickGelu"
"""Domain and name of the operator of ONNX Runtime that computes SiLU in one pass."""


class Graph:
    """A graph with its nodes by what they return and by what they read."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self.proto = graph
        self.makers = {name: node for node in graph.node for name in node.output}
        self.readers: defaultdict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in graph.node:
            for name in node.input:
                self.readers[name].append(node)
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self.outputs = {output.name for output in graph.output}

    def maker(self, name: str, kind: str) -> onnx.NodeProto | None:
        """Return the node of type ``kind`` that returns a tensor, or None."""
        node = self.makers.get(name)
        return node if node is not None and node.op_type == kind else None

    def only_reader(self, name: str, kind: str) -> onnx.NodeProto | None:
        """Return the node of type ``kind`` that alone reads a tensor, or None."""
        readers = self.readers[name]
        return readers[0] if len(readers) == 1 and readers[0].op_type == kind and name not in self.outputs else None

    def add_constant(self, name: str, value: NDArray[Any] | np.generic) -> str:
        """Store a constant, and return its name."""
        self.proto.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        return name


def rewrite(path: Path) -> dict[str, NDArray[np.float32]]:
    """Rewrite an INT8 file for ONNX Runtime, and return the biases that this rounded, by their names in the file.

    - The bytes of the picture are read as quantized values, if they are what the first quantizer would compute.
    - Biases of integer convolutions are stored as integers.
    - Hardswish becomes a product of integers.
    - SiLU becomes one operator, which ONNX Runtime implements. The file defines it as a function of standard operators,
      for engines that do not.
    """
    model = onnx.load(path)
    read_bytes(Graph(model.graph))
    join_heads(Graph(model.graph))
    multiply_hardswish(Graph(model.graph))
    rounded = store_biases(Graph(model.graph))
    if join_silu(Graph(model.graph)):
        body = [helper.make_node("Sigmoid", ["x"], ["gate"]), helper.make_node("Mul", ["x", "gate"], ["y"])]
        standard = next(entry for entry in model.opset_import if not entry.domain)
        model.functions.append(helper.make_function(DOMAIN, SILU, ["x"], ["y"], body, [standard], ["alpha"]))
        model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    read = {name for node in model.graph.node for name in node.input}
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in read]:
        model.graph.initializer.remove(tensor)
    onnx.save(model, path)
    return rounded


def read_bytes(graph: Graph) -> None:
    """Read the input's bytes as quantized values if dividing them by 255 and quantizing them returns the same bytes."""
    image = graph.proto.input[0].name
    nodes = []
    name = image
    for kind in ("Cast", "Transpose", "Div", "QuantizeLinear"):
        node = graph.only_reader(name, kind)
        if node is None:
            return
        nodes.append(node)
        name = node.output[0]
    cast, transpose, divide, quantize = nodes
    divisor, scale, zero = (graph.constants.get(name) for name in (divide.input[1], *quantize.input[1:]))
    if divisor != 255 or scale != np.float32(1 / 255) or zero != 0:
        return
    transpose.input[0] = image
    transpose.output[0] = name
    for node in (cast, divide, quantize):
        graph.proto.node.remove(node)


def join_heads(graph: Graph) -> None:
    """Replace the 1x1 float convolutions that read a tensor returned as NHWC by one product, and split its result.

    ONNX Runtime has the tensor as NHWC, and would have to transpose all of its channels for the convolutions.
    """
    for arrange in [
        node for node in graph.proto.node if node.op_type == "Transpose" and node.output[0] in graph.outputs
    ]:
        heads = [node for node in graph.readers[arrange.input[0]] if _is_float_head(graph, node)]
        if list(arrange.attribute[0].ints) != [0, 2, 3, 1] or not heads:
            continue
        weights = [graph.constants[node.input[1]] for node in heads]
        zeros = [np.zeros(len(weight), np.float32) for weight in weights]
        pairs = zip(heads, zeros, strict=True)
        biases = [graph.constants[node.input[2]] if len(node.input) > 2 else zero for node, zero in pairs]
        name = heads[0].name
        weight = graph.add_constant(f"{name}_weight", np.concatenate(weights)[:, :, 0, 0].T.copy())
        bias = graph.add_constant(f"{name}_bias", np.concatenate(biases))
        sizes = graph.add_constant(f"{name}_sizes", np.array([len(part) for part in biases], np.int64))
        made = [
            helper.make_node("MatMul", [arrange.output[0], weight], [f"{name}_product"], name),
            helper.make_node("Add", [f"{name}_product", bias], [f"{name}_sum"], f"{name}_add"),
            helper.make_node("Transpose", [f"{name}_sum"], [f"{name}_maps"], f"{name}_transpose", perm=[0, 3, 1, 2]),
            helper.make_node("Split", [f"{name}_maps", sizes], [n.output[0] for n in heads], f"{name}_split", axis=1),
        ]
        for node in (*heads, arrange):
            graph.proto.node.remove(node)
        graph.proto.node.extend([arrange, *made])


def _is_float_head(graph: Graph, node: onnx.NodeProto) -> bool:
    weight = graph.constants.get(node.input[1]) if node.op_type == "Conv" else None
    return weight is not None and weight.shape[2:] == (1, 1)


def store_biases(graph: Graph) -> dict[str, NDArray[np.float32]]:
    """Store the bias of each integer convolution as int32, in steps of the input's scale times the weights' scale.

    Older versions of ONNX Runtime would not run a convolution with a float bias on integers, and newer ones round it.

    Returns:
        The rounded biases by the names that they had.
    """
    rounded = {}
    for place, node in reversed(list(enumerate(graph.proto.node))):
        if node.op_type != "Conv" or len(node.input) < 3:
            continue
        data, weight = (graph.maker(name, "DequantizeLinear") for name in node.input[:2])
        if data is None or weight is None:
            continue
        step = (graph.constants[data.input[1]] * graph.constants[weight.input[1]]).astype(np.float32)
        steps = np.rint(graph.constants[node.input[2]].astype(np.float64) / step)
        whole = np.clip(steps, -(2**31), 2**31 - 1).astype(np.int32)
        rounded[node.input[2]] = whole.astype(np.float32) * step
        name = f"{node.name}_bias"
        parts = [graph.add_constant(f"{name}_whole", whole), graph.add_constant(f"{name}_scale", step)]
        graph.proto.node.insert(place, helper.make_node("DequantizeLinear", parts, [name], name, axis=0))
        node.input[2] = name
    return rounded


def multiply_hardswish(graph: Graph) -> None:
    """Compute a Hardswish between quantizers as one product of integers, ``x * min(x + 3, 6) / 6``.

    Its quantized input begins at -3, see `quant.int8.calibration.before_hardswish`. The second factor is therefore the
    same integers, clipped at x = 3, with another scale and no zero point.
    """
    nodes = []
    for node in graph.proto.node:
        source = graph.maker(node.input[0], "DequantizeLinear") if node.op_type == "HardSwish" else None
        if source is not None and graph.only_reader(node.output[0], "QuantizeLinear"):
            scale, zero = (graph.constants[name] for name in source.input[1:])
            if abs(scale * zero - 3) < 1e-5:
                nodes += _product(graph, node, source, scale, zero)
                continue
        nodes.append(node)
    del graph.proto.node[:]
    graph.proto.node.extend(nodes)


def _product(
    graph: Graph, node: onnx.NodeProto, source: onnx.NodeProto, scale: NDArray[Any], zero: NDArray[Any]
) -> list[onnx.NodeProto]:
    name, integers = node.name, source.input[0]
    made = []
    if 2 * int(zero) < 255:  # otherwise no integer is above 3
        bounds = [
            graph.add_constant(f"{name}_{end}", np.uint8(value)) for end, value in (("low", 0), ("high", 2 * int(zero)))
        ]
        made.append(helper.make_node("Clip", [integers, *bounds], [f"{name}_clipped"], f"{name}_clip"))
        integers = f"{name}_clipped"
    pair = [graph.add_constant(f"{name}_scale", np.float32(scale / 6)), graph.add_constant(f"{name}_zero", np.uint8(0))]
    made.append(helper.make_node("DequantizeLinear", [integers, *pair], [f"{name}_gate"], f"{name}_dequantize"))
    return [*made, helper.make_node("Mul", [node.input[0], f"{name}_gate"], [node.output[0]], name)]


def join_silu(graph: Graph) -> bool:
    """Make one node of each pair of Sigmoid and Mul behind a quantizer, and return whether there were any.

    ONNX Runtime would dequantize the tensor twice, once for each of the two, and could then not join them.
    """
    found = False
    for sigmoid in [node for node in graph.proto.node if node.op_type == "Sigmoid"]:
        name = sigmoid.input[0]
        multiply = graph.only_reader(sigmoid.output[0], "Mul")
        if multiply is None or name not in multiply.input or not graph.maker(name, "DequantizeLinear"):
            continue
        multiply.op_type, multiply.domain = SILU, DOMAIN
        multiply.input[:] = [name]
        multiply.attribute.append(helper.make_attribute("alpha", 1.0))
        graph.proto.node.remove(sigmoid)
        found = True
    return found
