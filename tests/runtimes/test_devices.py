"""Devices of all engines; one that is missing or broken does not hide the others."""

import importlib
import sys

import openvino
import pytest

from runtimes import ENGINES, tensorrt
from runtimes.devices import devices
from runtimes.errors import AbsentDeviceError, MissingExtraError


def test_every_engine_has_an_entry():
    found = devices()
    assert list(found) == ["openvino", "onnxruntime", "tensorrt"]
    present = found["openvino"]
    assert isinstance(present, list)
    assert {device.name for device in present} >= {"cpu", "auto"}
    assert "INT8" in present[0].properties["OPTIMIZATION_CAPABILITIES"]


def test_every_engine_with_a_list_of_devices_is_asked():
    for engine in ENGINES.values():
        assert hasattr(importlib.import_module(engine.module), "devices") == engine.lists_devices
    assert list(devices()) == list(dict.fromkeys(e.name for e in ENGINES.values() if e.lists_devices))


def test_an_engine_that_is_not_installed_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    found = devices()
    assert "pip install 'edgehrnet[onnx]'" in found["onnxruntime"]
    assert found["openvino"]


@pytest.mark.parametrize("error", [AbsentDeviceError("no driver"), MissingExtraError("no package")])
def test_an_engine_that_fails_says_why(monkeypatch, error):
    def fail():
        raise error

    monkeypatch.setattr(tensorrt, "devices", fail)
    assert devices()["tensorrt"] == str(error)


def test_a_missing_property_is_empty(monkeypatch):
    class Core:
        available_devices = ("NPU",)

        def set_property(self, properties):
            pass

        def get_property(self, name, key):
            raise RuntimeError(f"{name} has no {key}")

    monkeypatch.setattr(openvino, "Core", Core)
    present = devices()["openvino"]
    assert isinstance(present, list)
    npu, auto = present
    assert (npu.name, npu.title, set(npu.properties.values())) == ("npu", "", {""})
    assert auto.title == "chooses among npu"
