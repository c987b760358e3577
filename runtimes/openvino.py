"""Build OpenVINO IR files from ONNX, and run them on Intel CPUs, GPUs and NPUs."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes import quirks
from runtimes.base import METADATA_KEY, MODEL_INFO, Batch, Description, Device, Layer
from runtimes.caches import open_cache, seal_cache
from runtimes.cpus import thread_limit
from runtimes.errors import ClosedError, ModelFileError
from runtimes.onnx_external import external_files
from runtimes.openvino_compiled import Compiled
from runtimes.openvino_core import compile_model, new_core, openvino
from runtimes.openvino_devices import checked_device, device_name, property_of, shown_property
from runtimes.openvino_file import read_file, read_metadata
from runtimes.openvino_graph import executed_layers
from runtimes.openvino_ports import FAILURES, input_port, output_types, reason, reshape, resizes
from runtimes.ports import Size, groups, read_outputs, shapes_of
from runtimes.writing import new_files

_SHOWN = ("OPTIMIZATION_CAPABILITIES", "RANGE_FOR_STREAMS")  # properties that most devices have


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
    return save(openvino().convert_model(onnx_path), out, metadata, half=half, info=info)


def save(
    model: Any, out: Path, metadata: str, *, half: bool = False, info: Mapping[str, str] | None = None
) -> tuple[Layer, ...]:
    """Write an openvino.Model as IR. The other arguments and the returned layers are those of `build`."""
    ov = openvino()
    model.set_rt_info(metadata, [METADATA_KEY])
    for key, value in (info or {}).items():
        model.set_rt_info(value, [MODEL_INFO, key])
    with new_files(out) as folder:
        ov.save_model(model, folder / out.name, compress_to_fp16=half)
    return executed_layers(new_core().compile_model(out, "CPU", _settings("CPU")))


def read(path: Path, open_size: Size | None) -> Any:
    """Read an IR or ONNX file as an openvino.Model whose open sizes are set.

    Args:
        path: The file.
        open_size: (height, width) for what the file leaves open.

    Raises:
        ModelFileError: The file cannot be used.
    """
    ov = openvino()
    if path.suffix == ".onnx":
        external_files(path)  # refuses those that lead out of the folder
    try:
        model = read_file(ov, new_core(), path, None)[0] if path.suffix == ".xml" else ov.convert_model(path)
    except RuntimeError as error:
        raise ModelFileError(f"{path} is not usable by OpenVINO: {reason(error)}") from None
    reshape(model, path, None, open_size)
    return model


class OpenVINORuntime:
    """Runtime of one IR file on one device. It is thread-safe.

    Devices are ``cpu`` (the default), ``gpu``, ``gpu.1``, ``npu`` and ``auto``.

    With ``shapes`` above 1, `run` also takes inputs of other sizes. The file is compiled for a size when it is first
    used, and for at most ``shapes`` sizes at a time: the one that was not used for longest is dropped. A file that
    states sides inside its network has its own size only. For a ``batch`` of pictures it is compiled once more.
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
        batch: int = 1,
        fuse: bool = True,
    ) -> None:
        """Open a file. For the arguments, see `runtimes.load`.

        With ``fuse=False``, a CPU runs the quantizers of a file as written, in float.
        """
        ov = openvino()
        self._core = new_core()
        self._name = checked_device(self._core, device)
        self._model, found = read_file(ov, self._core, path, digest)
        self._path, self._tensor = path, ov.Tensor
        self._metadata = read_metadata(self._model, path)
        reshape(self._model, path, input_size, open_size)
        port = input_port(self._model, path)
        self._input = port.input
        self._limit = shapes if shapes == 1 or resizes(self._model, path, port.input.size) else 1
        self._shapes = shapes_of(read_outputs(path, port.batch, output_types(self._model))[0])
        self._batch = batch
        self._check_batch()
        self._cache = None if cache_dir is None else open_cache(cache_dir, found)
        quantized = any(op.get_type_name() == "FakeQuantize" for op in self._model.get_ops())
        self._settings = _settings(self._name, threads, self._cache, quantized=quantized)
        if not fuse:
            self._settings["LP_TRANSFORMS_MODE"] = "NO"
        self._version = ov.__version__.split("-")[0]
        # (height, width, pictures) -> the file compiled for it; the one that was used last at the end
        self._compiled: dict[tuple[int, int, int], Compiled] = {}
        self._lock = threading.Lock()
        self._closed = False
        if self._limit == 1:
            self._compiled_for(self._input.size)

    def run(self, image: Batch) -> dict[str, NDArray[np.float32]]:
        """Run pictures, see ``batch`` of `runtimes.load`. The outputs belong to the caller."""
        size = self._input.check(image, any_size=self._limit > 1)
        full = len(image) - len(image) % self._batch
        if self._batch == 1 or full == 0:
            return self._compiled_for(size).run(image)
        together = self._compiled_for(size, self._batch).run(image[:full])
        if full == len(image):
            return together
        rest = self._compiled_for(size).run(image[full:])
        return {name: np.concatenate([together[name], rest[name]]) for name in together}

    def prepare(self, size: Size, count: int = 1) -> bool:
        """Compile for ``count`` inputs of this size if needed, and return whether it was."""
        needed = {group.stop - group.start for group in groups(max(1, count), self._batch)}
        missing = [number for number in needed if (*size, number) not in self._compiled]
        for number in missing:
            self._compiled_for(size, number)
        return bool(missing)

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
            "device_name": device_name(self._core, self._name),
            "inference_threads": property_of(compiled.model, "INFERENCE_NUM_THREADS"),
            "inference_precision": property_of(compiled.model, "INFERENCE_PRECISION_HINT"),
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

    def _check_batch(self) -> None:
        """Raise ModelFileError unless the file can be reshaped to as many pictures as are to run together."""
        if self._batch == 1:
            return
        try:
            model = self._reshaped(self._input.size, self._batch)
            found = shapes_of(read_outputs(self._path, self._batch, output_types(model))[0])
        except ModelFileError as error:
            raise ModelFileError(f"batch={self._batch}: {error}; leave out batch") from None
        if found != self._shapes:
            raise ModelFileError(f"batch={self._batch}: {self._path} mixes pictures that run together; leave out batch")

    def _reshaped(self, size: Size, count: int) -> Any:
        """Return the model for ``count`` pictures of another size (height, width), or for several pictures."""
        model = self._model.clone()
        reshape(model, self._path, size, None, batch=count if count > 1 else None)
        return model

    def _compiled_for(self, size: Size, count: int = 1) -> Compiled:
        """Return the file compiled for ``count`` pictures of a size (height, width)."""
        key, limit = (*size, count), self._limit * (1 if self._batch == 1 else 2)
        with self._lock:
            if self._closed:
                raise ClosedError
            found = self._compiled.pop(key, None) or self._compile(size, count)
            self._compiled[key] = found
            # A caller that still runs the dropped one holds a reference to it.
            for oldest in list(self._compiled)[:-limit]:
                del self._compiled[oldest]
            return found

    def _compile(self, size: Size, count: int) -> Compiled:
        model = self._model if (size, count) == (self._input.size, 1) else self._reshaped(size, count)
        core = new_core() if self._name == "CPU" else self._core  # a Core takes less than 1 ms on the CPU only
        try:
            compiled = compile_model(core, model, self._name, self._settings)
        except FAILURES as error:
            raise ModelFileError(f"{self._path} cannot be compiled for {self._name}: {reason(error)}") from None
        if self._cache is not None:
            seal_cache(self._cache)
        return Compiled(compiled, input_port(model, self._path), self._path, self._tensor, count)

    def _device_names(self) -> str:
        """Return the devices that run the file, as the engine calls them."""
        if self._name == "CPU":
            return self._name
        found = self._compiled_for(self._input.size).model.get_property("EXECUTION_DEVICES")
        return ",".join(found) if isinstance(found, list | tuple) else str(found)


def devices() -> list[Device]:
    """Return the devices that OpenVINO finds, and AUTO, which chooses among them."""
    core = new_core()
    present = list(core.available_devices)
    found = [
        Device(name.lower(), device_name(core, name), {key: shown_property(core, name, key) for key in _SHOWN})
        for name in present
    ]
    return [*found, Device("auto", f"chooses among {', '.join(present).lower()}")]


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
