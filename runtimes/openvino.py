"""Build OpenVINO IR files from ONNX, and run them on Intel CPUs, GPUs and NPUs."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes import quirks
from runtimes.base import METADATA_KEY, MODEL_INFO, Batch, Description, Device, Layer
from runtimes.caches import open_cache, seal_cache
from runtimes.cpus import thread_limit
from runtimes.errors import AbsentDeviceError, ClosedError, DeviceError, MissingExtraError, ModelFileError
from runtimes.onnx_external import external_files
from runtimes.openvino_compiled import Compiled
from runtimes.openvino_file import read_file, read_metadata
from runtimes.openvino_graph import executed_layers
from runtimes.openvino_ports import FAILURES, input_port, output_types, reason, reshape, resizes
from runtimes.ports import Size, read_outputs, shapes_of
from runtimes.writing import new_files

_SHOWN = ("OPTIMIZATION_CAPABILITIES", "RANGE_FOR_STREAMS")  # properties that most devices have


def _openvino() -> ModuleType:
    try:
        import openvino
    except ImportError as error:
        raise MissingExtraError(
            f"an .xml file needs OpenVINO ({error}); type: pip install 'edgehrnet[openvino]'"
        ) from None
    except (
        RuntimeError
    ) as error:  # a user number without a home: findings/openvino_cannot_be_imported_without_a_home.sh
        raise DeviceError(
            f"OpenVINO cannot be imported: {error} Set the environment variable HOME to any folder"
        ) from None
    module: ModuleType = openvino
    return module


def build(
    onnx_path: Path, out: Path, metadata: str, *, half: bool = False, info: Mapping[str, str] | None = None
) -> tuple[Layer, ...]:
    """Convert an ONNX file to OpenVINO IR.

    Args:
        onnx_path: ONNX file to convert.
        out: File to write, ending in ``.xml``. The weights are written next to it as ``.bin``.
        metadata: Text to store under ``rt_info/edgehrnet``.
        half: Whether to store float weights as float16.
        info: Texts to store under ``rt_info/model_info``, None for none.

    Returns:
        The operations that OpenVINO runs on the CPU after its own optimization.
    """
    return save(_openvino().convert_model(onnx_path), out, metadata, half=half, info=info)


def save(
    model: Any, out: Path, metadata: str, *, half: bool = False, info: Mapping[str, str] | None = None
) -> tuple[Layer, ...]:
    """Write an openvino.Model as IR. The other arguments and the returned layers are those of `build`."""
    ov = _openvino()
    model.set_rt_info(metadata, [METADATA_KEY])
    for key, value in (info or {}).items():
        model.set_rt_info(value, [MODEL_INFO, key])
    with new_files(out) as folder:
        ov.save_model(model, folder / out.name, compress_to_fp16=half)
    return executed_layers(ov.Core().compile_model(out, "CPU", _settings("CPU")))


def read(path: Path, open_size: Size | None) -> Any:
    """Read an IR or ONNX file as an openvino.Model whose open sizes are set.

    Args:
        path: The file.
        open_size: (height, width) for what the file leaves open.

    Raises:
        ModelFileError: The file cannot be used.
    """
    ov = _openvino()
    if path.suffix == ".onnx":
        external_files(path)  # refuses those that lead out of the folder
    try:
        model = read_file(ov, ov.Core(), path, None)[0] if path.suffix == ".xml" else ov.convert_model(path)
    except RuntimeError as error:
        raise ModelFileError(f"{path} is not usable by OpenVINO: {reason(error)}") from None
    reshape(model, path, None, open_size)
    return model


class OpenVINORuntime:
    """Runtime of one IR file on one device. It is thread-safe.

    Devices are ``cpu`` (the default), ``gpu``, ``gpu.1``, ``npu`` and ``auto``.

    With ``shapes`` above 1, `run` also takes inputs of other sizes. The file is compiled for a size when it is first
    used, and for at most ``shapes`` sizes at a time: the one that was not used for longest is dropped. A file that
    states sides inside its network has its own size only.
    """

    def __init__(
        self,
        path: Path,
        device: str | None = None,
        *,
        input_size: Size | None = None,
        open_size: Size | None = None,
        threads: int | None = None,
        cache_dir: str | Path | None = None,
        digest: str | None = None,
        shapes: int = 1,
        fuse: bool = True,
    ) -> None:
        """Open a file. For the arguments, see `runtimes.load`.

        With ``fuse=False``, a CPU runs the quantizers of a file as written, in float.
        """
        ov = _openvino()
        self._core = ov.Core()
        self._core.set_property({"ENABLE_MMAP": False})  # of cached files, see `openvino_file.read_file`
        self._name = _device(self._core, device)
        self._model, found = read_file(ov, self._core, path, digest)
        self._path, self._tensor = path, ov.Tensor
        self._metadata = read_metadata(self._model, path)
        reshape(self._model, path, input_size, open_size)
        port = input_port(self._model, path)
        self._input = port.input
        self._limit = shapes if shapes == 1 or resizes(self._model, path, port.input.size) else 1
        self._shapes = shapes_of(read_outputs(path, port.batch, output_types(self._model))[0])
        self._cache = None if cache_dir is None else open_cache(cache_dir, found)
        quantized = any(op.get_type_name() == "FakeQuantize" for op in self._model.get_ops())
        self._settings = _settings(self._name, threads, self._cache, quantized=quantized)
        if not fuse:
            self._settings["LP_TRANSFORMS_MODE"] = "NO"
        self._version = ov.__version__.split("-")[0]
        self._compiled: dict[Size, Compiled] = {}  # the one that was used last at the end
        self._lock = threading.Lock()
        self._closed = False
        if self._limit == 1:
            self._compiled_for(self._input.size)

    def run(self, image: Batch) -> dict[str, NDArray[np.float32]]:
        """Run a batch, one picture at a time. The outputs belong to the caller."""
        size = self._input.check(image, any_size=self._limit > 1)
        return self._compiled_for(size).run(image)

    def prepare(self, size: Size) -> bool:
        """Compile for inputs of this size if that has not been done, and return whether it was needed."""
        if self._limit == 1 or size in self._compiled:
            return False
        self._compiled_for(size)
        return True

    def describe(self) -> Description:
        """Return what is loaded and where it runs."""
        if self._closed:
            raise ClosedError
        return Description(
            engine="openvino",
            version=self._version,
            device=self._device_names(),
            input=self._input,
            outputs=self._shapes,
            metadata=self._metadata,
            resizes=self._limit > 1,
        )

    def settings(self) -> dict[str, Any]:
        """Return the engine's settings and the precisions of convolutions, for the file's own input size."""
        compiled = self._compiled_for(self._input.size)
        kinds = Counter(f"{n.type} {n.precision}" for n in executed_layers(compiled.model))
        settings = {
            "device_name": _device_name(self._core, self._name),
            "inference_threads": _property(compiled.model, "INFERENCE_NUM_THREADS"),
            "inference_precision": _property(compiled.model, "INFERENCE_PRECISION_HINT"),
            "convolutions": {k.split()[1]: c for k, c in kinds.items() if k.startswith("Convolution ")},
            "outputs_not_read": compiled.unread,
        }
        return {key: value for key, value in settings.items() if value}

    def close(self) -> None:
        """Wait for calls in progress, then release the compiled models."""
        with self._lock:
            self._closed = True
            compiled, self._compiled, self._model = self._compiled, {}, None
        for one in compiled.values():
            one.close()

    def _compiled_for(self, size: Size) -> Compiled:
        """Return the file compiled for an input (height, width)."""
        with self._lock:
            if self._closed:
                raise ClosedError
            found = self._compiled.pop(size, None) or self._compile(size)
            self._compiled[size] = found
            # A caller that still runs the dropped one holds a reference to it.
            for oldest in list(self._compiled)[: -self._limit]:
                del self._compiled[oldest]
            return found

    def _compile(self, size: Size) -> Compiled:
        model = self._model
        if size != self._input.size:
            model = model.clone()
            reshape(model, self._path, size, None)
        try:
            compiled = self._core.compile_model(model, self._name, self._settings)
        except FAILURES as error:
            raise ModelFileError(f"{self._path} cannot be compiled for {self._name}: {reason(error)}") from None
        if self._cache is not None:
            seal_cache(self._cache)
        return Compiled(compiled, input_port(model, self._path), self._path, self._tensor)

    def _device_names(self) -> str:
        """Return the devices that run the file, as the engine calls them."""
        if self._name == "CPU":
            return self._name
        found = self._compiled_for(self._input.size).model.get_property("EXECUTION_DEVICES")
        return ",".join(found) if isinstance(found, list | tuple) else str(found)


def _device(core: Any, device: str | None) -> str:
    """Return OpenVINO's name of a device. Raise DeviceError if it is unknown or absent."""
    name = "CPU" if device is None else str(device).upper()
    kind = name.partition(".")[0]
    if kind not in ("CPU", "GPU", "NPU") and name != "AUTO":
        raise DeviceError(f"device {device!r} is unknown; an .xml file runs on cpu, gpu, gpu.1, npu or auto")
    if name == "CPU":
        return name  # listing the devices loads the code of all of them, 10 MB and 40 ms
    present = list(core.available_devices)
    if kind == "AUTO" or name in present or f"{name}.0" in present:
        return name
    raise AbsentDeviceError(
        f"device {device!r} is not present; OpenVINO finds {', '.join(present).lower()}; pass one of these"
    )


