#!/usr/bin/env bash
# ONNX: cutting a model with onnx.utils.extract_model, or saving it from ONNX GraphSurgeon, drops its metadata.
#
# Guess:  Tools that edit an ONNX file keep `metadata_props`, where deployment tools store mean, std, names and sizes.
# Seen:   onnx 1.23.2, onnx-graphsurgeon 0.6.1. Both return a model without any metadata, and say nothing.
#         The version converter, compose.add_prefix, onnxslim 0.1.98 and ONNX Runtime's quantize_static (1.31.1) keep it.
# Matters: Cutting heads off a keypoint network, or fusing nodes by hand before TensorRT, loses how its input is prepared.
#         The file still runs, and a reader that falls back to defaults gives wrong keypoints.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    onnx==1.23.2 onnxruntime==1.31.1 onnx-graphsurgeon==0.6.1 onnxslim==0.1.98 numpy==2.4.6
cd "$folder"
"$folder/venv/bin/python" - 2>/dev/null <<'PYTHON'
import numpy as np
import onnx
import onnx_graphsurgeon
import onnxslim
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, quantize_static

SHAPE = [1, 3, 32, 32]
weights = numpy_helper.from_array(np.ones((3, 3, 1, 1), np.float32), "weights")
nodes = [helper.make_node("Conv", ["image", "weights"], ["sums"]), helper.make_node("Relu", ["sums"], ["heatmaps"])]
ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in ("image", "heatmaps")]
graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], [weights])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
helper.set_model_props(model, {"mean": "0.5"})
onnx.save(model, "model.onnx")


class Pictures(CalibrationDataReader):
    def __init__(self):
        self.left = [{"image": np.full(SHAPE, value, np.float32)} for value in (0.1, 0.9)]

    def get_next(self):
        return self.left.pop() if self.left else None


def extracted():
    onnx.utils.extract_model("model.onnx", "extracted.onnx", ["image"], ["sums"])
    return onnx.load("extracted.onnx")


def quantized():
    quantize_static("model.onnx", "quantized.onnx", Pictures())
    return onnx.load("quantized.onnx")


for name, edited, kept in (
    ("onnx.version_converter", onnx.version_converter.convert_version(model, 19), True),
    ("onnx.compose.add_prefix", onnx.compose.add_prefix(model, "a"), True),
    ("onnxslim", onnxslim.slim("model.onnx"), True),
    ("onnxruntime quantize_static", quantized(), True),
    ("onnx.utils.extract_model", extracted(), False),
    ("onnx_graphsurgeon", onnx_graphsurgeon.export_onnx(onnx_graphsurgeon.import_onnx(model)), False),
):
    found = {entry.key: entry.value for entry in edited.metadata_props}
    print(f"{name:28} {found.get('mean', 'nothing left')}")
    assert (found.get("mean") == "0.5") == kept, "the behavior has changed"
PYTHON
