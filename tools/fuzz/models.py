"""Fuzz the bytes of model files: OpenVINO IR, its weights, and ONNX."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from edgehrnet.predictor import Predictor
from edgehrnet.spec import ModelSpec
from runtimes.base import METADATA_KEY
from tools.fuzz.engine import Entry, require_finite
from tools.fuzz.files import NAMES, SIZE
from tools.fuzz.mutations import damaged_bytes, damaged_text

SPEC = ModelSpec.heatmaps("m", NAMES, input_size=SIZE)
PICTURE = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)


def write_onnx(path: Path) -> None:
    """Write a network of one convolution, with a spec, as ONNX."""
    import onnx
    from onnx import helper, numpy_helper

    weights = np.random.default_rng(0).normal(size=(len(NAMES), 3, 4, 4)).astype(np.float32)
    node = helper.make_node("Conv", ["image", "w"], ["heatmaps"], strides=[4, 4], kernel_shape=[4, 4])
    cells = [side // SPEC.stride for side in SIZE]
    graph = helper.make_graph(
        [node],
        "m",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 3, *SIZE])],
        [helper.make_tensor_value_info("heatmaps", onnx.TensorProto.FLOAT, [1, len(NAMES), *cells])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model.metadata_props.add(key=METADATA_KEY, value=SPEC.to_json())
    onnx.save_model(model, path)


def predict(path: Path) -> None:
    """Load a model file, run it once, and release it."""
    with Predictor(path, threads=1, trusted=True) as predictor:
        require_finite(predictor.predict(PICTURE))


def onnx_entry(folder: Path) -> Entry:
    """Return the entry of ONNX files."""
    seed, path = folder / "seed.onnx", folder / "m.onnx"
    write_onnx(seed)

    def check(case: bytes) -> None:
        path.write_bytes(case)
        predict(path)

    return Entry("onnx", partial(damaged_bytes, seeds=[seed.read_bytes()]), check, seconds=5)


def ir_entry(folder: Path) -> Entry:
    """Return the entry of OpenVINO files: damaged graphs, and damaged weights."""
    import openvino

    onnx, path = folder / "seed.onnx", folder / "m.xml"
    write_onnx(onnx)
    model: Any = openvino.convert_model(onnx)
    model.set_rt_info(SPEC.to_json(), [METADATA_KEY])
    openvino.save_model(model, folder / "seed.xml", compress_to_fp16=False)
    graph, weights = (folder / "seed.xml").read_text(), (folder / "seed.bin").read_bytes()

    def make(rng: Random) -> tuple[bytes, bytes]:
        if rng.random() < 0.2:
            return graph.encode(), damaged_bytes(rng, [weights])
        return damaged_text(rng, [graph]), weights

    def check(case: tuple[bytes, bytes]) -> None:
        path.write_bytes(case[0])
        path.with_suffix(".bin").write_bytes(case[1])
        predict(path)

    return Entry("ir", make, check, seconds=5)
