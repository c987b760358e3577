import shutil
import sys
import threading
from typing import Any

import numpy as np
import openvino
import pytest
from openvino import opset13

import runtimes
import runtimes.openvino
from edgehrnet import Predictor
from runtimes.errors import BatchError, ClosedError, DeviceError, ModelFileError
from runtimes.openvino import OpenVINORuntime
from runtimes.openvino_ports import reason as reason_of

SHAPES = {"heatmaps": (1, 4, 16, 24), "offsets": (1, 8, 16, 24), "hf": (1, 16, 24, 128)}


def batch(count=1, seed=0, size=(64, 96)):
    pixels = np.random.default_rng(seed).integers(0, 256, (count, *size, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    return pixels


@pytest.fixture(scope="module")
def runtime(openvino_model):
    runtime = runtimes.load(openvino_model.path)
    yield runtime
    runtime.close()


@pytest.fixture
def copied(openvino_model, tmp_path):
    for path in (openvino_model.path, openvino_model.path.with_suffix(".bin")):
        shutil.copy(path, tmp_path / path.name)
    return tmp_path / openvino_model.path.name


def test_a_user_without_a_home_is_told_what_to_set(tmp_path, monkeypatch):
    """OpenVINO's statistics ask for the home folder when it is imported."""
    (tmp_path / "openvino.py").write_text('raise RuntimeError("Could not determine home directory.")')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "openvino")
    with pytest.raises(DeviceError, match=r"home directory\. .*HOME"):
        runtimes.openvino.devices()


class TestRun:
    def test_engine_failure_raises_our_error_and_frees_the_request(self, openvino_model, monkeypatch):
        runtime = runtimes.load(openvino_model.path)
        assert isinstance(runtime, OpenVINORuntime)

        def fail(*args, **kwargs):
            raise RuntimeError("Exception from somewhere:\nout of memory\n")

        with monkeypatch.context() as patch:
            patch.setattr(runtime._compiled[64, 96, 1], "_tensor", fail)
            for _ in range(20):
                with pytest.raises(ModelFileError, match="out of memory"):
                    runtime.run(batch())
        assert runtime.run(batch())["hf"].shape == SHAPES["hf"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "Exception from src/core.cpp:84:\nCheck 'valid(size)' failed at src/xml.cpp:900:\nIncorrect weights!\n\n",
            "Incorrect weights!",
        ),
        (
            "Check 'a <= b' failed at src/pool.hpp:149:\nWhile validating node 'c':\nKernel too large.\n",
            "Kernel too large.",
        ),
        ("out of memory", "out of memory"),
        ("", "RuntimeError"),
    ],
)
def test_the_reason_of_an_engine_error_is_its_last_line(text, reason):
    assert reason_of(RuntimeError(text)) == reason


class TestDescribe:
    def test_describes_the_loaded_file(self, runtime):
        described = runtime.describe()
        assert described.engine == "openvino"
        assert described.device == "CPU"
        assert described.outputs == SHAPES
        assert openvino.__version__.startswith(described.version)
        # The precision of the file is kept.
        assert set(runtime.settings()["convolutions"]) == {"f32"}
        assert runtime.settings()["inference_precision"] == "f32"

    def test_threads_reach_the_engine(self, openvino_model):
        assert runtimes.load(openvino_model.path, threads=1).settings()["inference_threads"] == 1

    def test_quota_of_a_container_limits_threads(self, openvino_model, monkeypatch):
        monkeypatch.setattr("runtimes.openvino.thread_limit", lambda: 1)
        assert runtimes.load(openvino_model.path).settings()["inference_threads"] == 1


class TestInputSize:
    def test_another_input_size_reshapes_the_file(self, openvino_model):
        runtime = runtimes.load(openvino_model.path, input_size=(96, 160))
        assert runtime.describe().input_size == (96, 160)
        shapes = {"heatmaps": (1, 4, 24, 40), "offsets": (1, 8, 24, 40), "hf": (1, 24, 40, 128)}
        assert runtime.describe().outputs == shapes
        assert {n: a.shape for n, a in runtime.run(batch(size=(96, 160))).items()} == shapes

    def test_refuses_a_size_that_the_network_cannot_process(self, openvino_model):
        with pytest.raises(ModelFileError, match=r"\(33, 64\)"):
            runtimes.load(openvino_model.path, input_size=(33, 64))


