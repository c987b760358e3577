import dataclasses
import errno
import gc
import re
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import runtimes
import runtimes.caches
from quant.files.onnx_file import integer_convolutions
from runtimes.base import METADATA_KEY, Device, Layer
from runtimes.errors import (
    BatchError,
    ClosedError,
    DeviceError,
    MissingExtraError,
    MissingFileError,
    ModelFileError,
)
from runtimes.tensorrt import TensorRTRuntime, build, devices, engine_name, is_current
from runtimes.tensorrt_build import _timings
from runtimes.tensorrt_plan import Sidecar, sha256, sidecar_path

CAPABILITIES = [(7, 5), (8, 6), (8, 9), (12, 0)]
PLAN = b"content of a plan"
LAYERS = (Layer("a", "Convolution", "i8", ("x", "y"), 10), Layer("b", "Convolution", "f16"), Layer("c", "add", "f16"))


def batch(count=1, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 8, 12, 4), dtype=np.uint8)


def store(folder, version, **changes):
    """Write a plan that only the fake TensorRT can read, and its sidecar."""
    path = folder / "corners.engine"
    path.write_bytes(PLAN)
    sidecar = Sidecar("tensorrt_rtx", version, (8, 6), (1, 8, 12, 4), "0" * 64, sha256(PLAN), '{"a": 1}', LAYERS)
    dataclasses.replace(sidecar, **changes).save(path)
    return path


@pytest.fixture
def plan(tensorrt, tmp_path):
    return store(tmp_path, tensorrt.__version__)


@pytest.fixture
def runtime(plan):
    runtime = TensorRTRuntime(plan)
    yield runtime
    runtime.close()


class TestRun:
    def test_outputs_are_those_of_the_engine(self, runtime):
        image = batch()
        outputs = runtime.run(image)
        assert all(array.dtype == np.float32 for array in outputs.values())
        np.testing.assert_array_equal(outputs["heatmaps"], image.transpose(0, 3, 1, 2))
        # Halves of whole numbers up to 255 are exact in float16.
        np.testing.assert_array_equal(outputs["hf"], image / 2)

    def test_a_batch_gives_the_same_as_single_pictures(self, runtime):
        images = batch(3)
        np.testing.assert_array_equal(runtime.run(images)["hf"], images / 2)
        assert runtime.run(images[:0])["hf"].shape == (0, 8, 12, 4)

    def test_outputs_belong_to_the_caller(self, runtime):
        first = runtime.run(batch())
        kept = first["hf"].copy()
        runtime.run(batch(seed=1))
        np.testing.assert_array_equal(first["hf"], kept)

    def test_one_graph_is_captured_and_replayed(self, gpu, tensorrt, runtime):
        copies = ["cudaMemcpyAsync"] * 2
        once = ["cudaMemcpyAsync", "execute", *copies]
        captured = ["cudaStreamBeginCapture", *once, "cudaStreamEndCapture", "cudaGraphInstantiate", "cudaGraphDestroy"]
        assert gpu.calls[-len([*once, *captured]) - 1 :] == [*once, "cudaStreamSynchronize", *captured]
        gpu.calls.clear()
        runtime.run(batch(2))
        assert gpu.calls == ["cudaSetDevice", *["cudaGraphLaunch", "cudaStreamSynchronize"] * 2]
        assert tensorrt.runs == 2
        assert runtime.settings()["cuda_graph"] == "captured"

    @pytest.mark.parametrize("failing", ["engine", "cudaStreamEndCapture", "cudaGraphInstantiate"])
    def test_runs_without_a_graph_if_capture_fails(self, gpu, tensorrt, plan, failing):
        tensorrt.capturable = failing != "engine"
        gpu.fail = {failing}
        runtime = TensorRTRuntime(plan)
        expected = (
            "the engine cannot be captured" if failing == "engine" else "cudaErrorMemoryAllocation: out of memory"
        )
        assert runtime.settings()["cuda_graph"] == f"none: {expected}"
        images = batch(2)
        np.testing.assert_array_equal(runtime.run(images)["hf"], images / 2)
        assert "cudaGraphLaunch" not in gpu.calls
        runtime.close()
        assert gpu.alive == {}

    @pytest.mark.parametrize("image", [batch()[0], batch()[:, :4], batch()[..., :3], batch().astype(np.float32)])
    def test_refuses_arrays_of_another_shape_or_type(self, runtime, image):
        with pytest.raises(BatchError, match=r"uint8 \[N, 8, 12, 4\]"):
            runtime.run(image)

    def test_failure_of_the_gpu_raises_our_error(self, gpu, runtime):
        gpu.fail = {"cudaStreamSynchronize"}
        with pytest.raises(ModelFileError, match=r"cuda:0.*cudaErrorMemoryAllocation"):
            runtime.run(batch())
        gpu.fail = set()
        np.testing.assert_array_equal(runtime.run(batch())["hf"], batch() / 2)

    def test_concurrent_calls_take_turns_on_the_device(self, gpu, plan):
        gpu.devices = 2
        runtime = TensorRTRuntime(plan, "cuda:1")
        images = [batch(seed=seed) for seed in range(12)]
        gpu.current = None
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(runtime.run, images))
        for ours, image in zip(found, images, strict=True):
            np.testing.assert_array_equal(ours["hf"], image / 2)
        assert gpu.current == 1
        runtime.close()


