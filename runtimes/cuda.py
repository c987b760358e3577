"""Wrap the parts of the CUDA runtime that TensorRT needs, without torch: devices, streams, memory and graphs."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.errors import AbsentDeviceError, MissingExtraError


class CudaError(RuntimeError):
    """A call of the CUDA runtime failed. It never leaves `runtimes`, which converts it to an EdgeHRNetError."""


def _bindings() -> Any:
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise MissingExtraError(
            f"a TensorRT file needs cuda-bindings ({error}); type: pip install 'edgehrnet[tensorrt-rtx]'"
        ) from None
    return runtime


def _checked(cuda: Any, result: tuple[Any, ...]) -> Any:
    """Return the value of a CUDA call's (status, value) result, or raise CudaError."""
    status, *values = result
    if int(status) != 0:
        texts = [call(status)[1].decode() for call in (cuda.cudaGetErrorName, cuda.cudaGetErrorString)]
        raise CudaError(": ".join(texts))
    return values[0] if values else None


def compute_capability(index: int) -> tuple[int, int]:
    """Return the compute capability (major, minor) of GPU ``index``, counted from 0.

    Raises:
        AbsentDeviceError: The GPU or the driver is missing.
    """
    cuda = _bindings()
    try:
        count = _checked(cuda, cuda.cudaGetDeviceCount())
    except CudaError as error:
        raise AbsentDeviceError(
            f"CUDA finds no usable GPU ({error}); TensorRT needs an NVIDIA GPU and its driver"
        ) from None
    if index >= count:
        raise AbsentDeviceError(f"device 'cuda:{index}' is not present; CUDA finds {count} here, counted from cuda:0")
    kinds = cuda.cudaDeviceAttr
    attributes = kinds.cudaDevAttrComputeCapabilityMajor, kinds.cudaDevAttrComputeCapabilityMinor
    major, minor = (_checked(cuda, cuda.cudaDeviceGetAttribute(kind, index)) for kind in attributes)
    return int(major), int(minor)


def device_count() -> int:
    """Return the number of GPUs that CUDA finds, 0 if the driver is missing."""
    cuda = _bindings()
    try:
        return int(_checked(cuda, cuda.cudaGetDeviceCount()))
    except CudaError:
        return 0


def device_name(index: int) -> str:
    """Return the model name of GPU ``index``."""
    cuda = _bindings()
    name: bytes = _checked(cuda, cuda.cudaGetDeviceProperties(index)).name
    return name.decode()


@dataclass(frozen=True)
class Buffer:
    """A tensor in host memory and its copy on the GPU."""

    host: NDArray[Any]
    """Array in pinned host memory, valid until close() of its Stream."""

    device: int
    """Address of the copy in GPU memory."""


class Stream:
    """A CUDA stream that owns buffers and at most one captured graph. It is not thread-safe."""

    def __init__(self, index: int) -> None:
        self._cuda, self._index = _bindings(), index
        self._resources = ExitStack()
        # A finalizer runs exactly once, and also when nobody calls close().
        self.close = weakref.finalize(self, self._resources.close)
        self.activate()
        # This is not the default stream, where work waits for all other streams.
        self._stream = self._call("cudaStreamCreateWithFlags", self._cuda.cudaStreamNonBlocking)
        self._keep("cudaStreamDestroy", self._stream)
        self._graph: Any = None

    @property
    def handle(self) -> int:
        """Stream handle in the form that engines accept."""
        return int(self._stream)

    def activate(self) -> None:
        """Make the GPU the current device of this thread, which CUDA stores per thread."""
        self._call("cudaSetDevice", self._index)

    def allocate(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Buffer:
        """Allocate a row-major tensor on the host, filled with zeros, and memory for its copy on the GPU."""
        count = int(np.prod(shape)) * dtype.itemsize
        device = self._call("cudaMalloc", count)
        self._keep("cudaFree", device)
        address = self._call("cudaMallocHost", count)
        self._keep("cudaFreeHost", address)
        host = np.ctypeslib.as_array((ctypes.c_uint8 * count).from_address(int(address)))
        host[:] = 0
        return Buffer(host.view(dtype).reshape(shape), int(device))

    def upload(self, buffer: Buffer) -> None:
        """Queue the copy from host to device."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", buffer.device, buffer.host.ctypes.data, buffer.host.nbytes, kind, self._stream)

    def download(self, buffer: Buffer) -> None:
        """Queue the copy from device to host."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", buffer.host.ctypes.data, buffer.device, buffer.host.nbytes, kind, self._stream)

    def synchronize(self) -> None:
        """Wait until all queued work is done. Raise CudaError if some of it failed."""
        self._call("cudaStreamSynchronize", self._stream)

    def capture(self, work: Callable[[], None]) -> None:
        """Record the operations that ``work`` queues as a graph, without running them. `replay` runs the graph."""
        # A global capture would forbid other threads to allocate memory meanwhile.
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", self._stream, mode)
        try:
            work()
        finally:
            # If work() fails, the capture must end as well. Until then the stream cannot be used.
            ended = self._cuda.cudaStreamEndCapture(self._stream)
        graph = _checked(self._cuda, ended)
        try:
            self._graph = self._call("cudaGraphInstantiate", graph, 0)
        finally:
            self._call("cudaGraphDestroy", graph)
        self._keep("cudaGraphExecDestroy", self._graph)

    def replay(self) -> None:
        """Queue the captured graph."""
        self._call("cudaGraphLaunch", self._graph, self._stream)

    def _call(self, name: str, *arguments: Any) -> Any:
        return _checked(self._cuda, getattr(self._cuda, name)(*arguments))

    def _keep(self, release: str, resource: Any) -> None:
        # A failed release is ignored, because the memory is freed with the CUDA context anyway.
        self._resources.callback(getattr(self._cuda, release), resource)
