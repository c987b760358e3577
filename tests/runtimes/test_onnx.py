"""ONNX files: how they are built, run and refused. The common contract is in test_contract.py."""

import hashlib
import os
import shutil
import sys
from collections import Counter
from functools import partial
from types import SimpleNamespace

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

import runtimes
import runtimes.openvino
from edgehrnet import Predictor
from edgehrnet.models.inspection.counting import TOTAL, count
from quant.files.onnx_file import integer_convolutions
from runtimes.base import METADATA_KEY
from runtimes.errors import DeviceError, MissingExtraError, ModelFileError, WriteError
from runtimes.onnx import _session_options, build, devices, executed_layers
from runtimes.onnx_external import external_files
from runtimes.onnx_providers import CPU, CUDA, OPENVINO, TENSORRT

PACKAGES = {CUDA: "onnxruntime-gpu", TENSORRT: "onnxruntime-gpu", OPENVINO: "onnxruntime-openvino"}


def foreign(path, nodes=None, *, shape=(1, 64, 96, 4), given=TensorProto.UINT8, gives=TensorProto.FLOAT, inputs=1):
    """Save a file of another project: a network that casts its input."""
    images = [helper.make_tensor_value_info(f"image{n}", given, shape) for n in range(inputs)]
    output = helper.make_tensor_value_info("heatmaps", gives, shape)
    nodes = nodes or [helper.make_node("Cast", ["image0"], ["heatmaps"], to=gives)]
    graph = helper.make_graph(nodes, "foreign", images, [output])
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def exported(onnx_model):
    """The exporter's file, before `build`."""
    return onnx_model.path.with_name("exported.onnx")


@pytest.fixture(params=["float32", "float16"])
def integer_file(request, quantized_onnx):
    """The exporter's file of the fake-quantized network."""
    return quantized_onnx[request.param]


def integer_on_cpu(path):
    """Count the convolutions that the CPU can run on integers: those directly between two quantizers.

    Most convolutions are followed by an activation instead.
    """
    nodes = onnx.load(path).graph.node
    consumers = Counter(name for node in nodes for name in node.input)
    producers = {node.output[0]: node for node in nodes}
    found = 0
    for node in nodes:
        source = producers.get(node.input[0]) if node.op_type == "QuantizeLinear" else None
        if source is not None and source.op_type == "Conv" and consumers[node.input[0]] == 1:
            found += producers[source.input[0]].op_type == "DequantizeLinear"
    return found