class TestDescribe:
    def test_describes_the_loaded_plan(self, runtime, tensorrt):
        described = runtime.describe()
        assert (described.engine, described.version) == ("tensorrt_rtx", tensorrt.__version__)
        assert (described.device, described.input_size) == ("cuda:0", (8, 12))
        assert described.outputs == {"heatmaps": (1, 4, 8, 12), "hf": (1, 8, 12, 4)}
        assert described.metadata == '{"a": 1}'
        assert runtime.settings() == {
            "device_name": "NVIDIA Imaginary 1",
            "compute_capability": "8.6",
            "cuda_graph": "captured",
            "runtime_cache": "none",
            "convolutions": {"i8": 1, "f16": 1},
        }


class TestClose:
    def test_everything_is_released_once(self, gpu, runtime):
        assert gpu.alive
        runtime.close()
        runtime.close()
        assert gpu.alive == {}
        for use in (lambda: runtime.run(batch()), runtime.describe):
            with pytest.raises(ClosedError):
                use()

    def test_a_deleted_runtime_releases_everything(self, gpu, plan):
        TensorRTRuntime(plan)
        gc.collect()
        assert gpu.alive == {}

    @pytest.mark.parametrize("failing", ["cudaMalloc", "cudaMallocHost", "cudaStreamSynchronize", "read", "run"])
    def test_failing_load_releases_everything(self, gpu, tensorrt, plan, failing):
        gpu.fail, tensorrt.readable, tensorrt.able = {failing}, failing != "read", failing != "run"
        reason = {"read": "the plan is damaged", "run": "no kernel"}  # as the fake engine logs it
        with pytest.raises(ModelFileError, match=reason.get(failing, "cudaErrorMemoryAllocation")):
            TensorRTRuntime(plan)
        assert gpu.alive == {}

    def test_close_waits_for_the_call_in_progress(self, gpu, runtime, monkeypatch):
        running, go = threading.Event(), threading.Event()
        wait = gpu.cudaStreamSynchronize

        def slow(stream):
            running.set()
            go.wait()
            return wait(stream)

        monkeypatch.setattr(gpu, "cudaStreamSynchronize", slow)
        with ThreadPoolExecutor(2) as pool:
            result = pool.submit(runtime.run, batch())
            running.wait()
            closing = pool.submit(runtime.close)
            assert gpu.alive
            go.set()
            np.testing.assert_array_equal(result.result()["hf"], batch() / 2)
            closing.result()
        assert gpu.alive == {}


class TestDevice:
    @pytest.mark.parametrize(
        ("device", "index"), [(None, 0), ("cuda", 0), ("CUDA:1", 1), ("gpu", 0), ("gpu.1", 1), ("cuda:0", 0)]
    )
    def test_accepts_names_of_nvidia_gpus(self, gpu, plan, device, index):
        gpu.devices = 2
        runtime = TensorRTRuntime(plan, device)
        assert runtime.describe().device == f"cuda:{index}"
        assert gpu.current == index
        runtime.close()

    @pytest.mark.parametrize("device", ["cpu", "npu", "auto", "", 0, "cuda:", "cuda:x", "gpu.0.1"])
    def test_refuses_unknown_devices(self, plan, device):
        with pytest.raises(DeviceError, match=repr(device)):
            TensorRTRuntime(plan, device)

    def test_refuses_an_absent_gpu(self, plan):
        with pytest.raises(DeviceError, match="cuda:3"):
            TensorRTRuntime(plan, "gpu.3")

    def test_lists_all_gpus(self, gpu, tensorrt):
        gpu.devices = 2
        properties = {"compute_capability": "8.6"}
        assert devices() == [Device(f"cuda:{index}", "NVIDIA Imaginary 1", properties) for index in range(2)]
        gpu.fail = {"cudaGetDeviceCount"}
        assert devices() == []

    def test_refuses_to_load_without_a_gpu(self, tmp_path):
        trt = pytest.importorskip("tensorrt_rtx")
        cuda = pytest.importorskip("cuda.bindings.runtime")
        if cuda.cudaGetDeviceCount()[0] == cuda.cudaError_t.cudaSuccess:
            pytest.skip("there is a GPU here")
        with pytest.raises(DeviceError, match="cudaError"):
            TensorRTRuntime(store(tmp_path, trt.__version__))