class TestDevice:
    @pytest.mark.parametrize("device", ["gpu", "npu", "gpu.7"])
    def test_absent_device_lists_the_present_ones(self, openvino_model, device):
        present = openvino.Core().available_devices
        if any(name.startswith(device.upper()) for name in present):
            assert device.upper() in runtimes.load(openvino_model.path, device).describe().device
            return
        with pytest.raises(DeviceError, match=rf"'{device}'.*cpu"):
            runtimes.load(openvino_model.path, device)

    @pytest.mark.parametrize("device", ["cuda:0", "tpu", "", 0, "cpu,gpu", "auto:gpu", "hetero:cpu"])
    def test_refuses_unknown_devices(self, openvino_model, device):
        with pytest.raises(DeviceError, match=repr(device)) as caught:
            runtimes.load(openvino_model.path, device)
        assert isinstance(caught.value, ValueError)

    def test_auto_describes_the_chosen_device(self, openvino_model):
        chosen = runtimes.load(openvino_model.path, "auto").describe().device
        assert chosen in openvino.Core().available_devices

    def test_auto_runs_in_float32(self, openvino_model):
        # By default, the engine rounds to bfloat16 on CPUs that support it.
        assert set(runtimes.load(openvino_model.path, "auto").settings()["convolutions"]) == {"f32"}