class TestBuild:
    def test_writes_a_single_file_with_metadata(self, onnx_model, tmp_path):
        shutil.copy(onnx_model.path, tmp_path / "alone.onnx")
        model = onnx.load(tmp_path / "alone.onnx", load_external_data=False)
        assert [entry.key for entry in model.metadata_props] == [METADATA_KEY]
        assert not any(tensor.external_data for tensor in model.graph.initializer)
        assert runtimes.load(tmp_path / "alone.onnx").describe().metadata == model.metadata_props[0].value

    def test_metadata_is_stored_unchanged(self, exported, tmp_path):
        build(exported, tmp_path / "a.onnx", '{"name": "Übung\n✓"}')
        assert runtimes.load(tmp_path / "a.onnx").describe().metadata == '{"name": "Übung\n✓"}'

    def test_removes_paths_of_the_exporting_machine(self, exported, onnx_model):
        # The exporter stores a stack trace of every node, 6 % of the file.
        assert b"stack_trace" in exported.read_bytes()
        content = onnx_model.path.read_bytes()
        assert b"stack_trace" not in content
        assert b".py" not in content

    def test_a_float_network_has_float_layers(self, exported, onnx_model, tmp_path):
        layers = build(exported, tmp_path / "a.onnx", "{}")
        convolutions = [layer for layer in layers if layer.type == "Convolution"]
        assert {layer.precision for layer in convolutions} == {"f32"}
        assert len({layer.name for layer in convolutions}) == len(convolutions)
        assert sum(layer.macs for layer in layers) == count(onnx_model.network, (64, 96))[TOTAL].macs
        assert not any(layer.macs for layer in layers if layer.type != "Convolution")

    def test_integer_layers_are_those_that_run_on_integers(self, integer_file, checkpoint_model, tmp_path):
        layers = build(integer_file, tmp_path / "a.onnx", "{}")
        found = Counter(layer.precision for layer in layers if layer.type == "Convolution")
        convolutions = sum(node.op_type == "Conv" for node in onnx.load(integer_file).graph.node)
        # None with float16 scales; there, the CPU runs the convolutions in float32.
        expected = integer_on_cpu(integer_file) if "float32" in integer_file.name else 0
        assert (found["u8"], found["f32"]) == (expected, convolutions - expected)
        assert expected in (0, integer_convolutions(integer_file))
        assert sum(layer.macs for layer in layers) == count(checkpoint_model.network, (64, 96))[TOTAL].macs

    def test_the_integer_file_runs(self, integer_file, checkpoint_model, tmp_path):
        build(integer_file, tmp_path / "a.onnx", "{}")
        image = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 4), dtype=np.uint8)
        image[..., 3] = 255
        target = "onnx" if "float32" in integer_file.name else "tensorrt"
        with Predictor(checkpoint_model.path, target=target) as predictor:
            expected = predictor._runtime.run(image)
        # Two correct engines differ by less than the rounding itself, a quarter of the signal at most.
        for name, array in runtimes.load(tmp_path / "a.onnx").run(image).items():
            assert array.dtype == np.float32
            assert np.sqrt(np.mean((array - expected[name]) ** 2)) < 0.25 * np.sqrt(np.mean(expected[name] ** 2))

    def test_refuses_operators_outside_the_standard(self, tmp_path):
        node = helper.make_node("Gelu", ["image0"], ["heatmaps"], domain="com.microsoft")
        path = foreign(tmp_path / "a.onnx", [node], given=TensorProto.FLOAT)
        model = onnx.load(path)
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
        onnx.save_model(model, path)
        with pytest.raises(ModelFileError, match=r"com\.microsoft"):
            build(path, tmp_path / "b.onnx", "{}")
        assert not (tmp_path / "b.onnx").exists()

    @pytest.mark.parametrize("content", [b"", b"hello"])
    def test_refuses_other_files(self, tmp_path, content):
        (tmp_path / "a.onnx").write_bytes(content)
        with pytest.raises(ModelFileError, match=r"a\.onnx"):
            build(tmp_path / "a.onnx", tmp_path / "b.onnx", "{}")

    def test_refuses_inconsistent_shapes(self, tmp_path):
        node = helper.make_node("Transpose", ["image0"], ["heatmaps"], perm=[0, 3, 1, 2])
        path = foreign(tmp_path / "a.onnx", [node], given=TensorProto.FLOAT)
        with pytest.raises(ModelFileError, match=r"a\.onnx"):
            build(path, tmp_path / "b.onnx", "{}")

    def test_missing_onnx_package_names_its_extra(self, exported, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "onnx", None)
        with pytest.raises(MissingExtraError, match=r"edgehrnet\[train\]"):
            build(exported, tmp_path / "a.onnx", "{}")


class TestDescribe:
    def test_describes_the_loaded_file(self, onnx_model):
        runtime = runtimes.load(onnx_model.path)
        described, settings = runtime.describe(), runtime.settings()
        assert (described.engine, described.version) == ("onnxruntime", onnxruntime.__version__)
        assert described.device == "CPU"
        nodes = len(onnx.load(onnx_model.path).graph.node)
        # Constants are folded before nodes are counted, other nodes are fused later.
        assert settings["nodes"].keys() == {CPU}
        assert 0.5 * nodes < settings["nodes"][CPU] <= nodes

    def test_threads_come_from_the_argument_or_the_quota(self, onnx_model, monkeypatch):
        assert runtimes.load(onnx_model.path, threads=1).settings()["inference_threads"] == 1
        monkeypatch.setattr("runtimes.onnx.thread_limit", lambda: 3)
        assert runtimes.load(onnx_model.path).settings()["inference_threads"] == 3
        assert runtimes.load(onnx_model.path, threads=2).settings()["inference_threads"] == 2

    def test_waiting_threads_spin_unless_a_quota_limits_them(self, monkeypatch):
        spinning = "session.intra_op.allow_spinning"
        monkeypatch.setattr("runtimes.onnx.thread_limit", lambda: 2)
        assert _session_options(onnxruntime, 3).get_session_config_entry(spinning) == "0"
        monkeypatch.setattr("runtimes.onnx.thread_limit", lambda: None)
        with pytest.raises(RuntimeError, match=spinning):  # the engine's own default, to spin
            _session_options(onnxruntime, 3).get_session_config_entry(spinning)

    def test_missing_engine_names_its_extra(self, onnx_model, monkeypatch):
        monkeypatch.setitem(sys.modules, "onnxruntime", None)
        with pytest.raises(MissingExtraError, match=r"edgehrnet\[onnx\]"):
            runtimes.load(onnx_model.path)

    def test_selfcheck_passes(self, onnx_model):
        with Predictor(onnx_model.path) as predictor:
            assert predictor.selfcheck().passed