class TestMismatch:
    """All but the last are detected before the GPU is needed."""

    def test_refuses_another_input_size(self, plan):
        with pytest.raises(ModelFileError, match=r"8x12.*16x24"):
            TensorRTRuntime(plan, input_size=(16, 24))
        TensorRTRuntime(plan, input_size=(8, 12)).close()

    def test_refuses_another_version_of_the_engine(self, tensorrt, tmp_path):
        path = store(tmp_path, "1.0.0.1")
        with pytest.raises(ModelFileError, match=rf"1\.0\.0\.1.*{tensorrt.__version__}"):
            TensorRTRuntime(path)

    def test_refuses_the_sidecar_of_another_plan(self, plan):
        plan.write_bytes(PLAN + b"!")
        with pytest.raises(ModelFileError, match=r"corners\.engine\.json"):
            TensorRTRuntime(plan)

    def test_refuses_a_plan_without_a_sidecar(self, plan):
        sidecar_path(plan).unlink()
        with pytest.raises(ModelFileError, match=r"corners\.engine\.json"):
            TensorRTRuntime(plan)

    def test_refuses_an_unknown_engine(self, tensorrt, tmp_path):
        with pytest.raises(ModelFileError, match="'os'"):
            TensorRTRuntime(store(tmp_path, "1", engine="os"))

    def test_missing_engine_names_its_extra(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "tensorrt", None)
        with pytest.raises(MissingExtraError, match=r"edgehrnet\[tensorrt\]"):
            TensorRTRuntime(store(tmp_path, "11.4", engine="tensorrt"))

    def test_refuses_another_gpu(self, gpu, plan):
        gpu.capability = (8, 9)
        with pytest.raises(ModelFileError, match=r"\(8, 6\).*'cuda:0'.*\(8, 9\)"):
            TensorRTRuntime(plan)
        assert gpu.alive == {}


class TestCache:
    def test_compiled_kernels_are_saved_and_loaded_again(self, tensorrt, plan, tmp_path):
        folder = tmp_path / "cache"
        folder.mkdir()
        for given in (None, b"compiled", b"compiled"):
            tensorrt.cache_given = None
            runtime = TensorRTRuntime(plan, cache_dir=folder)
            assert tensorrt.cache_given == given
            (kept,) = folder.glob("*/*.cache")
            assert runtime.settings()["runtime_cache"] == str(kept)
            assert kept.read_bytes() == b"compiled"
            runtime.close()

    def test_a_cache_that_the_engine_refuses_is_replaced(self, tensorrt, plan, tmp_path):
        TensorRTRuntime(plan, cache_dir=tmp_path).close()
        (kept,) = tmp_path.glob("*/*.cache")
        runtimes.caches.store(kept, b"of another driver")
        TensorRTRuntime(plan, cache_dir=tmp_path).close()
        assert tensorrt.cache_given == b"of another driver"
        assert kept.read_bytes() == b"compiled"

    def test_a_damaged_cache_does_not_reach_the_engine(self, tensorrt, plan, tmp_path):
        TensorRTRuntime(plan, cache_dir=tmp_path).close()
        (kept,) = tmp_path.glob("*/*.cache")
        kept.write_bytes(b"compilet")
        TensorRTRuntime(plan, cache_dir=tmp_path).close()
        assert tensorrt.cache_given is None
        assert kept.read_bytes() == b"compiled"

    def test_a_full_disk_for_the_cache_is_no_error(self, tensorrt, plan, tmp_path, monkeypatch):
        def fail(*args):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr("runtimes.writing._sync", fail)
        TensorRTRuntime(plan, cache_dir=tmp_path).close()
        assert list(tmp_path.glob("*/*")) == []

    def test_refuses_a_folder_that_is_not_writable(self, tensorrt, plan, tmp_path, monkeypatch):
        for folder in (tmp_path / "none", plan):
            with pytest.raises(ModelFileError, match=rf"cache_dir .*{folder.name}"):
                runtimes.load(plan, cache_dir=folder)
        monkeypatch.setattr("runtimes.os.access", lambda path, mode: False)
        with pytest.raises(ModelFileError, match=rf"cache_dir .*{tmp_path.name}"):
            runtimes.load(plan, cache_dir=tmp_path)


