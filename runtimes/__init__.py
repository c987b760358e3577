"""Run model files with inference engines, from arrays to arrays.

This package does not know pictures or keypoints. Its public names are `load`, the `Runtime` that it returns, and
the errors. All other modules may change at any time.

>>> load("model.tflite")
Traceback (most recent call last):
runtimes.errors.UnknownSuffixError: no runtime for 'model.tflite'; accepted: .engine, .onnx, .plan, .pt, .xml
"""

from __future__ import annotations

import importlib
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtimes.base import Runtime, existing_file
from runtimes.errors import (
    AbsentDeviceError,
    BatchError,
    ClosedError,
    DeviceError,
    EdgeHRNetError,
    MissingExtraError,
    MissingFileError,
    ModelFileError,
    RemoteError,
    RemoteTimeoutError,
    UnknownSuffixError,
    WriteError,
)
from runtimes.remote_address import RemoteModel, location
from runtimes.writing import finish_writing

if TYPE_CHECKING:
    from runtimes.torch import Loader

__all__ = [
    "AbsentDeviceError",
    "BatchError",
    "ClosedError",
    "DeviceError",
    "EdgeHRNetError",
    "MissingExtraError",
    "MissingFileError",
    "ModelFileError",
    "RemoteError",
    "RemoteTimeoutError",
    "Runtime",
    "UnknownSuffixError",
    "WriteError",
    "load",
]


@dataclass(frozen=True)
class Engine:
    """An inference engine and the module that wraps it."""

    name: str
    """Name shown to users."""

    module: str
    """Module to import when the first file of this engine is loaded."""

    runtime: str
    """Class in that module that implements `Runtime`."""

    lists_devices: bool = True
    """Whether the module has a function ``devices()``."""

    has_open_sizes: bool = False
    """Whether a file may leave its input size open."""

    has_shapes: bool = False
    """Whether a loaded file can run inputs of several sizes."""

    has_batches: bool = False
    """Whether a loaded file can run several inputs at once."""


_TENSORRT = Engine("tensorrt", "runtimes.tensorrt", "TensorRTRuntime")
# suffix of a model file -> engine
ENGINES = {
    ".xml": Engine(
        "openvino", "runtimes.openvino", "OpenVINORuntime", has_open_sizes=True, has_shapes=True, has_batches=True
    ),
    ".onnx": Engine(
        "onnxruntime", "runtimes.onnx", "ONNXRuntime", has_open_sizes=True, has_shapes=True, has_batches=True
    ),
    ".engine": _TENSORRT,
    ".plan": _TENSORRT,
    ".pt": Engine("torch", "runtimes.torch", "TorchRuntime", lists_devices=False, has_shapes=True, has_batches=True),
    ".null": Engine("null", "runtimes.null", "NullRuntime", lists_devices=False),
}


def load(
    path: str | Path | RemoteModel,
    device: str | None = None,
    *,
    input_size: tuple[int, int] | None = None,
    open_size: tuple[int, int] | None = None,
    threads: int | None = None,
    cache_dir: str | Path | None = None,
    shapes: int = 1,
    batch: int = 1,
    loader: Loader | None = None,
    digest: str | None = None,
) -> Runtime:
    """Load a model file on a device.

    Args:
        path: Model file. Its suffix selects the engine.
        device: Device name. The runtime class of each engine lists its devices. None selects the default of the engine.
        input_size: (height, width) to reshape the input to. None keeps the size stored in the file.
        open_size: (height, width) for a file that leaves its size open, if there is no ``input_size``.
        threads: CPU threads of one inference. None uses all CPUs that the machine, or its container's quota, allows.
        cache_dir: Existing folder where the engine may keep compiled files.
        shapes: Number of input sizes that the file may be compiled for at a time. Above 1, ``.xml`` and ``.pt``
            files, and ``.onnx`` files with open sides, take inputs of any size that the network can process.
        batch: Number of pictures of one `Runtime.run` that run at once. What is left over runs one by one. Only for
            ``.xml`` and ``.pt`` files, and for ``.onnx`` files with an open batch dimension or this one.
        loader: Function that builds the network of a ``.pt`` file. Other files do not accept it.
        digest: SHA-256 that the file must have, in hexadecimal, with the weights of an OpenVINO file after its graph.
            None accepts any. ``.pt`` files do not accept it: their loader checks them.

    Returns:
        The loaded file.

    Raises:
        UnknownSuffixError: No engine runs files with this suffix.
        MissingFileError: The file does not exist.
        ModelFileError: The file or ``cache_dir`` cannot be used, the file has another SHA-256, or it does not take
            ``batch`` pictures.
        DeviceError: The device is absent, or the engine does not know it.
        MissingExtraError: The engine is not installed.
        RemoteError: The server of a remote model does not answer, or answers with an error.
    """
    path = location(path)
    if isinstance(path, RemoteModel):
        from runtimes.remote import RemoteRuntime

        return RemoteRuntime(path, device, input_size=input_size, open_size=open_size)
    suffix = path.suffix.lower()
    if suffix not in ENGINES:
        accepted = sorted(set(ENGINES) - {".null"})  # a file for tests
        raise UnknownSuffixError(f"no runtime for {str(path)!r}; accepted: {', '.join(accepted)}")
    engine = ENGINES[suffix]
    with suppress(OSError):  # a folder that cannot be written to
        finish_writing(Path(path).parent)
    path = existing_file(path)
    if cache_dir is not None and not (os.path.isdir(cache_dir) and os.access(cache_dir, os.W_OK)):  # noqa: PTH112
        raise ModelFileError(f"cache_dir {str(cache_dir)!r} is not a writable folder; create it first")
    runtime_class = getattr(importlib.import_module(engine.module), engine.runtime)
    extra: dict[str, Any] = {} if loader is None else {"loader": loader}
    if digest is not None:
        extra["digest"] = digest
    if engine.has_open_sizes:
        extra["open_size"] = open_size
    if engine.has_shapes:
        extra["shapes"] = shapes
    if batch > 1 and not engine.has_batches:
        raise ModelFileError(f"batch={batch}: {path} runs one at a time; leave out batch, or use an .xml or .pt file")
    if batch > 1:
        extra["batch"] = batch
    runtime: Runtime = runtime_class(path, device, input_size=input_size, threads=threads, cache_dir=cache_dir, **extra)
    return runtime