class FakeSession:
    """Session of a fake GPU build. ``started`` is the provider that really starts, or an error."""

    started: str | Exception | None = None
    opened: tuple = ()

    def __init__(self, path, options, providers, enable_fallback):
        type(self).opened = (providers[0], options, enable_fallback)
        if isinstance(self.started, Exception):
            raise self.started

    def get_providers(self):
        return [self.started, CPU]


@pytest.mark.parametrize(("free", "error"), [(10, WriteError), (10**12, ModelFileError)])
def test_a_full_folder_for_temporary_files_is_named(exported, monkeypatch, full_disk, free, error):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free))
    with full_disk(), pytest.raises(error) as caught:
        executed_layers(exported)
    assert ("TMPDIR" in str(caught.value)) is (error is WriteError)


@pytest.fixture
def gpu_build(monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [TENSORRT, CUDA, OPENVINO, CPU])
    session = type("Session", (FakeSession,), {})
    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    return session


DEVICES = {
    "cuda": (CUDA, {"device_id": "0", "use_tf32": "0"}),
    "cuda:1": (CUDA, {"device_id": "1", "use_tf32": "0"}),
    "gpu": (CUDA, {"device_id": "0", "use_tf32": "0"}),
    "gpu.2": (CUDA, {"device_id": "2", "use_tf32": "0"}),
    "tensorrt": (TENSORRT, {"device_id": "0"}),
    "tensorrt:1": (TENSORRT, {"device_id": "1"}),
    "openvino": (OPENVINO, {"device_type": "CPU", "precision": "FP32"}),
    "openvino:gpu": (OPENVINO, {"device_type": "GPU"}),
    "openvino:gpu.1": (OPENVINO, {"device_type": "GPU.1"}),
    "openvino:npu": (OPENVINO, {"device_type": "NPU"}),
}


