"""A fake GPU: replacements for the CUDA runtime and TensorRT that work in host memory."""

import ctypes
from types import SimpleNamespace

import numpy as np
import pytest


class FakeCuda:
    """Replacement for ``cuda.bindings.runtime``. GPU memory is host memory, and queued work runs on synchronize.

    ``calls`` are the names of all calls in order, ``alive`` the resources that were not released yet, and ``fail`` the
    names of calls that return an error.
    """

    def __init__(self, real):
        self.cudaMemcpyKind, self.cudaDeviceAttr = real.cudaMemcpyKind, real.cudaDeviceAttr
        self.cudaStreamCaptureMode, self.cudaStreamNonBlocking = real.cudaStreamCaptureMode, real.cudaStreamNonBlocking
        self.cudaGetErrorName, self.cudaGetErrorString = real.cudaGetErrorName, real.cudaGetErrorString
        self.ok, self.error = real.cudaError_t.cudaSuccess, real.cudaError_t.cudaErrorMemoryAllocation
        self.calls, self.alive, self.fail = [], {}, set()
        self.devices, self.capability, self.current = 1, (8, 6), None
        self.queue, self.captured, self.next = [], None, 1

    def submit(self, work):
        """Queue work on the stream, or record it during a capture."""
        (self.queue if self.captured is None else self.captured).append(work)

    def made(self, value):
        self.next += 1
        self.alive[self.next] = value
        return self.next

    def _call(self, name, *values):
        self.calls.append(name)
        return (self.error, *(None for _ in values)) if name in self.fail else (self.ok, *values)

    def cudaGetDeviceCount(self):  # noqa: N802
        return self._call("cudaGetDeviceCount", self.devices)

    def cudaDeviceGetAttribute(self, kind, index):  # noqa: N802
        major = kind == self.cudaDeviceAttr.cudaDevAttrComputeCapabilityMajor
        return self._call("cudaDeviceGetAttribute", self.capability[0 if major else 1])

    def cudaGetDeviceProperties(self, index):  # noqa: N802
        return self._call("cudaGetDeviceProperties", SimpleNamespace(name=b"NVIDIA Imaginary 1"))

    def cudaSetDevice(self, index):  # noqa: N802
        self.current = index
        return self._call("cudaSetDevice")

    def cudaStreamCreateWithFlags(self, flags):  # noqa: N802
        return self._call("cudaStreamCreateWithFlags", self.made("stream"))

    def _allocate(self, name, size):
        if name in self.fail:
            return self._call(name, None)
        memory = (ctypes.c_uint8 * size)()
        memory[:] = b"\xa5" * size  # real memory is not cleared either
        self.alive[ctypes.addressof(memory)] = memory
        return self._call(name, ctypes.addressof(memory))

    def cudaMalloc(self, size):  # noqa: N802
        return self._allocate("cudaMalloc", size)

    def cudaMallocHost(self, size):  # noqa: N802
        return self._allocate("cudaMallocHost", size)

    def _release(self, name, resource):
        del self.alive[resource]
        return self._call(name)

    def cudaFree(self, address):  # noqa: N802
        return self._release("cudaFree", address)

    def cudaFreeHost(self, address):  # noqa: N802
        return self._release("cudaFreeHost", address)

    def cudaStreamDestroy(self, stream):  # noqa: N802
        return self._release("cudaStreamDestroy", stream)

    def cudaGraphDestroy(self, graph):  # noqa: N802
        return self._release("cudaGraphDestroy", graph)

    def cudaGraphExecDestroy(self, graph):  # noqa: N802
        return self._release("cudaGraphExecDestroy", graph)

    def cudaMemcpyAsync(self, target, source, size, kind, stream):  # noqa: N802
        self.submit(lambda: ctypes.memmove(target, source, size))
        return self._call("cudaMemcpyAsync")

    def cudaStreamSynchronize(self, stream):  # noqa: N802
        assert self.captured is None
        queue, self.queue = self.queue, []
        for work in queue:
            work()
        return self._call("cudaStreamSynchronize")

    def cudaStreamBeginCapture(self, stream, mode):  # noqa: N802
        self.captured = []
        return self._call("cudaStreamBeginCapture")

    def cudaStreamEndCapture(self, stream):  # noqa: N802
        work, self.captured = self.captured, None
        if "cudaStreamEndCapture" in self.fail:
            return self._call("cudaStreamEndCapture", None)
        return self._call("cudaStreamEndCapture", self.made(work))

    def cudaGraphInstantiate(self, graph, flags):  # noqa: N802
        if "cudaGraphInstantiate" in self.fail:
            return self._call("cudaGraphInstantiate", None)
        return self._call("cudaGraphInstantiate", self.made(self.alive[graph]))

    def cudaGraphLaunch(self, graph, stream):  # noqa: N802
        self.queue.extend(self.alive[graph])
        return self._call("cudaGraphLaunch")