class TestNames:
    """Names of TensorRT-RTX, which the fake cannot check."""

    def test_the_package_has_every_name_that_is_used(self):
        trt = pytest.importorskip("tensorrt_rtx")
        used = {
            trt.Runtime: "deserialize_cuda_engine",
            trt.ICudaEngine: "num_io_tensors get_tensor_name get_tensor_shape get_tensor_dtype get_tensor_mode "
            "create_runtime_config create_execution_context create_engine_inspector",
            trt.IRuntimeConfig: "create_runtime_cache set_runtime_cache",
            trt.IRuntimeCache: "serialize deserialize",
            trt.IExecutionContext: "set_tensor_address execute_async_v3 is_stream_capturable",
            trt.EngineInspector: "get_engine_information",
            trt.TensorIOMode: "INPUT OUTPUT",
            trt.LayerInformationFormat: "JSON",
            trt.ProfilingVerbosity: "DETAILED",
            trt.IBuilderConfig: "profiling_verbosity create_timing_cache set_timing_cache get_timing_cache",
            trt.ITimingCache: "serialize",
        }
        for owner, names in used.items():
            assert [name for name in names.split() if not hasattr(owner, name)] == []
        # The configuration is a positional argument.
        assert "(self: tensorrt_rtx_bindings.tensorrt_rtx.ICudaEngine, runtime_config: " in (
            trt.ICudaEngine.create_execution_context.__doc__
        )


class TestBuild:
    @pytest.mark.parametrize("capability", CAPABILITIES, ids=lambda pair: "sm{}{}".format(*pair))
    def test_int8_network(self, quantized_onnx, tmp_path, capability):
        pytest.importorskip("tensorrt_rtx")
        source, out = quantized_onnx["float16"], tmp_path / "corners.engine"
        layers = build(source, out, "{}", compute_capability=capability)
        convolutions = [layer for layer in layers if layer.type == "Convolution"]
        ours = sum(node.op_type == "Conv" for node in onnx.load(source).graph.node)
        integers = integer_convolutions(source)
        assert integers == ours - 2  # the heads stay float
        if capability == (7, 5):
            integers = 0  # NVIDIA's support matrix: TensorRT-RTX has no INT8 on Turing
        found = Counter(layer.precision for layer in convolutions)
        assert found == +Counter({"i8": integers, "f16": ours - integers})
        sidecar = Sidecar.read(out)
        assert sidecar.layers == layers
        assert (sidecar.engine, sidecar.compute_capability) == (engine_name(), capability)
        assert sidecar.input_shape == (1, 64, 96, 4)
        assert sidecar.source == sha256(source.read_bytes())
        assert sidecar.plan == sha256(out.read_bytes())

    def test_float16_convolution(self, tmp_path):
        pytest.importorskip("tensorrt_rtx")
        transpose = helper.make_node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2])
        convolution = helper.make_node("Conv", ["t", "w"], ["y"], name="conv")
        weights = "w", np.ones((8, 4, 3, 3), np.float16)
        nodes, half = (cast(TensorProto.FLOAT16), transpose, convolution), TensorProto.FLOAT16
        source = tiny(tmp_path / "a.onnx", *nodes, gives=half, constants=[weights])
        layers = build(source, tmp_path / "a.engine", "{}", compute_capability=(8, 6))
        assert [layer.precision for layer in layers if layer.type == "Convolution"] == ["f16"]