class TestDevice:
    def test_lists_all_providers(self, onnx_model, gpu_build):
        assert [device.name for device in devices()] == ["cpu", "cuda", "tensorrt", "openvino"]
        assert [device.title for device in devices()] == [CPU, CUDA, TENSORRT, OPENVINO]

    @pytest.mark.parametrize("device", DEVICES)
    def test_provider_that_is_not_built_in_names_its_package(self, onnx_model, device, monkeypatch):
        monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["AzureExecutionProvider", CPU])
        package = PACKAGES[DEVICES[device][0]]
        with pytest.raises(DeviceError, match=rf"'{device}'.*{CPU}.*{package}"):
            runtimes.load(onnx_model.path, device)

    @pytest.mark.parametrize("device", DEVICES)
    def test_provider_that_silently_falls_back_raises(self, onnx_model, device, gpu_build):
        gpu_build.started = CPU
        with pytest.raises(DeviceError, match=f"'{device}'"):
            runtimes.load(onnx_model.path, device)
        asked, _, fallback = gpu_build.opened
        assert asked == DEVICES[device]
        assert fallback == 0

    def test_failing_provider_is_a_device_error(self, onnx_model, gpu_build):
        gpu_build.started = RuntimeError("CUDA failure 101: invalid device ordinal\nand more")
        with pytest.raises(DeviceError, match=r"'cuda:7'.*CUDA failure 101: invalid device ordinal$"):
            runtimes.load(onnx_model.path, "cuda:7")

    def test_a_damaged_file_is_not_a_device_error(self, onnx_model, gpu_build):
        gpu_build.started = RuntimeError("[ONNXRuntimeError] : 7 : Load model from a.onnx failed: no graph")
        with pytest.raises(ModelFileError, match=r"7 : Load model from a\.onnx failed: no graph"):
            runtimes.load(onnx_model.path, "cuda")

    def test_cache_and_threads_reach_the_provider(self, onnx_model, gpu_build, tmp_path):
        def asked(device, **options):
            with pytest.raises(DeviceError):
                runtimes.load(onnx_model.path, device, **options)
            return gpu_build.opened[0][1]

        gpu_build.started = CPU
        own = str(tmp_path / hashlib.sha256(onnx_model.path.read_bytes()).hexdigest()[:32])
        kept = {"trt_engine_cache_enable": "1", "trt_engine_cache_path": own}
        assert asked("tensorrt", cache_dir=tmp_path) == {"device_id": "0"} | kept
        kept = {"cache_dir": own, "num_of_threads": "1"}
        assert asked("openvino:npu", cache_dir=tmp_path, threads=1) == {"device_type": "NPU"} | kept

    def test_tensorrt_gets_the_int8_option_for_quantized_files(self, integer_file, gpu_build):
        gpu_build.started = CPU
        with pytest.raises(DeviceError):
            runtimes.load(integer_file, "tensorrt")
        assert gpu_build.opened[0][1] == {"device_id": "0", "trt_int8_enable": "1"}

    @pytest.mark.parametrize("device", ["auto", "npu", "cuda:", "cuda:-1", "gpu.x", "openvino:tpu", "openvino:auto"])
    def test_refuses_unknown_devices(self, onnx_model, device):
        with pytest.raises(DeviceError, match=f"'{device}'"):
            runtimes.load(onnx_model.path, device)

    def test_available_providers_really_run(self, onnx_model):
        """Test all other providers that this onnxruntime can start. None may silently run on the CPU."""
        image = np.zeros((1, 64, 96, 4), np.uint8)
        expected = runtimes.load(onnx_model.path).run(image)["hf"]
        present = onnxruntime.get_available_providers()
        for device in ("cuda", "tensorrt", "openvino"):
            provider = DEVICES[device][0]
            if provider not in present:
                continue
            try:
                runtime = runtimes.load(onnx_model.path, device)
            except DeviceError:
                continue  # built in, but its libraries or its chip are missing
            # TF32, if it cannot be disabled, rounds to 11 bits: an rms error of 2^-12 / sqrt(3) = 1.4e-4 in each of 60
            # layers, at worst 60 * 1.4e-4 < 1e-2.
            error = np.sqrt(np.mean((runtime.run(image)["hf"] - expected) ** 2))
            assert error < 1e-2 * np.sqrt(np.mean(expected**2))
            assert runtime.settings()["nodes"][provider] > 0


class TestFiles:
    def test_metadata_is_optional(self, tmp_path):
        assert runtimes.load(foreign(tmp_path / "a.onnx")).describe().metadata is None

    @pytest.mark.parametrize(
        ("changes", "text"),
        [
            ({"given": TensorProto.FLOAT}, r"f32 \[1, 64, 96, 4\]"),
            ({"given": TensorProto.INT32}, r"tensor\(int32\)"),
            ({"shape": (1, 64, 96, 2)}, r"u8 \[1, 64, 96, 2\]"),
            ({"shape": (1, "height", "width", 4)}, r"u8 \[1, 'height', 'width', 4\].*input_size="),
            ({"shape": (1, 64, 96)}, r"u8 \[1, 64, 96\]"),
            ({"inputs": 2}, r"\b2$"),
            ({"gives": TensorProto.INT64}, r"heatmaps.*tensor\(int64\)"),
        ],
    )
    def test_refuses_unsupported_inputs_and_outputs(self, tmp_path, changes, text):
        with pytest.raises(ModelFileError, match=text):
            runtimes.load(foreign(tmp_path / "a.onnx", **changes))

    def test_refuses_dynamic_outputs(self, tmp_path):
        nodes = [
            helper.make_node("NonZero", ["image0"], ["places"]),
            helper.make_node("Cast", ["places"], ["heatmaps"], to=TensorProto.FLOAT),
        ]
        path = foreign(tmp_path / "a.onnx", nodes)
        model = onnx.load(path)
        model.graph.output[0].CopyFrom(helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, (4, None)))
        onnx.save_model(model, path)
        with pytest.raises(ModelFileError, match=r"heatmaps.*\[4, "):
            runtimes.load(path)

    def test_engine_failure_raises_our_error(self, onnx_model, monkeypatch):
        runtime = runtimes.load(onnx_model.path)

        class Failing:
            def run(self, names, inputs):
                raise MemoryError("no memory for\n4 MB")

        monkeypatch.setattr(runtime, "_session", Failing())
        with pytest.raises(ModelFileError, match=r"corners\.onnx .*CPU: no memory for"):
            runtime.run(np.zeros((1, 64, 96, 4), np.uint8))