def _device_name(core: Any, name: str) -> str:
    """Return the name of the chip, or an empty string if the engine does not know it."""
    try:
        return str(core.get_property(name, "FULL_DEVICE_NAME")).strip()
    except RuntimeError:
        return ""


def devices() -> list[Device]:
    """Return the devices that OpenVINO finds, and AUTO, which chooses among them."""
    core = _openvino().Core()
    present = list(core.available_devices)
    found = [
        Device(name.lower(), _device_name(core, name), {key: _shown(core, name, key) for key in _SHOWN})
        for name in present
    ]
    return [*found, Device("auto", f"chooses among {', '.join(present).lower()}")]


def _shown(core: Any, name: str, key: str) -> str:
    """Return a property as text, or an empty string if the device does not have it."""
    try:
        value = core.get_property(name, key)
    except RuntimeError:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _settings(
    name: str, threads: int | None = None, cache: Path | None = None, *, quantized: bool = False
) -> dict[str, Any]:
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY", **quirks.settings("openvino", name, quantized=quantized)}
    if name == "CPU":
        limit = threads or thread_limit()
        if limit:
            settings["INFERENCE_NUM_THREADS"] = limit
            settings["ENABLE_CPU_PINNING"] = False  # pinned threads of several processes would share one core
    if cache is not None:
        settings["CACHE_DIR"] = str(cache)
    return settings


def _property(compiled: Any, name: str) -> Any:
    """Return a property of a compiled model, None if the device does not have it."""
    try:
        value = compiled.get_property(name)
    except RuntimeError:
        return None
    return value if isinstance(value, int | str) else getattr(value, "get_type_name", lambda: str(value))()
