"""Build OpenVINO IR files from ONNX, and run them on Intel CPUs, GPUs and NPUs."""

from __future__ import annotations

import math
import queue
import threading
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes import quirks
from runtimes.base import METADATA_KEY, Batch, Description, Device, Layer
from runtimes.caches import open_cache, seal_cache
from runtimes.cpus import thread_limit
from runtimes.errors import AbsentDeviceError, ClosedError, DeviceError, MissingExtraError, ModelFileError
from runtimes.openvino_file import read, read_metadata
from runtimes.openvino_ports import FAILURES, input_port, output_types, reason, reshape
from runtimes.ports import OutputPort, Size, read_outputs, shapes_of
from runtimes.writing import new_files

_SHOWN = ("OPTIMIZATION_CAPABILITIES", "RANGE_FOR_STREAMS")  # properties that most devices have


def _openvino() -> ModuleType:
    try:
        import openvino
    except ImportError as error:
        raise MissingExtraError(
            f"an .xml file needs OpenVINO ({error}); type: pip install 'edgehrnet[openvino]'"
        ) from None
    module: ModuleType = openvino
    return module


def build(onnx_path: Path, out: Path, metadata: str, *, half: bool = False) -> tuple[Layer, ...]:
    """Convert an ONNX file to OpenVINO IR.

    Args:
        onnx_path: ONNX file to convert.
        out: File to write, ending in ``.xml``. The weights are written next to it as ``.bin``.
        metadata: Text to store under ``rt_info/edgehrnet``.
        half: Whether to store float weights as float16.

    Returns:
        The operations that OpenVINO runs on the CPU after its own optimization.
    """
    ov = _openvino()
    model = ov.convert_model(onnx_path)
    model.set_rt_info(metadata, [METADATA_KEY])
    with new_files(out) as folder:
        ov.save_model(model, folder / out.name, compress_to_fp16=half)
    compiled = ov.Core().compile_model(out, "CPU", _settings("CPU"))
    return executed_layers(compiled)


def executed_layers(compiled: Any) -> tuple[Layer, ...]:
    """List the operations and their precisions of a compiled model."""
    layers = []
    for node in compiled.get_runtime_model().get_ordered_ops():
        info = node.get_rt_info()
        kind, precision = (info[key].astype(str) for key in ("layerType", "runtimePrecision"))
        sources = info["originalLayersNames"].astype(str) if "originalLayersNames" in info else ""
        kernel = info["primitiveType"].astype(str) if "primitiveType" in info else ""
        layers.append(
            Layer(node.get_friendly_name(), kind, precision, tuple(sources.split(",")), _macs(node, kind), kernel)
        )
    return tuple(layers)


def _macs(node: Any, kind: str) -> int:
    """Return the MACs of an operation, 0 if it does not multiply.

    A convolution uses each weight once per output position, and a transposed one once per input position.
    """
    if kind not in ("Convolution", "Deconvolution", "FullyConnected", "MatMul"):
        return 0
    first, second = ([int(side) for side in node.input_value(index).get_shape()] for index in (0, 1))
    output = [int(side) for side in node.get_output_shape(0)]
    if kind == "Convolution":
        return math.prod(output[2:]) * math.prod(second)
    if kind == "Deconvolution":
        return math.prod(first[2:]) * math.prod(second)
    # The summed dimension: either side of the first matrix, as it may be transposed.
    inner = first[-1] if kind == "FullyConnected" else math.prod(first[-2:]) // max(1, output[-2])
    return math.prod(output) * inner