class TestExternalData:
    """Weights in a file of their own, as torch exports them."""

    @staticmethod
    def save(folder, location="m.onnx.data"):
        shape = [1, 64, 96, 4]
        ports = [helper.make_tensor_value_info("image", TensorProto.UINT8, shape),
                 helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, shape)]  # fmt: skip
        weight = onnx.numpy_helper.from_array(np.full(shape, 3, np.float32), "w")
        nodes = [helper.make_node("Cast", ["image"], ["x"], to=TensorProto.FLOAT),
                 helper.make_node("Add", ["x", "w"], ["heatmaps"])]  # fmt: skip
        graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], [weight])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        onnx.save_model(model, folder / "m.onnx", save_as_external_data=True, location=location, size_threshold=0)
        return folder / "m.onnx"

    def test_writing_over_it_does_not_change_a_loaded_model(self, tmp_path):
        path = self.save(tmp_path)
        runtime = runtimes.load(path)
        with (tmp_path / "m.onnx.data").open("r+b") as file:
            file.write(bytes(4 * 64 * 96 * 4))
        image = np.ones((1, 64, 96, 4), np.uint8)
        assert (runtime.run(image)["heatmaps"] == 4).all()
        assert (runtimes.load(path).run(image)["heatmaps"] == 1).all()

    def test_a_file_that_is_missing_or_outside_the_folder_is_refused(self, tmp_path):
        path = self.save(tmp_path)
        (tmp_path / "m.onnx.data").rename(tmp_path / "moved")
        with pytest.raises(ModelFileError, match=r"m\.onnx"):
            runtimes.load(path)
        inside = tmp_path / "inside"
        inside.mkdir()
        for location in (b"../moved.dat", bytes(tmp_path / "moved")[:12]):
            content = path.read_bytes().replace(b"m.onnx.data", location[:11])
            (inside / "m.onnx").write_bytes(content)
            with pytest.raises(ModelFileError, match=r"m\.onnx"):
                runtimes.load(inside / "m.onnx")

    def test_a_folder_below_is_inside(self, tmp_path):
        (tmp_path / "w").mkdir()
        assert runtimes.load(self.save(tmp_path, "w/data")).describe().input_size == (64, 96)

    @pytest.mark.skipif(os.name != "posix", reason="makes links and pipes")
    def test_links_that_lead_out_of_the_folder_are_refused(self, tmp_path):
        folder, secret = tmp_path / "model", tmp_path / "secret"
        folder.mkdir()
        path, data = self.save(folder), folder / "m.onnx.data"
        data.rename(secret)
        for make in (lambda: data.symlink_to(secret), lambda: data.hardlink_to(secret), lambda: os.mkfifo(data)):
            make()
            for read in (runtimes.load, partial(runtimes.openvino.read, open_size=None)):
                with pytest.raises(ModelFileError, match=r"m\.onnx\.data"):
                    read(path)
            data.unlink()
        secret.rename(folder / "other")
        data.hardlink_to(folder / "other")  # both names are inside
        runtimes.load(path)

    def test_weights_of_a_graph_within_a_node_are_found(self, tmp_path):
        path = self.save(tmp_path)
        outer = onnx.load(path, load_external_data=False)
        inner = helper.make_node("If", ["c"], ["y"], then_branch=outer.graph, else_branch=outer.graph)
        outer.graph.ClearField("initializer")
        outer.graph.node.append(inner)
        (tmp_path / "m.onnx.data").unlink()
        path.write_bytes(outer.SerializeToString())
        with pytest.raises(ModelFileError, match=r"m\.onnx\.data"):
            external_files(path)
