"""Engines that run model files: arrays in, arrays out. Knows nothing of pictures or keypoints.

>>> load("model.tflite")
Traceback (most recent call last):
runtimes.base.UnknownSuffixError: no runtime for 'model.tflite'; accepted: .null, .xml
"""

from __future__ import annotations

import importlib
from pathlib import Path

from runtimes.base import Runtime, UnknownSuffixError, existing_file

__all__ = ["Runtime", "load"]

# suffix -> (module, class); a module is imported when the first such file is loaded
ENGINES = {
    ".xml": ("runtimes.openvino", "OpenVINORuntime"),
    ".null": ("runtimes.null", "NullRuntime"),
}


def load(
    path: str | Path,
    device: str | None = None,
    *,
    input_size: tuple[int, int] | None = None,
    threads: int | None = None,
    cache_dir: str | Path | None = None,
) -> Runtime:
    """Load a model file on a device.

    ``device``: None for the engine's usual one, or ``cpu``, ``gpu``, ``gpu.1``, ``npu``, ``auto``; an absent one
    raises DeviceError. ``input_size``: (height, width) to reshape to; None keeps the file's. ``threads``: CPU
    threads of one inference; None uses what the machine, or its container's quota, allows. ``cache_dir``: an
    existing folder where the engine may keep compiled files.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in ENGINES:
        raise UnknownSuffixError(f"no runtime for {str(path)!r}; accepted: {', '.join(sorted(ENGINES))}")
    module, name = ENGINES[suffix]
    engine = getattr(importlib.import_module(module), name)
    runtime: Runtime = engine(existing_file(path), device, input_size=input_size, threads=threads, cache_dir=cache_dir)
    return runtime
