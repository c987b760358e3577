"""Which engines are installed here, and the devices that each of them finds."""

from __future__ import annotations

import importlib

from runtimes.base import Device, DeviceError, MissingExtraError

MODULES = {"openvino": "runtimes.openvino", "onnxruntime": "runtimes.onnx", "tensorrt": "runtimes.tensorrt"}


def devices() -> dict[str, list[Device] | str]:
    """Return the devices of each engine, or why there are none."""
    found: dict[str, list[Device] | str] = {}
    for engine, module in MODULES.items():
        try:
            found[engine] = importlib.import_module(module).devices()
        except (MissingExtraError, DeviceError) as error:
            found[engine] = str(error)
    return found
