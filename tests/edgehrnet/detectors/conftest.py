"""Tiny detectors with the layouts of other projects: their boxes are constants, or follow the picture."""

import numpy as np
import pytest

from edgehrnet.picture.picture import Picture
from edgehrnet.result import Keypoints, Result
from edgehrnet.spec import ModelSpec

SIDE = 64  # px of the detectors' input


@pytest.fixture
def write_detector(tmp_path):
    """A function that writes a detector with constant outputs, as ONNX or IR, and returns its path."""
    onnx = pytest.importorskip("onnx")
    from onnx import TensorProto, helper, numpy_helper

    def write(outputs, metadata=None, name="detector.onnx", kind=TensorProto.FLOAT):
        # The sum of the input times 0 is added, so that no engine can do without the input.
        image = helper.make_tensor_value_info("images", kind, [1, 3, SIDE, SIDE])
        nodes = [helper.make_node("ReduceMax", ["images"], ["most"], keepdims=0)]
        nodes += [helper.make_node("Cast", ["most"], ["float"], to=TensorProto.FLOAT)]
        nodes += [helper.make_node("Mul", ["float", "zero"], ["nothing"])]
        constants, ports = [numpy_helper.from_array(np.float32(0), "zero")], []
        for key, value in outputs.items():
            value = np.asarray(value)
            constants.append(numpy_helper.from_array(value, f"{key}-value"))
            to = helper.np_dtype_to_tensor_dtype(value.dtype)
            nodes.append(helper.make_node("Cast", ["nothing"], [f"{key}-zero"], to=to))
            nodes.append(helper.make_node("Add", [f"{key}-value", f"{key}-zero"], [key]))
            ports.append(helper.make_tensor_value_info(key, to, list(value.shape)))
        graph = helper.make_graph(nodes, "detector", [image], ports, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        helper.set_model_props(model, metadata or {})
        path = tmp_path / "detector.onnx"
        onnx.save(model, path)
        if name.endswith(".xml"):
            import openvino as ov

            converted = ov.convert_model(path)
            for key, value in (metadata or {}).items():
                converted.set_rt_info(value, ["model_info", key])
            ov.save_model(converted, tmp_path / name, compress_to_fp16=False)
        return tmp_path / name

    return write


@pytest.fixture
def make_run():
    """A function that makes a network for crops: it finds the points of a dictionary by the frame's number."""
    spec = ModelSpec("pose", ("a", "b", "c"), crop="udp", input_size=(64, 64))

    def make(points, conf=None):
        def run(job):
            count = len(job.boxes)
            xy = np.asarray(points[job.frame], np.float64)[None].repeat(count, 0)
            sure = np.ones((count, 3)) if conf is None else np.asarray(conf[job.frame])[None].repeat(count, 0)
            return Result(
                keypoints=Keypoints(xy, sure.astype(np.float32), job.picture.size, spec.keypoints),
                heatmaps=np.zeros((count, 3, 1, 1), np.float32),
                offsets=None,
                hf=None,
                outputs={},
                transforms=(),
                speed={},
                source=job.source,
                picture=Picture.of(job.picture),
                spec=spec,
                boxes=job.boxes,
                frame=job.frame,
                time=job.time,
            )

        return run

    return make
