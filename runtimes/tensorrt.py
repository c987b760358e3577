"""TensorRT plans on NVIDIA's GPUs; `build` makes them from ONNX."""

from __future__ import annotations

import os
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes import cuda
from runtimes.base import Batch, ClosedError, Description, Device, DeviceError, Input, ModelFileError, existing_file
from runtimes.tensorrt_build import ENGINES, RTX, build, engine_name, installed, logger
from runtimes.tensorrt_plan import REBUILD, Sidecar, sha256, sidecar_path

__all__ = ["TensorRTRuntime", "build", "devices", "engine_name", "is_current", "sidecar_path"]

_CLOSED = "this runtime is closed; load the file again"


def devices() -> list[Device]:
    """Return the GPUs that plans may run on here."""
    installed(*ENGINES)
    capabilities = [cuda.compute_capability(index) for index in range(cuda.device_count())]
    return [
        Device(f"cuda:{index}", cuda.device_name(index), {"compute_capability": f"{major}.{minor}"})
        for index, (major, minor) in enumerate(capabilities)
    ]


class TensorRTRuntime:
    """One plan on one GPU; see Runtime. Safe to call from several threads, which take turns.

    In ``cache_dir``, TensorRT-RTX keeps what it compiled for this GPU; a plan of `tensorrt` has nothing to keep.
    """

    def __init__(
        self,
        path: Path,
        device: str | None = None,
        *,
        input_size: tuple[int, int] | None = None,
        threads: int | None = None,  # noqa: ARG002 - every runtime takes these
        cache_dir: str | Path | None = None,
    ) -> None:
        index = _device_index(device)
        self._sidecar, plan = _read(path, input_size)
        self._cache_file = _cache_file(path, self._sidecar, cache_dir)
        trt = _engine_of(path, self._sidecar)
        present = cuda.compute_capability(index)
        if present != self._sidecar.compute_capability:
            built = self._sidecar.compute_capability
            raise ModelFileError(f"{path} is for compute capability {built}, 'cuda:{index}' has {present}; {REBUILD}")
        self._path, self._device = path, f"cuda:{index}"
        self._reads = Input.read(path, "u8", self._sidecar.input_shape)
        self._lock, self._closed = threading.Lock(), False
        self._context: Any = None
        self._kept: tuple[Any, ...] = ()
        with self._failing():
            self._device_name = cuda.device_name(index)
            self._stream = cuda.Stream(index)
            try:
                self._load(trt, plan)
            except BaseException:
                self.close()
                raise

    def run(self, image: Batch) -> dict[str, NDArray[np.float32]]:
        """Run a batch, one picture after the other; the outputs belong to the caller."""
        self._reads.check(image)
        with self._lock, self._failing():
            if self._closed:
                raise ClosedError(_CLOSED)
            outputs = {name: np.empty((len(image), *shape[1:]), np.float32) for name, shape in self._shapes().items()}
            self._stream.activate()
            for n, picture in enumerate(image):
                self._input.host[0] = picture
                if self._no_graph is None:
                    self._stream.replay()
                else:
                    self._enqueue()
                self._stream.synchronize()
                for name, buffer in self._outputs.items():
                    outputs[name][n] = buffer.host[0]
        return outputs

    def describe(self) -> Description:
        """Say what is loaded and on which device it runs."""
        if self._closed:
            raise ClosedError(_CLOSED)
        sidecar = self._sidecar
        settings = {
            "device_name": self._device_name,
            "compute_capability": ".".join(map(str, sidecar.compute_capability)),
            "cuda_graph": self._no_graph or "captured",
            "runtime_cache": str(self._cache_file or "none"),
            "convolutions": dict(Counter(layer.precision for layer in sidecar.layers if layer.type == "Convolution")),
        }
        return Description(
            sidecar.engine, sidecar.version, self._device, self._reads, self._shapes(), sidecar.metadata, settings
        )

    def close(self) -> None:
        """Release the engine and its memory, once the call in flight has ended."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            # The context goes before its engine, and both before the memory that they use.
            self._context = None
            self._kept = ()
            self._stream.close()

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: buffer.host.shape for name, buffer in self._outputs.items()}

    def _load(self, trt: Any, plan: bytes) -> None:
        log = logger(trt)
        runtime = trt.Runtime(log)
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise ModelFileError(f"{self._path} is no plan that {trt.__name__} can read: {log.last()}; {REBUILD}")
        config = cache = None
        if self._cache_file is not None:
            config = engine.create_runtime_config()
            cache = config.create_runtime_cache()
            if self._cache_file.is_file():
                # Refuses what another version, driver or GPU wrote, or what is damaged; it is replaced below.
                cache.deserialize(self._cache_file.read_bytes())
            config.set_runtime_cache(cache)
        self._context = engine.create_execution_context(*([] if config is None else [config]))
        self._log, self._kept = log, (runtime, engine, config, cache)
        if self._context is None:
            raise cuda.CudaError(log.last())
        self._bind(trt, engine)
        # The first run compiles; only what has run can be captured.
        self._enqueue()
        self._stream.synchronize()
        self._no_graph = self._capture()
        if self._cache_file is not None and cache is not None:
            _replace(self._cache_file, bytes(cache.serialize()))

    def _bind(self, trt: Any, engine: Any) -> None:
        """Give every tensor of the engine its memory."""
        self._outputs: dict[str, cuda.Buffer] = {}
        for name in (engine.get_tensor_name(index) for index in range(engine.num_io_tensors)):
            dtype = np.dtype(trt.nptype(engine.get_tensor_dtype(name)))
            buffer = self._stream.allocate(tuple(engine.get_tensor_shape(name)), dtype)
            if not self._context.set_tensor_address(name, buffer.device):
                raise cuda.CudaError(self._log.last())
            if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT:
                self._input = buffer
            else:
                self._outputs[name] = buffer

    def _enqueue(self) -> None:
        self._stream.upload(self._input)
        if not self._context.execute_async_v3(self._stream.handle):
            raise cuda.CudaError(self._log.last())
        for buffer in self._outputs.values():
            self._stream.download(buffer)

    def _capture(self) -> str | None:
        """Record a run as a CUDA graph; return why that is not possible, None if it was."""
        able = getattr(self._context, "is_stream_capturable", None)  # `tensorrt` has no such question
        if able is not None and not able(self._stream.handle):
            return "none: the engine cannot be captured"
        try:
            self._stream.capture(self._enqueue)
        except cuda.CudaError as error:
            return f"none: {error}"
        return None

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except cuda.CudaError as error:
            raise ModelFileError(f"{self._path} fails on {self._device}: {error}") from None


def is_current(plan: Path, source: Path) -> bool:
    """Whether ``plan`` was built from the ONNX file ``source`` by the engine and for the GPU that are here.

    Raises DeviceError where there is no GPU, MissingFileError without ``source``.
    """
    content, trt = existing_file(source).read_bytes(), installed(*ENGINES)
    here = trt.__name__, trt.__version__, cuda.compute_capability(0), sha256(content)
    try:
        sidecar = Sidecar.read(plan)
    except ModelFileError:
        return False
    return plan.is_file() and here == (sidecar.engine, sidecar.version, sidecar.compute_capability, sidecar.source)


def _device_index(device: str | None) -> int:
    match = re.fullmatch(r"(?:cuda|gpu)(?:[:.](\d+))?", "cuda" if device is None else str(device).lower())
    if match is None:
        raise DeviceError(f"device {device!r}: a TensorRT plan runs on cuda, cuda:1, gpu or gpu.1")
    return int(match[1] or 0)


def _read(path: Path, input_size: tuple[int, int] | None) -> tuple[Sidecar, bytes]:
    """Read a plan and what lies beside it, and compare them with each other and with what is asked for."""
    sidecar, plan = Sidecar.read(path), path.read_bytes()
    if sha256(plan) != sidecar.plan:
        raise ModelFileError(f"{sidecar_path(path)} belongs to another {path.name}, or that is damaged; {REBUILD}")
    height, width = sidecar.input_shape[1:3]
    if input_size is not None and tuple(input_size) != (height, width):
        wanted = "x".join(map(str, input_size))
        raise ModelFileError(f"{path} takes {height}x{width} only; leave out input_size, or {REBUILD} --size {wanted}")
    return sidecar, plan


def _engine_of(path: Path, sidecar: Sidecar) -> Any:
    """The module that a plan was built with, in the same version."""
    if sidecar.engine not in ENGINES:
        raise ModelFileError(f"{sidecar_path(path)} is damaged: no engine {sidecar.engine!r}; {REBUILD}")
    trt = installed(sidecar.engine)
    if trt.__version__ != sidecar.version:
        raise ModelFileError(
            f"{path} was built by {sidecar.engine} {sidecar.version}, which reads no plans of other versions; "
            f"{trt.__version__} is installed; {REBUILD}"
        )
    return trt


def _cache_file(path: Path, sidecar: Sidecar, cache_dir: str | Path | None) -> Path | None:
    if cache_dir is None:
        return None
    return Path(cache_dir) / f"{path.stem}-{sidecar.plan[:16]}.cache" if sidecar.engine == RTX else None


def _replace(path: Path, content: bytes) -> None:
    """Write a file that others may be reading."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    temporary.replace(path)
