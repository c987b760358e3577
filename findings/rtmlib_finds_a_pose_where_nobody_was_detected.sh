#!/usr/bin/env bash
# RTMLib: where the detector finds nobody, the answer is one pose, of the whole picture, with good scores.
#
# Guess:  No box of the detector, no pose.
# Seen:   rtmlib 0.0.16, with a detector that finds nothing in an empty picture. The detector returns no box, and Body,
#         Custom and PoseTracker hand that on. RTMPose takes an empty list of boxes for the whole picture and returns one
#         pose of it. What its network answers there decides about the score: here 0.9.
# Matters: A counter of people never counts zero, and every empty frame of a camera becomes a person.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    onnx==1.23.2 onnxruntime==1.31.1 opencv-python-headless==5.0.0.93 numpy==2.4.6 tqdm==4.70.1
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps rtmlib==0.0.16
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from rtmlib import Custom

SIZE = (640, 640)
LEFTS = (20.0, 220.0, 420.0)  # three persons stand here, each 100 px wide


def save(name, nodes, shapes, constants):
    """Write an ONNX file that takes a picture (1, 3, H, W)."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "H", "W"])
    outputs = [helper.make_tensor_value_info(key, TensorProto.FLOAT, shape) for key, shape in shapes.items()]
    stored = [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()]
    graph = helper.make_graph(nodes, name, [image], outputs, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, name)


# A detector in the layout of RTMDet: (1, N, 5). The score of a box is how bright the picture is at its left edge.
boxes = np.array([[[left, 100, left + 100, 500] for left in LEFTS]], np.float32)
save(
    "detector.onnx",
    [
        helper.make_node("Slice", ["image", "low", "high", "axes", "steps"], ["row"]),
        helper.make_node("Squeeze", ["row", "axes23"], ["flat"]),
        helper.make_node("Gather", ["flat", "lefts"], ["bright"], axis=2),
        helper.make_node("Transpose", ["bright"], ["column"], perm=[0, 2, 1]),
        helper.make_node("Sigmoid", ["column"], ["score"]),
        helper.make_node("Concat", ["boxes", "score"], ["dets"], axis=2),
    ],
    {"dets": [1, 3, 5]},
    {"low": [0, 300], "high": [1, 301], "axes": [1, 2], "steps": [1, 1], "axes23": [2],
     "lefts": np.array(LEFTS, np.int64), "boxes": boxes},
)
# A pose network in the layout of RTMPose that answers two points in the middle of its box, whatever it sees.
x, y = np.zeros((1, 2, 384), np.float32), np.zeros((1, 2, 512), np.float32)
x[0, 0, 150] = x[0, 1, 230] = y[0, 0, 200] = y[0, 1, 300] = 0.9
identity = [helper.make_node("Identity", [f"c{axis}"], [f"simcc_{axis}"]) for axis in "xy"]
save("pose.onnx", identity, {"simcc_x": [1, 2, 384], "simcc_y": [1, 2, 512]}, {"cx": x, "cy": y})


def picture(*persons):
    """Draw the persons of these numbers."""
    drawn = np.zeros((*SIZE, 3), np.uint8)
    for person in persons:
        drawn[:, int(LEFTS[person]) : int(LEFTS[person]) + 100] = 255
    return drawn


options = {"det": "detector.onnx", "det_input_size": SIZE, "pose": "pose.onnx", "pose_input_size": (192, 256)}
people = Custom(det_class="RTMDet", pose_class="RTMPose", **options)
for standing in ((0, 1, 2), (1,), ()):
    shown = picture(*standing)
    boxes, (keypoints, scores) = people.det_model(shown), people(shown)
    print(f"{len(standing)} persons: {len(boxes)} boxes, {len(keypoints)} poses, lowest score {scores.min():.2f}")
    assert len(boxes) == len(standing), "the behavior has changed"
    assert len(keypoints) == (len(standing) or 1) and scores.min() > 0.8, "the behavior has changed"
PYTHON