class OpenVINORuntime:
    """Runtime of one IR file compiled for one device. It is thread-safe.

    Devices are ``cpu`` (the default), ``gpu``, ``gpu.1``, ``npu`` and ``auto``.
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
    ) -> None:
        ov = _openvino()
        core = ov.Core()
        core.set_property({"ENABLE_MMAP": False})  # of cached files, see `openvino_file.read`
        name = _device(core, device)
        model, found = read(ov, core, path, digest)
        self._metadata = read_metadata(model)
        reshape(model, path, input_size, open_size)
        self._port = input_port(model, path)
        self._input = self._port.input
        quantized = any(op.get_type_name() == "FakeQuantize" for op in model.get_ops())
        cache = None if cache_dir is None else open_cache(cache_dir, found)
        settings = _settings(name, threads, cache, quantized=quantized)
        try:
            self._compiled = core.compile_model(model, name, settings)
        except FAILURES as error:
            raise ModelFileError(f"{path} cannot be compiled for {name}: {reason(error)}") from None
        if cache is not None:
            seal_cache(cache)
        self._outputs, self._unread = read_outputs(path, self._port.batch, output_types(self._compiled))
        self._shapes = shapes_of(self._outputs)
        self._path, self._device, self._device_name = path, name, _device_name(core, name)
        self._tensor = ov.Tensor
        self._version = ov.__version__.split("-")[0]
        # A caller takes a request from this pool, and waits if there is none. Nothing runs in the background.
        self._requests = max(1, int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")))
        self._pool: queue.Queue[Any] = queue.Queue()
        for _ in range(self._requests):
            self._pool.put(self._compiled.create_infer_request())
        self._closed = False
        self._closing = threading.Lock()

    def run(self, image: Batch) -> dict[str, NDArray[np.float32]]:
        """Run a batch, one picture at a time. The outputs belong to the caller."""
        self._input.check(image)
        # Keep a reference until the end, because a tensor does not keep the memory that it shares alive.
        image = np.ascontiguousarray(image)
        outputs = {name: np.empty((len(image), *shape[1:]), np.float32) for name, shape in self._shapes.items()}
        request = self._take()
        try:
            for n in range(len(image)):
                picture = self._port.array(image[n : n + 1])
                request.set_input_tensor(self._tensor(picture, shared_memory=True))
                for name, port in self._outputs.items():
                    if self._is_direct(port):
                        # The engine writes into the caller's array. This avoids a copy of 4 MB of features.
                        output = self._tensor(outputs[name][n : n + 1], shared_memory=True)
                        request.set_output_tensor(port.index, output)
                request.infer()
                for name, port in self._outputs.items():
                    if not self._is_direct(port):
                        outputs[name][n] = request.get_output_tensor(port.index).data[0]
        except FAILURES as error:
            raise ModelFileError(f"{self._path} fails on {self._device}: {reason(error)}") from None
        finally:
            self._pool.put(request)
        return outputs

    def describe(self) -> Description:
        """Return what is loaded and where it runs."""
        compiled = self._compiled
        if compiled is None:
            raise ClosedError
        devices = compiled.get_property("EXECUTION_DEVICES")
        kinds = Counter(f"{n.type} {n.precision}" for n in executed_layers(compiled))
        settings = {
            "device_name": self._device_name,
            "inference_threads": _property(compiled, "INFERENCE_NUM_THREADS"),
            "inference_precision": _property(compiled, "INFERENCE_PRECISION_HINT"),
            "convolutions": {k.split()[1]: c for k, c in kinds.items() if k.startswith("Convolution ")},
            "outputs_not_read": self._unread,
        }
        return Description(
            engine="openvino",
            version=self._version,
            device=",".join(devices) if isinstance(devices, list | tuple) else str(devices),
            input=self._input,
            outputs=self._shapes,
            metadata=self._metadata,
            settings={key: value for key, value in settings.items() if value},
        )

    def close(self) -> None:
        """Wait for calls in progress, then release the compiled model."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
        for _ in range(self._requests):
            self._pool.get()
        self._pool.put(None)  # wakes a caller that still waits for a request
        self._compiled = None

    def _is_direct(self, port: OutputPort) -> bool:
        """Return whether the engine gives an output as the caller wants it: float32, of one picture."""
        return port.kind == "f32" and self._port.batch == 1

    def _take(self) -> Any:
        """Wait for a free request. Raise ClosedError after close()."""
        if self._closed:
            raise ClosedError
        request = self._pool.get()
        if request is None:
            self._pool.put(None)  # for the next waiting caller
            raise ClosedError
        return request


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