class TestFiles:
    def test_missing_weights(self, copied):
        copied.with_suffix(".bin").unlink()
        with pytest.raises(ModelFileError, match=r"corners\.bin"):
            runtimes.load(copied)

    @pytest.mark.parametrize("kept", [0, 1000, -4])
    def test_truncated_weights(self, copied, kept):
        weights = copied.with_suffix(".bin")
        weights.write_bytes(weights.read_bytes()[:kept])
        with pytest.raises(ModelFileError, match=r"corners\.xml"):
            runtimes.load(copied)

    @pytest.mark.parametrize("content", [b"", b"hello", b"<html></html>", b"\0\1\2\xff" * 99])
    def test_other_content_raises_without_printing(self, copied, content, capfd):
        copied.write_bytes(content)
        with pytest.raises(ModelFileError, match=r"corners\.xml"):
            runtimes.load(copied)
        assert capfd.readouterr() == ("", "")

    def test_truncated_file(self, copied):
        content = copied.read_bytes()
        copied.write_bytes(content[: len(content) // 2])
        with pytest.raises(ModelFileError, match=r"corners\.xml"):
            runtimes.load(copied)

    def test_metadata_is_optional(self, tmp_path):
        path = foreign(tmp_path / "a.xml", [1, 64, 96, 4])
        assert runtimes.load(path).describe().metadata is None

    @pytest.mark.parametrize(
        ("shape", "given", "text"),
        [
            ([1, 64, 96, 4], np.float32, r"f32 \[1, 64, 96, 4\]"),
            ([1, 64, 96, 2], np.uint8, r"u8 \[1, 64, 96, 2\]"),
            ([1, -1, -1, 4], np.uint8, r"u8 \[1, None, None, 4\].*input_size="),
            ([1, 64, 96], np.uint8, r"u8 \[1, 64, 96\]"),
        ],
    )
    def test_refuses_unsupported_inputs(self, tmp_path, shape, given, text):
        with pytest.raises(ModelFileError, match=text):
            runtimes.load(foreign(tmp_path / "a.xml", shape, given))

    def test_refuses_another_output_type(self, tmp_path):
        path = foreign(tmp_path / "a.xml", [1, 64, 96, 4], gives="i32")
        with pytest.raises(ModelFileError, match="heatmaps: i32"):
            runtimes.load(path)


def foreign(path, shape, given=np.uint8, gives="f32"):
    """Save a file of another project: a network that averages the last axis."""
    image = opset13.parameter(shape, given)
    mean = opset13.reduce_mean(opset13.convert(image, "f32"), [len(shape) - 1], True)
    output = opset13.convert(mean, gives)
    output.output(0).set_names({"heatmaps"})
    openvino.save_model(openvino.Model([output], [image], "mean"), path, compress_to_fp16=False)
    return path


class TestCache:
    def test_refuses_a_read_only_folder(self, openvino_model, tmp_path, monkeypatch):
        monkeypatch.setattr("runtimes.os.access", lambda path, mode: False)
        with pytest.raises(ModelFileError, match=rf"cache_dir .*{tmp_path.name}"):
            runtimes.load(openvino_model.path, cache_dir=tmp_path)

    def test_cached_file_is_used_unless_it_is_damaged(self, openvino_model, tmp_path, runtime):
        expected = runtime.run(batch())["hf"]

        def flip_a_bit(data):
            middle = len(data) // 2
            return data[:middle] + bytes([data[middle] ^ 64]) + data[middle + 1 :]

        runtimes.load(openvino_model.path, cache_dir=tmp_path).close()
        (kept,) = tmp_path.glob("*/*.blob")
        for damage in (None, lambda data: data[:5000], lambda data: b"garbage", flip_a_bit, None):
            if damage is not None:
                kept.write_bytes(damage(kept.read_bytes()))
            cached: Any = runtimes.load(openvino_model.path, cache_dir=tmp_path)
            np.testing.assert_array_equal(cached.run(batch())["hf"], expected)
            assert cached._compiled[64, 96, 1].model.get_property("LOADED_FROM_CACHE") == (damage is None)
            cached.close()

    def test_each_file_has_its_own_cache(self, copied, tmp_path):
        cache = tmp_path / "cache"
        cache.mkdir()
        for count, added in ((1, ""), (1, ""), (2, " ")):
            copied.write_text(copied.read_text() + added)
            runtimes.load(copied, cache_dir=cache).close()
            assert len(list(cache.iterdir())) == count


class TestSelfcheck:
    def test_passes_on_the_cpu(self, openvino_model):
        with Predictor(openvino_model.path) as predictor:
            report = predictor.selfcheck()
        assert report.passed
        assert report.device == "CPU"

    def test_uses_the_settings_of_the_file(self, openvino_model):
        with Predictor(openvino_model.path) as predictor:
            expected = predictor.selfcheck()
        with Predictor(openvino_model.path, input_size=(96, 160), decode="argmax") as predictor:
            assert predictor.selfcheck() == expected

    def test_fails_with_shuffled_weights(self, copied):
        # The same file with its float32 weights in another order.
        weights = copied.with_suffix(".bin")
        content = weights.read_bytes()
        numbers = np.frombuffer(content[: len(content) // 4 * 4], "<u4")
        # Shapes and axes are small integers; read as floats, they are zero or far below any weight.
        size = np.abs(numbers.view("<f4"))
        weight = (size > 1e-6) & (size < 1)
        shuffled = numbers.copy()
        shuffled[weight] = np.random.default_rng(0).permutation(numbers[weight])
        weights.write_bytes(shuffled.tobytes() + content[len(content) // 4 * 4 :])
        with Predictor(copied) as predictor:
            assert not predictor.selfcheck().passed


class TestThreads:
    def test_close_while_other_threads_run_and_wait(self, openvino_model):
        runtime = runtimes.load(openvino_model.path)
        started = threading.Semaphore(0)
        seen = []

        def work():
            try:
                while True:
                    assert runtime.run(batch())["hf"].shape == SHAPES["hf"]
                    started.release()
            except ClosedError as error:
                seen.append(error)

        threads = [threading.Thread(target=work, daemon=True) for _ in range(6)]
        closers = [threading.Thread(target=runtime.close, daemon=True) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in threads:
            started.acquire()
        for thread in closers:
            thread.start()
        # Only a bound on a hang: each needs some milliseconds.
        for thread in (*closers, *threads):
            thread.join(60)
            assert not thread.is_alive()
        assert len(seen) == len(threads)

    def test_close_wakes_callers_that_wait_for_a_request(self, openvino_model, monkeypatch):
        runtime = runtimes.load(openvino_model.path)
        assert isinstance(runtime, OpenVINORuntime)
        pool = runtime._compiled[64, 96, 1]._pool
        take = pool.get
        outcomes, arrived, closed = [], threading.Semaphore(0), threading.Event()

        def late():
            """Let close() take every request between a caller's check and its turn."""
            if threading.current_thread() in waiters:
                arrived.release()
                closed.wait()
            return take()

        def wait():
            try:
                runtime.run(batch())
            except ClosedError as error:
                outcomes.append(error)

        monkeypatch.setattr(pool, "get", late)
        waiters = [threading.Thread(target=wait, daemon=True) for _ in range(3)]
        for thread in waiters:
            thread.start()
        for _ in waiters:
            arrived.acquire()
        runtime.close()
        closed.set()
        for thread in waiters:
            thread.join(60)
            assert not thread.is_alive()
        assert len(outcomes) == 3


@pytest.mark.parametrize("fixed", [False, True])
def test_a_file_that_states_sides_has_its_own_size_only(tmp_path, fixed):
    image = opset13.parameter([1, 64, 32, 3], np.float32, name="image")
    maps = opset13.transpose(image, np.array([0, 3, 1, 2]))
    if fixed:  # as an exporter writes x.view(x.shape)
        maps = opset13.reshape(maps, np.array([1, 3, 64, 32]), special_zero=False)
    path = tmp_path / "model.xml"
    openvino.save_model(openvino.Model([opset13.relu(maps)], [image]), path)
    runtime = runtimes.load(path, "cpu", shapes=2)
    assert runtime.describe().resizes is not fixed
    assert runtime.run(np.ones((1, 64, 32, 3), np.float32))
    other = np.ones((1, 32, 64, 3), np.float32)
    if fixed:
        with pytest.raises(BatchError):
            runtime.run(other)
    else:
        assert runtime.run(other)
    runtime.close()
