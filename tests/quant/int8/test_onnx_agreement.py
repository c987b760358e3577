"""ONNX Runtime against the fake-quantized network, tensor by tensor.

From end to end the two differ by rounding flips, as torch in float64 differs from torch in float32: a flip moves one
number by a whole step, and the layers below make more of it. Here every tensor is computed from torch's own: each
quantizer's output in the file becomes an input, which is fed what torch had there.
"""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper, shape_inference

from edgehrnet.models.checkpoints import load_checkpoint
from edgehrnet.models.deploy.export_module import network_input
from edgehrnet.models.deploy.frozen import QuantizeDequantize, freeze
from edgehrnet.models.deploy.loading import deployable, deployed_spec
from edgehrnet.picture.letterbox import letterbox
from quant.data.documents.corners import validation_scene
from quant.files.onnx_file import write_onnx

onnxruntime = pytest.importorskip("onnxruntime")
CHECKPOINT = Path(__file__).parents[3] / "checkpoints" / "document-corners.pt"
SIZE = (128, 256)


def cut(path):
    """Return the model, cut into an output and an input behind each quantizer of activations, and the scales."""
    model = shape_inference.infer_shapes(onnx.load(path))
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    shapes = {v.name: [dim.dim_value for dim in v.type.tensor_type.shape.dim] for v in graph.value_info}
    quantizers = {node.output[0]: node for node in graph.node if node.op_type == "QuantizeLinear"}
    scales: list[float] = []
    for place, node in enumerate(graph.node):
        if node.op_type != "DequantizeLinear" or node.input[0] not in quantizers:
            continue
        fed = helper.make_tensor_value_info(f"fed{len(scales)}", TensorProto.FLOAT, shapes[node.output[0]])
        graph.input.append(fed)
        graph.output.append(helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, shapes[node.output[0]]))
        for reader in graph.node[place + 1 :]:
            for i, name in enumerate(reader.input):
                if name == node.output[0]:
                    reader.input[i] = fed.name
        scales.append(float(constants[node.input[1]]))
    return model, scales


@pytest.fixture(scope="module")
def tensors(tmp_path_factory):
    """Return the output and input of every quantizer in torch, and what ONNX Runtime gives for the inputs of torch."""
    checkpoint = load_checkpoint(CHECKPOINT)
    network = deployable(checkpoint)
    spec = deployed_spec(checkpoint, network, "int8", SIZE)
    frozen = freeze(network, checkpoint.table("onnx"))
    path = tmp_path_factory.mktemp("onnx") / "int8.onnx"
    write_onnx(frozen, spec, path)
    model, scales = cut(path)

    given, rounded, seen = [], [], []

    def keep(module, inputs, output):
        seen.append(module.scale)
        # Copied, because the activation behind a quantizer overwrites its output.
        given.append(inputs[0].numpy().copy())
        rounded.append(output.numpy().copy())

    for module in frozen.modules():
        if isinstance(module, QuantizeDequantize):
            module.register_forward_hook(keep)
    pixels, _ = letterbox(validation_scene(0).image, SIZE)
    with torch.no_grad():
        output = frozen(network_input(torch.from_numpy(pixels)[None], spec.mean, spec.std))
    # Both are in the order in which they run.
    np.testing.assert_allclose(seen, scales, rtol=1e-6)

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    feeds = {"image": pixels[None], **{f"fed{i}": values for i, values in enumerate(rounded)}}
    names = [value.name for value in session.get_outputs()]
    found = dict(zip(names, session.run(names, feeds), strict=True))
    outputs = [name for name, _ in spec.outputs]
    ours = [found[name] for name in names if name not in outputs]
    return given, rounded, ours, (output.heatmaps.numpy(), found["heatmaps"])


def rms(values):
    return np.sqrt(np.mean(np.square(values, dtype=np.float64)))


def test_tensors_agree_to_a_tenth_of_the_rounding_error(tensors):
    given, rounded, ours, _ = tensors
    assert len(ours) > 90
    for x, theirs, y in zip(given, rounded, ours, strict=True):
        # A tenth is one flip in 1200 numbers: step^2 / 1200 is a hundredth of step^2 / 12.
        assert rms(y - theirs) < 0.1 * rms(theirs - x)


def test_differing_values_differ_by_one_step(tensors):
    _, rounded, ours, _ = tensors
    for theirs, y in zip(rounded, ours, strict=True):
        step = np.diff(np.unique(theirs)).min()
        assert np.abs(y - theirs).max() < 1.01 * step


def test_heatmaps_agree(tensors):
    theirs, ours = tensors[-1]
    # The heads are float: sums of 128 products in another order.
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * np.abs(theirs).max())