class FakeTensorRT:
    """Replacement for ``tensorrt_rtx`` at run time. Its engine returns the channels of the picture, and half of it.

    ``capturable``, ``readable`` and ``able`` say whether the stream can be captured, the plan read, and the engine run.
    """

    def __init__(self, real, cuda):
        self.__name__, self.__version__ = "tensorrt_rtx", real.__version__
        self.ILogger, self.TensorIOMode, self.nptype = real.ILogger, real.TensorIOMode, real.nptype
        data = real.DataType
        self.tensors = {
            "image": ((1, 8, 12, 4), data.UINT8),
            "heatmaps": ((1, 4, 8, 12), data.FLOAT),
            "hf": ((1, 8, 12, 4), data.HALF),
        }
        self.cuda, self.capturable, self.readable, self.able, self.runs = cuda, True, True, True, 0
        self.cache_content, self.cache_given = b"compiled", None

    def Runtime(self, log):  # noqa: N802
        self.log = log
        return SimpleNamespace(deserialize_cuda_engine=self._deserialize)

    def _deserialize(self, plan):
        if not self.readable:
            self.log.log(self.ILogger.ERROR, "the plan is damaged")
            return None
        names = list(self.tensors)
        mode = {"image": self.TensorIOMode.INPUT}
        return SimpleNamespace(
            num_io_tensors=len(names),
            get_tensor_name=lambda index: names[index],
            get_tensor_shape=lambda name: self.tensors[name][0],
            get_tensor_dtype=lambda name: self.tensors[name][1],
            get_tensor_mode=lambda name: mode.get(name, self.TensorIOMode.OUTPUT),
            create_runtime_config=self._config,
            create_execution_context=self._context,
        )

    def _config(self):
        def deserialize(content):
            self.cache_given = content
            return content == self.cache_content

        cache = SimpleNamespace(deserialize=deserialize, serialize=lambda: self.cache_content)
        return SimpleNamespace(create_runtime_cache=lambda: cache, set_runtime_cache=lambda cache: True)

    def _context(self, config=None):
        addresses: dict[str, int] = {}
        return SimpleNamespace(
            set_tensor_address=lambda name, address: addresses.setdefault(name, address) == address,
            execute_async_v3=lambda stream: self._execute(addresses),
            is_stream_capturable=lambda stream: self.capturable,
        )

    def _execute(self, addresses):
        if not self.able:
            self.log.log(self.ILogger.ERROR, "no kernel")
            return False
        self.runs += 1
        self.cuda.calls.append("execute")
        self.cuda.submit(lambda: self._compute({name: self._view(name, addresses[name]) for name in self.tensors}))
        return True

    def _view(self, name, address):
        shape, kind = self.tensors[name]
        dtype = np.dtype(self.nptype(kind))
        size = int(np.prod(shape)) * dtype.itemsize
        return np.frombuffer((ctypes.c_uint8 * size).from_address(address), dtype).reshape(shape)

    @staticmethod
    def _compute(views):
        views["heatmaps"][:] = views["image"].transpose(0, 3, 1, 2)
        views["hf"][:] = views["image"] / 2


@pytest.fixture(scope="session")
def quantized_onnx(checkpoint_model, tmp_path_factory):
    """The exporter's ONNX files of the fake-quantized network: float32 for ONNX Runtime, float16 for TensorRT."""
    import torch

    from edgehrnet.models.checkpoints import load_checkpoint
    from edgehrnet.models.deploy.frozen import freeze
    from quant.files.onnx_file import write_onnx

    folder, checkpoint = tmp_path_factory.mktemp("quantized"), load_checkpoint(checkpoint_model.path)
    files = {}
    for name, target in (("float32", "onnx"), ("float16", "tensorrt")):
        dtype, files[name] = getattr(torch, name), folder / f"{name}.onnx"
        frozen = freeze(checkpoint_model.network, checkpoint.table(target), dtype)
        write_onnx(frozen, checkpoint_model.spec, files[name], dtype)
    return files


@pytest.fixture
def gpu(monkeypatch):
    """A `FakeCuda` that `runtimes.cuda` uses instead of CUDA."""
    fake = FakeCuda(pytest.importorskip("cuda.bindings.runtime"))
    monkeypatch.setattr("runtimes.cuda._bindings", lambda: fake)
    return fake


@pytest.fixture
def tensorrt(gpu, monkeypatch):
    """A `FakeTensorRT` on the fake GPU, which `runtimes.tensorrt` uses instead of TensorRT."""
    fake = FakeTensorRT(pytest.importorskip("tensorrt_rtx"), gpu)
    monkeypatch.setattr("runtimes.tensorrt.installed", lambda *names: fake)
    return fake