def tiny(path, *nodes, shape=(1, 8, 12, 4), kind=TensorProto.UINT8, gives=TensorProto.FLOAT, constants=()):
    """Save a network that computes the nodes from ``image``."""
    ends = (
        [helper.make_tensor_value_info("image", kind, shape)],
        [helper.make_tensor_value_info(nodes[-1].output[0], gives, None)],
    )
    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants]
    graph = helper.make_graph(nodes, "g", *ends, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return path


def cast(to=TensorProto.FLOAT):
    return helper.make_node("Cast", ["image"], ["x"], name="cast", to=to)


class TestFiles:
    @pytest.fixture(autouse=True)
    def _engine(self):
        pytest.importorskip("tensorrt_rtx")

    def check_refused(self, path, text, **options):
        out = path.with_suffix(".engine")
        with pytest.raises(ModelFileError, match=text):
            build(path, out, "{}", compute_capability=(8, 6), **options)
        assert not out.exists()

    def quantized(self, path, zero_point):
        names = ["s", "z"]
        quantize = helper.make_node("QuantizeLinear", ["x", *names], ["q"], name="round")
        constants = ("s", np.float32(1)), ("z", zero_point)
        return tiny(
            path, cast(), quantize, helper.make_node("DequantizeLinear", ["q", *names], ["y"]), constants=constants
        )

    def test_refuses_a_zero_point_other_than_zero(self, tmp_path):
        self.check_refused(self.quantized(tmp_path / "a.onnx", np.int8(3)), "QuantizeLinear 'round'")
        path = self.quantized(tmp_path / "b.onnx", np.int8(0))
        build(path, path.with_suffix(".engine"), "{}", compute_capability=(8, 6))

    def test_refuses_uint8_even_with_a_zero_point_of_zero(self, tmp_path):
        # TensorRT would read it as int8 and only warn.
        self.check_refused(self.quantized(tmp_path / "a.onnx", np.uint8(0)), "uint8")

    def test_refuses_an_unknown_operator(self, tmp_path):
        path = tiny(tmp_path / "a.onnx", cast(), helper.make_node("Teleport", ["x"], ["y"], name="beam", domain="x"))
        self.check_refused(path, "Teleport 'beam'")

    @pytest.mark.parametrize("content", [b"", b"hello", b"\0\1\2\xff" * 99])
    def test_other_content_raises_without_printing(self, tmp_path, content, capfd):
        (tmp_path / "a.onnx").write_bytes(content)
        self.check_refused(tmp_path / "a.onnx", r"a\.onnx")
        assert capfd.readouterr() == ("", "")

    @pytest.mark.parametrize(
        ("kind", "shape", "text"),
        [
            (TensorProto.FLOAT, (1, 8, 12, 4), "FLOAT"),
            (TensorProto.UINT8, (1, 8, 12, 2), r"u8 \[1, 8, 12, 2\]"),
            (TensorProto.UINT8, (2, 8, 12, 4), r"u8 \[2, 8, 12, 4\]"),
            (TensorProto.UINT8, (1, "h", 12, 4), r"a\.onnx"),
        ],
    )
    def test_refuses_unsupported_inputs(self, tmp_path, kind, shape, text):
        self.check_refused(tiny(tmp_path / "a.onnx", cast(), shape=shape, kind=kind), text)

    def test_refuses_unsupported_outputs(self, tmp_path):
        path = tiny(
            tmp_path / "a.onnx",
            cast(),
            helper.make_node("Cast", ["x"], ["y"], to=TensorProto.INT32),
            gives=TensorProto.INT32,
        )
        self.check_refused(path, "float32.*float16")

    def test_refuses_a_timing_cache(self, tmp_path):
        self.check_refused(tiny(tmp_path / "a.onnx", cast()), "timing_cache", timing_cache=tmp_path / "t")

    @pytest.mark.parametrize("wanted", [(9, 0), (8, 60), "8.6"])
    def test_refuses_a_gpu_that_the_engine_does_not_build_for(self, tmp_path, wanted):
        path = tiny(tmp_path / "a.onnx", cast())
        with pytest.raises(DeviceError, match=rf"{re.escape(repr(wanted))}.*\(7, 5\), .*\(8, 6\)"):
            build(path, tmp_path / "a.engine", "{}", compute_capability=wanted)

    def test_builds_for_the_present_gpu_by_default(self, tmp_path, gpu):
        path, out = tiny(tmp_path / "a.onnx", cast()), tmp_path / "a.engine"
        gpu.capability = (8, 9)
        build(path, out, "{}")
        assert Sidecar.read(out).compute_capability == (8, 9)

    @pytest.mark.parametrize("stored", [None, "é", ""])
    def test_metadata_is_that_of_the_source_unless_given(self, tmp_path, stored):
        path, out = tiny(tmp_path / "a.onnx", cast()), tmp_path / "a.engine"
        model = onnx.load(path)
        if stored is not None:
            helper.set_model_props(model, {METADATA_KEY: stored})
        onnx.save(model, path)
        build(path, out, compute_capability=(8, 6))
        assert Sidecar.read(out).metadata == stored
        build(path, out, "other", compute_capability=(8, 6))
        assert Sidecar.read(out).metadata == "other"

    def test_refuses_to_build_without_a_gpu_or_a_compute_capability(self, tmp_path, gpu):
        gpu.fail = {"cudaGetDeviceCount"}
        with pytest.raises(DeviceError, match="compute_capability="):
            build(tiny(tmp_path / "a.onnx", cast()), tmp_path / "a.engine", "{}")


class TestClassic:
    """The parts of `tensorrt` that work without a GPU."""

    def test_builds_only_for_the_present_gpu(self, gpu, tmp_path, monkeypatch):
        (tmp_path / "a.onnx").write_bytes(b"graph")
        engine = SimpleNamespace(__name__="tensorrt")
        monkeypatch.setattr("runtimes.tensorrt_build.installed", lambda *names: engine)
        with pytest.raises(DeviceError, match=r"\(8, 6\).*\(8, 9\)"):
            build(tmp_path / "a.onnx", tmp_path / "a.engine", "{}", compute_capability=(8, 9))
        gpu.fail = {"cudaGetDeviceCount"}
        with pytest.raises(DeviceError, match="cudaError"):
            build(tmp_path / "a.onnx", tmp_path / "a.engine", "{}", compute_capability=(8, 9))

    @pytest.mark.parametrize("before", [None, b"measured", b"of another GPU"])
    def test_timing_cache_is_loaded_and_saved(self, tmp_path, before):
        path, given = tmp_path / "timings", []
        if before is not None:
            path.write_bytes(before)
        config = SimpleNamespace(
            create_timing_cache=lambda content: given.append(content),
            set_timing_cache=lambda cache, ignore_mismatch: before != b"of another GPU",
            get_timing_cache=lambda: SimpleNamespace(serialize=lambda: b"measured again"),
        )
        if before == b"of another GPU":
            with pytest.raises(ModelFileError, match="timings"):
                _timings(config, path).__enter__()
            return
        with _timings(config, path):
            assert given == [before or b""]
        assert path.read_bytes() == b"measured again"


def test_missing_engines_name_both_extras(tmp_path, monkeypatch):
    for name in ("tensorrt_rtx", "tensorrt"):
        monkeypatch.setitem(sys.modules, name, None)
    text = r"edgehrnet\[tensorrt-rtx\].*edgehrnet\[tensorrt\]"
    (tmp_path / "a.onnx").write_bytes(b"graph")
    with pytest.raises(MissingExtraError, match=text):
        build(tmp_path / "a.onnx", tmp_path / "a.engine", "{}")


class TestIsCurrent:
    """A plan is built from one ONNX file by one engine for one kind of GPU."""

    @pytest.fixture
    def source(self, tmp_path):
        path = tmp_path / "corners.tensorrt.onnx"
        path.write_bytes(b"graph")
        return path

    def test_current_if_everything_is_the_same(self, tensorrt, source, tmp_path):
        assert is_current(store(tmp_path, tensorrt.__version__, source=sha256(b"graph")), source)

    @pytest.mark.parametrize(
        "change",
        [{"source": "0" * 64}, {"version": "0.1"}, {"compute_capability": (7, 5)}, {"engine": "tensorrt"}],
        ids=str,
    )
    def test_not_current_if_anything_differs(self, tensorrt, source, tmp_path, change):
        given = {"version": tensorrt.__version__, "source": sha256(b"graph"), **change}
        assert not is_current(store(tmp_path, given.pop("version"), **given), source)

    def test_not_current_without_a_plan_or_a_sidecar(self, tensorrt, source, tmp_path):
        assert not is_current(tmp_path / "none.engine", source)
        plan = store(tmp_path, tensorrt.__version__, source=sha256(b"graph"))
        plan.unlink()
        assert not is_current(plan, source)

    def test_raises_without_an_onnx_file(self, tensorrt, tmp_path):
        plan = store(tmp_path, tensorrt.__version__)
        with pytest.raises(MissingFileError):
            is_current(plan, tmp_path / "none.onnx")


def test_a_missing_onnx_file_is_named(tmp_path):
    pytest.importorskip("tensorrt_rtx")
    with pytest.raises(MissingFileError, match=r"none\.onnx"):
        build(tmp_path / "none.onnx", tmp_path / "a.engine", "{}")
