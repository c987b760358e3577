"""The workarounds of the table are really applied."""

import numpy as np
import openvino
import pytest

import runtimes
from runtimes.quirks import QUIRKS, settings


def test_every_quirk_has_a_link_and_a_workaround():
    for quirk in QUIRKS:
        assert quirk.link.startswith("https://")
        assert quirk.trouble
        assert quirk.answer
        assert quirk.devices


def test_settings_depend_on_the_device():
    assert settings("openvino", "CPU", quantized=True) == {"INFERENCE_PRECISION_HINT": "f32"}
    assert settings("openvino", "GPU", quantized=False) == {}
    assert settings("openvino", "GPU.1", quantized=True) == {"EXECUTION_MODE_HINT": "ACCURACY"}
    assert settings("onnxruntime", "CPU", quantized=True) == {}


class FakeCompiled:
    """The parts of a compiled model that loading uses."""

    def __init__(self, outputs):
        self.outputs = outputs

    def get_property(self, name):
        return 1

    def create_infer_request(self):
        return object()


@pytest.mark.parametrize(("quantized", "expected"), [(True, "ACCURACY"), (False, None)])
def test_a_gpu_runs_int8_files_in_accuracy_mode(openvino_model, tmp_path, monkeypatch, quantized, expected):
    path = openvino_model.path
    if quantized:
        ops = openvino.opset13
        image = ops.parameter([1, 32, 32, 4], np.uint8, name="image")
        low, high = ops.constant(np.float32(0)), ops.constant(np.float32(1))
        scaled = ops.fake_quantize(ops.convert(image, "f32"), low, high, low, high, 256)
        openvino.save_model(openvino.Model([scaled], [image]), tmp_path / "q.xml")
        path = tmp_path / "q.xml"
    passed = {}

    def compile_model(core, model, name, config):
        passed.update(config)
        return FakeCompiled(model.outputs)

    monkeypatch.setattr(openvino.Core, "available_devices", ("CPU", "GPU"))
    monkeypatch.setattr(openvino.Core, "compile_model", compile_model)
    runtimes.load(path, "gpu")
    assert passed.get("EXECUTION_MODE_HINT") == expected
