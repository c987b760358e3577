import gc
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from runtimes import cuda
from runtimes.errors import AbsentDeviceError, MissingExtraError


@pytest.fixture
def stream(gpu):
    stream = cuda.Stream(0)
    yield stream
    stream.close()


class TestNames:
    def test_the_cuda_package_has_every_name_that_is_used(self):
        real = pytest.importorskip("cuda.bindings.runtime")
        used = set(re.findall(r"\bcuda[A-Z]\w+", Path(cuda.__file__).read_text()))
        assert len(used) > 15
        enumerations = (real.cudaMemcpyKind, real.cudaDeviceAttr, real.cudaStreamCaptureMode)
        members = {name for kind in enumerations for name in kind.__members__}
        assert {name for name in used if not hasattr(real, name)} <= members

    def test_the_fake_has_the_same_functions_with_as_many_arguments(self, gpu):
        real = pytest.importorskip("cuda.bindings.runtime")
        for name in (name for name in dir(gpu) if name.startswith("cuda") and name[4:5].isupper()):
            call = getattr(gpu, name)
            if hasattr(call, "__func__"):
                signature = re.match(rf"{name}\((.*)\)", getattr(real, name).__doc__)
                assert signature is not None
                arguments = [part for part in signature[1].split(",") if part]
                assert call.__func__.__code__.co_argcount - 1 == len(arguments)

    def test_missing_package(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "cuda.bindings", None)
        with pytest.raises(MissingExtraError, match=r"edgehrnet\[tensorrt-rtx\]"):
            cuda.compute_capability(0)


class TestDevice:
    def test_compute_capability(self, gpu):
        gpu.capability = (12, 0)
        assert cuda.compute_capability(0) == (12, 0)
        assert cuda.device_name(0) == "NVIDIA Imaginary 1"

    def test_absent_device(self, gpu):
        with pytest.raises(AbsentDeviceError, match="cuda:1"):
            cuda.compute_capability(1)

    def test_no_driver(self, gpu):
        gpu.fail = {"cudaGetDeviceCount"}
        with pytest.raises(AbsentDeviceError, match="cudaErrorMemoryAllocation"):
            cuda.compute_capability(0)


class TestStream:
    def test_buffers_are_filled_with_zeros(self, stream):
        buffer = stream.allocate((2, 3), np.dtype(np.float16))
        assert buffer.host.dtype == np.float16
        np.testing.assert_array_equal(buffer.host, np.zeros((2, 3)))

    def test_upload_and_download_copy_on_synchronize(self, stream):
        buffer = stream.allocate((4,), np.dtype(np.int32))
        buffer.host[:] = 1, 2, 3, 4
        stream.upload(buffer)
        stream.synchronize()
        buffer.host[:] = 0
        stream.download(buffer)
        assert not buffer.host.any()
        stream.synchronize()
        assert buffer.host.tolist() == [1, 2, 3, 4]

    def test_capture_records_work_and_replay_runs_it(self, stream, gpu):
        done = []
        stream.capture(lambda: gpu.submit(lambda: done.append(1)))
        stream.synchronize()
        assert done == []
        stream.replay()
        stream.replay()
        stream.synchronize()
        assert done == [1, 1]

    def test_failing_work_ends_the_capture(self, stream, gpu):
        def fail():
            raise cuda.CudaError("stopped")

        with pytest.raises(cuda.CudaError, match=r"^stopped$"):
            stream.capture(fail)
        assert gpu.captured is None
        stream.synchronize()

    def test_a_failing_call_raises_with_its_error_name(self, stream, gpu):
        gpu.fail = {"cudaStreamSynchronize"}
        with pytest.raises(cuda.CudaError, match="cudaErrorMemoryAllocation"):
            stream.synchronize()

    @pytest.mark.parametrize("how", ["closed", "forgotten"])
    def test_everything_is_released_once(self, gpu, how):
        stream = cuda.Stream(0)
        stream.allocate((2, 3), np.dtype(np.float32))
        stream.capture(lambda: None)
        assert (
            len(gpu.alive) == 5 - 1
        )  # stream, two buffers and the executable graph, without the graph it was instantiated from
        if how == "closed":
            stream.close()
            stream.close()
        del stream
        gc.collect()
        assert gpu.alive == {}
        # In reverse order, because later resources depend on earlier ones.
        assert gpu.calls[-4:] == ["cudaGraphExecDestroy", "cudaFreeHost", "cudaFree", "cudaStreamDestroy"]
