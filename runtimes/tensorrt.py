"""Run TensorRT plans on NVIDIA GPUs. `build` creates them from ONNX files."""

from __future__ import annotations

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
from runtimes.base import Batch, Description, Device, Input, existing_file
from runtimes.caches import open_cache, store
from runtimes.digests import check_digest
from runtimes.errors import ClosedError, DeviceError, ModelFileError
from runtimes.tensorrt_build import ENGINES, RTX, build, engine_name, installed, logger
from runtimes.tensorrt_plan import REBUILD, Sidecar, sha256, sidecar_path

__all__ = ["TensorRTRuntime", "build", "devices", "engine_name", "is_current", "sidecar_path"]


def devices() -> list[Device]:
    """Return the GPUs of this machine that can run plans."""
    installed(*ENGINES)
    capabilities = [cuda.compute_capability(index) for index in range(cuda.device_count())]
    return [
        Device(f"cuda:{index}", cuda.device_name(index), {"compute_capability": f"{major}.{minor}"})
        for index, (major, minor) in enumerate(capabilities)
    ]


class TensorRTRuntime:
    """Runtime of one plan on one GPU. It is thread-safe: concurrent calls take turns.

    Devices are ``cuda`` (the default), ``cuda:1``, ``gpu`` and ``gpu.1``. TensorRT-RTX stores what it compiles for the
    GPU in ``cache_dir``. `tensorrt` compiles when it builds, and uses no cache.
    """

    def __init__(
        self,
        path: Path,
        device: str | None = None,
        *,
        input_size: tuple[int, int] | None = None,
        threads: int | None = None,  # noqa: ARG002 - required by load()
        cache_dir: str | Path | None = None,
        digest: str | None = None,
    ) -> None:
        index = _device_index(device)
        self._sidecar, plan = _read(path, input_size)
        check_digest(path, self._sidecar.plan, digest)
        self._cache_file = _cache_file(path, self._sidecar, cache_dir)
        trt = _engine_of(path, self._sidecar)
        present = cuda.compute_capability(index)
        if present != self._sidecar.compute_capability:
            built = self._sidecar.compute_capability
            raise ModelFileError(
                f"{path} was built for compute capability {built}, but 'cuda:{index}' has {present}; {REBUILD}"
            )
        self._path, self._device = path, f"cuda:{index}"
        self._format = Input.read(path, "u8", self._sidecar.input_shape)
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
        """Run a batch, one picture at a time. The outputs belong to the caller."""
        self._format.check(image)
        with self._lock, self._failing():
            if self._closed:
                raise ClosedError
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

    def prepare(self, size: tuple[int, int], count: int = 1) -> bool:  # noqa: ARG002 - one of the protocol
        """Return False: there is nothing to compile for a size."""
        return False

    def describe(self) -> Description:
        """Return what is loaded and where it runs."""
        if self._closed:
            raise ClosedError
        sidecar = self._sidecar
        return Description(
            sidecar.engine, sidecar.version, self._device, self._format, self._shapes(), sidecar.metadata
        )

    def settings(self) -> dict[str, Any]:
        """Return the GPU, how the plan runs on it, and the precisions of its convolutions."""
        if self._closed:
            raise ClosedError
        sidecar = self._sidecar
        return {
            "device_name": self._device_name,
            "compute_capability": ".".join(map(str, sidecar.compute_capability)),
            "cuda_graph": self._no_graph or "captured",
            "runtime_cache": str(self._cache_file or "none"),
            "convolutions": dict(Counter(layer.precision for layer in sidecar.layers if layer.type == "Convolution")),
        }

    def close(self) -> None:
        """Wait for the call in progress, then release the engine and its memory."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            # The context must be released before its engine, and both before the memory that they use.
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
            raise ModelFileError(f"{trt.__name__} cannot read the plan {self._path}: {log.last()}; {REBUILD}")
        config = cache = None
        if self._cache_file is not None:
            config = engine.create_runtime_config()
            cache = config.create_runtime_cache()
            if self._cache_file.is_file():
                # Returns False for a damaged cache or one of another version, driver or GPU. It is replaced below.
                cache.deserialize(self._cache_file.read_bytes())
            config.set_runtime_cache(cache)
        self._context = engine.create_execution_context(*([] if config is None else [config]))
        self._log, self._kept = log, (runtime, engine, config, cache)
        if self._context is None:
            raise cuda.CudaError(log.last())
        self._bind(trt, engine)
        # The first run compiles the engine. Only an engine that has run can be captured.
        self._enqueue()
        self._stream.synchronize()
        self._no_graph = self._capture()
        if self._cache_file is not None and cache is not None:
            store(self._cache_file, bytes(cache.serialize()))

    def _bind(self, trt: Any, engine: Any) -> None:
        """Allocate memory for every input and output of the engine."""
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
        """Record a run as a CUDA graph. Return None, or the reason why that is not possible."""
        can_capture = getattr(self._context, "is_stream_capturable", None)  # not in `tensorrt`
        if can_capture is not None and not can_capture(self._stream.handle):
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
    """Return whether a plan was built from an ONNX file, by the installed engine, for the GPU of this machine.

    Args:
        plan: TensorRT plan. It need not exist.
        source: ONNX file.

    Raises:
        DeviceError: This machine has no GPU.
        MissingFileError: The ONNX file does not exist.
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
    """Read a plan and its sidecar. Check that they belong together and have the requested input size."""
    sidecar, plan = Sidecar.read(path), path.read_bytes()
    if sha256(plan) != sidecar.plan:
        raise ModelFileError(
            f"{sidecar_path(path)} does not belong to {path.name}, or one of them is damaged; {REBUILD}"
        )
    height, width = sidecar.input_shape[1:3]
    if input_size is not None and tuple(input_size) != (height, width):
        raise ModelFileError(
            f"{path} runs at {height}x{width} only, not at {input_size[0]}x{input_size[1]}; "
            "leave out input_size, or build a plan of that size"
        )
    return sidecar, plan


def _engine_of(path: Path, sidecar: Sidecar) -> Any:
    """Import the module that built a plan. Raise ModelFileError unless its version is the same."""
    if sidecar.engine not in ENGINES:
        raise ModelFileError(f"{sidecar_path(path)} is damaged: unknown engine {sidecar.engine!r}; {REBUILD}")
    trt = installed(sidecar.engine)
    if trt.__version__ != sidecar.version:
        raise ModelFileError(
            f"{path} was built by {sidecar.engine} {sidecar.version}, but {trt.__version__} is installed, "
            f"which cannot run it; {REBUILD}"
        )
    return trt


def _cache_file(path: Path, sidecar: Sidecar, cache_dir: str | Path | None) -> Path | None:
    if cache_dir is None:
        return None
    return open_cache(cache_dir, sidecar.plan) / f"{path.stem}.cache" if sidecar.engine == RTX else None
