"""MACs of a built file: everything that multiplies counts, and is counted as worked out by hand."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from runtimes import openvino
from runtimes.onnx import build as build_onnx


def weights(name, *shape):
    values = np.random.default_rng(0).normal(0, 0.1, shape).astype(np.float32)
    return numpy_helper.from_array(values, name)


@pytest.fixture
def graph(tmp_path):
    """A convolution, a depthwise one, a transposed one, a matrix product with weights and one without."""
    nodes = [
        helper.make_node("Conv", ["x", "c"], ["a"], "conv", strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["a", "g"], ["b"], "depthwise", group=8, pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["b"], ["b2"], "relu"),
        helper.make_node("ConvTranspose", ["b2", "t"], ["heatmaps"], "transposed", strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Reshape", ["heatmaps", "shape"], ["r"], "reshape"),
        helper.make_node("MatMul", ["r", "m"], ["product"], "product"),
        helper.make_node("Transpose", ["r"], ["rt"], "transpose", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["r", "rt"], ["square"], "square"),
    ]
    constants = [weights("c", 8, 3, 3, 3), weights("g", 8, 1, 3, 3), weights("t", 8, 4, 4, 4), weights("m", 64, 5),
                 numpy_helper.from_array(np.array([1, 64, 64]), "shape")]  # fmt: skip
    outputs = {"heatmaps": [1, 4, 32, 32], "product": [1, 64, 5], "square": [1, 64, 64]}
    model = helper.make_model(
        helper.make_graph(
            nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 32, 32])],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
            constants,
        ),
        opset_imports=[helper.make_opsetid("", 18)], ir_version=9,
    )  # fmt: skip
    path = tmp_path / "graph.onnx"
    onnx.save(model, path)
    return path


BY_HAND = {
    "conv": 16 * 16 * 8 * 3 * 9,
    "depthwise": 16 * 16 * 8 * 9,
    "transposed": 16 * 16 * 8 * 4 * 16,
    "product": 64 * 5 * 64,
    "square": 64 * 64 * 64,
}


@pytest.mark.parametrize(("build", "suffix"), [(openvino.build, ".xml"), (build_onnx, ".onnx")], ids=["ir", "onnx"])
def test_everything_that_multiplies_counts(graph, tmp_path, build, suffix):
    layers = build(graph, tmp_path / f"built{suffix}", "{}")
    assert sorted(layer.macs for layer in layers if layer.macs) == sorted(BY_HAND.values())


def test_openvino_names_the_kernel_of_each_convolution(graph, tmp_path):
    layers = openvino.build(graph, tmp_path / "built.xml", "{}")
    assert all(layer.kernel for layer in layers if layer.type == "Convolution")
