"""Engines that run model files: arrays in, arrays out. Knows nothing of pictures or keypoints.

>>> load("model.tflite")
Traceback (most recent call last):
runtimes.base.UnknownSuffixError: no runtime for 'model.tflite'; accepted: .engine, .onnx, .plan, .pt, .xml
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from runtimes.base import ModelFileError, Runtime, UnknownSuffixError, existing_file

if TYPE_CHECKING:
    from runtimes.torch import Loader

__all__ = ["Runtime", "load"]

# suffix -> (module, class); a module is imported when the first such file is loaded
ENGINES = {
    ".xml": ("runtimes.openvino", "OpenVINORuntime"),
    ".onnx": ("runtimes.onnx", "ONNXRuntime"),
    ".engine": ("runtimes.tensorrt", "TensorRTRuntime"),
    ".plan": ("runtimes.tensorrt", "TensorRTRuntime"),
    ".pt": ("runtimes.torch", "TorchRuntime"),
    ".null": ("runtimes.null", "NullRuntime"),
}


def load(
    path: str | Path,
    device: str | None = None,
    *,
    input_size: tuple[int, int] | None = None,
    threads: int | None = None,
    cache_dir: str | Path | None = None,
    loader: Loader | None = None,
) -> Runtime:
    """Load a model file on a device.

    ``device``: None for the engine's usual one, or one of those that its runtime's class names; an absent one raises
    DeviceError. ``input_size``: (height, width) to reshape to; None keeps the file's. ``threads``: CPU threads of one
    inference; None uses what the machine, or its container's quota, allows. ``cache_dir``: an existing folder where
    the engine may keep compiled files. ``loader``: builds the network of a ``.pt``; no other file takes one.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in ENGINES:
        accepted = sorted(set(ENGINES) - {".null"})  # a file for tests
        raise UnknownSuffixError(f"no runtime for {str(path)!r}; accepted: {', '.join(accepted)}")
    module, name = ENGINES[suffix]
    path = existing_file(path)
    if cache_dir is not None and not (os.path.isdir(cache_dir) and os.access(cache_dir, os.W_OK)):  # noqa: PTH112
        raise ModelFileError(f"cache_dir {str(cache_dir)!r} is not a writable folder; create it first")
    engine = getattr(importlib.import_module(module), name)
    extra = {} if loader is None else {"loader": loader}
    runtime: Runtime = engine(path, device, input_size=input_size, threads=threads, cache_dir=cache_dir, **extra)
    return runtime
