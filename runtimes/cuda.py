"""What a TensorRT engine needs of CUDA, without torch: a device, one stream on it, its memory, a captured graph."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.base import AbsentDeviceError, MissingExtraError


class CudaError(RuntimeError):
    """A call of the CUDA runtime failed. Never leaves `runtimes`: the text goes into an error of the common tree."""


def _bindings() -> Any:
    try:
        from cuda.bindings import runtime
    except ImportError as error:
        raise MissingExtraError(
            f"a TensorRT file needs cuda-bindings ({error}); type: pip install 'edgehrnet[tensorrt-rtx]'"
        ) from None
    return runtime


def _checked(cuda: Any, result: tuple[Any, ...]) -> Any:
    """Return what a CUDA call gave beside its status, or raise CudaError."""
    status, *values = result
    if int(status) != 0:
        texts = [call(status)[1].decode() for call in (cuda.cudaGetErrorName, cuda.cudaGetErrorString)]
        raise CudaError(": ".join(texts))
    return values[0] if values else None


def compute_capability(index: int) -> tuple[int, int]:
    """Compute capability (major, minor) of GPU ``index``, counted from 0.

    Raises:
        AbsentDeviceError: there is no such GPU, or no driver.
    """
    cuda = _bindings()
    try:
        count = _checked(cuda, cuda.cudaGetDeviceCount())
    except CudaError as error:
        raise AbsentDeviceError(
            f"CUDA finds no usable GPU ({error}); TensorRT needs one of NVIDIA's and its driver"
        ) from None
    if index >= count:
        raise AbsentDeviceError(f"device 'cuda:{index}' is not present; CUDA finds {count} here, counted from cuda:0")
    kinds = cuda.cudaDeviceAttr
    attributes = kinds.cudaDevAttrComputeCapabilityMajor, kinds.cudaDevAttrComputeCapabilityMinor
    major, minor = (_checked(cuda, cuda.cudaDeviceGetAttribute(kind, index)) for kind in attributes)
    return int(major), int(minor)


def device_count() -> int:
    """How many GPUs CUDA finds, 0 where it finds no driver either."""
    cuda = _bindings()
    try:
        return int(_checked(cuda, cuda.cudaGetDeviceCount()))
    except CudaError:
        return 0


def device_name(index: int) -> str:
    """The model of GPU ``index``."""
    cuda = _bindings()
    name: bytes = _checked(cuda, cuda.cudaGetDeviceProperties(index)).name
    return name.decode()


@dataclass(frozen=True)
class Buffer:
    """The same tensor twice: ``host`` in pinned memory, ``device`` the address of as many bytes on the GPU.

    ``host`` is valid until its Stream is closed.
    """

    host: NDArray[Any]
    device: int


class Stream:
    """A stream on GPU ``index`` that owns buffers and at most one captured graph. Not for several threads at once."""

    def __init__(self, index: int) -> None:
        self._cuda, self._index = _bindings(), index
        self._owned = ExitStack()
        # Also frees when nobody calls close(), and once only.
        self.close = weakref.finalize(self, self._owned.close)
        self.activate()
        # Of its own: work on the default stream waits for all others.
        self._stream = self._call("cudaStreamCreateWithFlags", self._cuda.cudaStreamNonBlocking)
        self._own("cudaStreamDestroy", self._stream)
        self._graph: Any = None

    @property
    def handle(self) -> int:
        """The stream as engines take it."""
        return int(self._stream)

    def activate(self) -> None:
        """Make the GPU current in this thread: CUDA keeps that choice for each thread."""
        self._call("cudaSetDevice", self._index)

    def allocate(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Buffer:
        """Allocate a tensor of zeros, row-major, on the host and as many bytes on the GPU."""
        count = int(np.prod(shape)) * dtype.itemsize
        device = self._call("cudaMalloc", count)
        self._own("cudaFree", device)
        address = self._call("cudaMallocHost", count)
        self._own("cudaFreeHost", address)
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
        """Wait until everything queued is done; raises what failed in it."""
        self._call("cudaStreamSynchronize", self._stream)

    def capture(self, work: Callable[[], None]) -> None:
        """Record what ``work`` queues, without running it, as the graph that `replay` runs."""
        # Thread-local: other threads may meanwhile allocate, which a global capture forbids them.
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", self._stream, mode)
        try:
            work()
        finally:
            # Also when work fails: the stream is of no use before its capture has ended.
            ended = self._cuda.cudaStreamEndCapture(self._stream)
        graph = _checked(self._cuda, ended)
        try:
            self._graph = self._call("cudaGraphInstantiate", graph, 0)
        finally:
            self._call("cudaGraphDestroy", graph)
        self._own("cudaGraphExecDestroy", self._graph)

    def replay(self) -> None:
        """Queue the captured graph."""
        self._call("cudaGraphLaunch", self._graph, self._stream)

    def _call(self, name: str, *arguments: Any) -> Any:
        return _checked(self._cuda, getattr(self._cuda, name)(*arguments))

    def _own(self, release: str, resource: Any) -> None:
        # What cannot be released is lost with its context; nobody could do anything about it.
        self._owned.callback(getattr(self._cuda, release), resource)
