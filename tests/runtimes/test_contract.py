"""The contract of every runtime, tested with one file of the same network for each engine."""

import hashlib
import importlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import runtimes
import runtimes.null
from edgehrnet.models.checkpoints import load_checkpoint
from edgehrnet.models.deploy.export_module import Deployed
from edgehrnet.models.deploy.frozen import freeze
from edgehrnet.models.deploy.loading import deployed_spec, load_deployed
from edgehrnet.spec import ModelSpec
from runtimes.errors import BatchError, ClosedError, DeviceError, MissingExtraError, MissingFileError, ModelFileError

SIZE, OTHER = (64, 96), (96, 160)
SHAPES = {"heatmaps": (1, 4, 16, 24), "offsets": (1, 8, 16, 24), "hf": (1, 16, 24, 128)}
# name -> largest rms(engine - torch) / rms(torch) of any output.
#
# float32: sums of up to 1152 terms in another order differ by about sqrt(1152) * 6e-8 = 2e-6, and over 60 consecutive
# layers by less than 1e-4. A wrong layout, channel order or weight is off by its whole size. torch itself always sums
# in the same order.
TOLERANCE = {"null": 0, "openvino": 1e-4, "onnx": 1e-4, "tensorrt": 1e-4, "torch": 1e-6, "torch-int8": 1e-6}
RESHAPES = ("openvino", "torch", "torch-int8")  # the others are built for one size


def batch(count=1, seed=0, size=SIZE):
    pixels = np.random.default_rng(seed).integers(0, 256, (count, *size, 4), dtype=np.uint8)
    pixels[..., 3] = 255
    return pixels


@dataclass(frozen=True)
class Case:
    """A file, how to load it, and the torch module that it was built from."""

    name: str
    path: Path
    module: torch.nn.Module
    precision: str = "fp32"
    target: str | None = None

    def load(self, path=None, device=None, **options):
        if self.name.startswith("torch"):
            options["loader"] = partial(load_deployed, target=self.target)
        return runtimes.load(path or self.path, device, **options)

    @torch.no_grad()
    def expected(self, image):
        return {name: tensor.numpy() for name, tensor in self.module(torch.from_numpy(image)).items()}


def tensorrt_file(path, source):
    """Build a plan, or skip the test if the engine or the NVIDIA GPU is missing."""
    metadata = runtimes.load(source).describe().metadata
    try:
        importlib.import_module("runtimes.tensorrt").build(source, path, metadata)
    except (MissingExtraError, DeviceError) as error:
        pytest.skip(str(error))
    return path


SOURCES = {"openvino": "openvino_model", "onnx": "onnx_model", "tensorrt": "onnx_model"}


@pytest.fixture(scope="module", params=list(TOLERANCE))
def case(request, tmp_path_factory):
    name = request.param
    model = request.getfixturevalue(SOURCES.get(name, "checkpoint_model"))
    exact = Case(name, model.path, Deployed(model.network, model.spec.mean, model.spec.std).eval())
    folder = tmp_path_factory.mktemp(name)
    if name == "null":
        spec = deployed_spec(load_checkpoint(model.path), model.network, "fp32", None)
        runtimes.null.build(folder / "corners.null", spec.to_json(), SIZE, exact.expected(batch()))
        return replace(exact, path=folder / "corners.null")
    if name == "tensorrt":
        return replace(exact, path=tensorrt_file(folder / "corners.engine", model.path))
    if name == "torch-int8":
        frozen = freeze(model.network, load_checkpoint(model.path).table("onnx"))
        rounded = Deployed(frozen, model.spec.mean, model.spec.std).eval()
        return replace(exact, module=rounded, precision="int8", target="onnx")
    return exact


@pytest.fixture(scope="module")
def runtime(case):
    runtime = case.load()
    yield runtime
    runtime.close()


class TestOutputs:
    def test_outputs_have_the_expected_names_shapes_and_types(self, runtime):
        outputs = runtime.run(batch())
        assert {name: array.shape for name, array in outputs.items()} == SHAPES
        for array in outputs.values():
            assert type(array) is np.ndarray
            assert array.dtype == np.float32
            assert array.flags.c_contiguous
            assert array.flags.writeable

    def test_outputs_equal_those_of_torch(self, case, runtime):
        outputs, expected = runtime.run(batch()), case.expected(batch())
        for name, reference in expected.items():
            error = np.sqrt(np.mean((outputs[name] - reference) ** 2))
            assert error <= TOLERANCE[case.name] * np.sqrt(np.mean(reference**2)), name

    def test_a_batch_gives_the_same_as_single_pictures(self, runtime):
        images = batch(3)
        together = runtime.run(images)
        for n in range(3):
            for name, array in runtime.run(images[n : n + 1]).items():
                np.testing.assert_array_equal(array[0], together[name][n])

    def test_empty_batch_gives_empty_outputs(self, runtime):
        outputs = runtime.run(batch(0))
        assert {name: (array.shape, array.dtype) for name, array in outputs.items()} == {
            name: ((0, *shape[1:]), np.float32) for name, shape in SHAPES.items()
        }

    def test_outputs_belong_to_the_caller(self, runtime):
        first = runtime.run(batch())
        kept = {name: array.copy() for name, array in first.items()}
        second = runtime.run(batch(seed=1))
        for name, array in first.items():
            assert not np.shares_memory(array, second[name])
            np.testing.assert_array_equal(array, kept[name])
            array[:] = -1
        again = runtime.run(batch())
        for name, array in again.items():
            np.testing.assert_array_equal(array, kept[name])

    def test_outputs_outlive_the_runtime(self, case):
        runtime = case.load()
        outputs = runtime.run(batch())
        kept = {name: array.copy() for name, array in outputs.items()}
        runtime.close()
        del runtime
        for name, array in outputs.items():
            np.testing.assert_array_equal(array, kept[name])


class TestInputs:
    def test_accepts_negative_strides_and_read_only_arrays(self, runtime):
        image = batch()
        backwards = np.ascontiguousarray(image[:, ::-1])[:, ::-1]
        strided = np.empty((1, *SIZE, 8), np.uint8)[..., ::2]
        strided[:] = image
        strided.flags.writeable = False
        bytes_of_it = np.frombuffer(image.tobytes(), np.uint8).reshape(image.shape)
        expected = runtime.run(image)
        for odd in (backwards, strided, bytes_of_it):
            for name, array in runtime.run(odd).items():
                np.testing.assert_array_equal(array, expected[name])

    def test_does_not_change_the_input(self, runtime):
        image = batch()
        runtime.run(image)
        np.testing.assert_array_equal(image, batch())

    @pytest.mark.parametrize(
        "image",
        [batch()[0], batch()[:, :32], batch()[..., :3], batch().astype(np.float32), batch().astype(np.int8)],
        ids=["rank", "height", "channels", "float32", "int8"],
    )
    def test_refuses_arrays_of_another_shape_or_type(self, runtime, image):
        with pytest.raises(BatchError, match=r"uint8 \[N, 64, 96, 4\]") as caught:
            runtime.run(image)
        assert isinstance(caught.value, ValueError)


class TestDescribe:
    def test_describes_the_loaded_file(self, runtime):
        described = runtime.describe()
        assert described.engine
        assert described.version
        assert described.device
        assert described.input_size == SIZE
        assert described.outputs == SHAPES

    def test_metadata_is_the_spec(self, case, runtime, checkpoint_model):
        spec = ModelSpec.from_json(runtime.describe().metadata)
        checkpoint = load_checkpoint(checkpoint_model.path)
        assert spec.replace(golden=None) == deployed_spec(checkpoint, checkpoint_model.network, case.precision, None)


class TestOptions:
    def test_accepts_the_size_of_the_file(self, case):
        assert case.load(input_size=SIZE).describe().input_size == SIZE

    def test_reshapes_or_refuses_another_size(self, case):
        if case.name not in RESHAPES:
            with pytest.raises(ModelFileError, match="64x96"):
                case.load(input_size=OTHER)
            return
        runtime = case.load(input_size=OTHER)
        shapes = {"heatmaps": (1, 4, 24, 40), "offsets": (1, 8, 24, 40), "hf": (1, 24, 40, 128)}
        assert runtime.describe().input_size == OTHER
        assert runtime.describe().outputs == shapes
        assert {name: array.shape for name, array in runtime.run(batch(size=OTHER)).items()} == shapes

    def test_refuses_a_size_that_the_network_cannot_process(self, case):
        with pytest.raises(ModelFileError, match="corners"):
            case.load(input_size=(33, 64))

    @pytest.mark.parametrize("threads", [1, 2])
    def test_the_number_of_threads_does_not_change_outputs(self, case, runtime, threads):
        limited = case.load(threads=threads).run(batch())
        for name, array in runtime.run(batch()).items():
            # Other threads sum in another order; see TOLERANCE.
            error = np.sqrt(np.mean((limited[name] - array) ** 2))
            assert error <= max(TOLERANCE[case.name], 1e-4) * np.sqrt(np.mean(array**2))

    def test_a_cache_does_not_change_outputs(self, case, runtime, tmp_path):
        cached = case.load(cache_dir=tmp_path).run(batch())
        for name, array in runtime.run(batch()).items():
            np.testing.assert_array_equal(cached[name], array)

    @pytest.mark.parametrize("name", ["none", "file"])
    def test_refuses_a_cache_that_is_not_a_folder(self, case, tmp_path, name):
        (tmp_path / "file").touch()
        with pytest.raises(ModelFileError, match=rf"cache_dir .*{name}"):
            case.load(cache_dir=tmp_path / name)

    @pytest.mark.parametrize("device", ["gpu.63", "tpu", "", "cpu,gpu", 0])
    def test_refuses_absent_and_unknown_devices(self, case, device):
        with pytest.raises(DeviceError, match=repr(device)) as caught:
            case.load(device=device)
        assert isinstance(caught.value, ValueError)


class TestFiles:
    def test_missing_file(self, case, tmp_path):
        with pytest.raises(MissingFileError, match=case.path.name) as caught:
            case.load(tmp_path / case.path.name)
        assert isinstance(caught.value, FileNotFoundError)

    def test_folder_instead_of_a_file(self, case, tmp_path):
        (tmp_path / case.path.name).mkdir()
        with pytest.raises(MissingFileError, match=case.path.name):
            case.load(tmp_path / case.path.name)

    @pytest.mark.parametrize("damage", ["empty", "text", "bytes", "half"])
    def test_damaged_file_raises_without_printing(self, case, tmp_path, damage, capfd):
        for part in case.path.parent.glob("corners.*"):  # the files next to it stay undamaged
            (tmp_path / part.name).write_bytes(part.read_bytes())
        whole = case.path.read_bytes()
        content = {"empty": b"", "text": b"hello", "bytes": b"\0\1\2\xff" * 99, "half": whole[: len(whole) // 2]}
        copy = tmp_path / case.path.name
        copy.write_bytes(content[damage])
        with pytest.raises(ModelFileError, match=copy.name):
            case.load(copy)
        assert capfd.readouterr() == ("", "")


class TestLife:
    def test_close_can_be_repeated_and_ends_all_use(self, case):
        runtime = case.load()
        runtime.close()
        runtime.close()
        for use in (lambda: runtime.run(batch()), runtime.describe):
            with pytest.raises(ClosedError):
                use()

    def test_concurrent_calls_give_the_same_outputs(self, runtime):
        images = [batch(seed=seed) for seed in range(8)]
        expected = [runtime.run(image) for image in images]
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(runtime.run, images))
        for ours, theirs in zip(found, expected, strict=True):
            for name in SHAPES:
                np.testing.assert_array_equal(ours[name], theirs[name])

    def test_close_while_other_threads_run(self, case):
        runtime = case.load()
        expected = runtime.run(batch())
        started = threading.Semaphore(0)
        ended = []

        def work():
            try:
                while True:
                    for name, array in runtime.run(batch()).items():
                        np.testing.assert_array_equal(array, expected[name])
                    started.release()
            except ClosedError as error:
                ended.append(error)

        workers = [threading.Thread(target=work, daemon=True) for _ in range(4)]
        for worker in workers:
            worker.start()
        for _ in workers:
            started.acquire()
        runtime.close()
        for worker in workers:
            worker.join(60)  # only a bound on a hang: each needs some milliseconds
        assert len(ended) == len(workers)


def test_fake_quantization_differs_from_float_by_rounding_only(checkpoint_model):
    """The fake-quantized runtime really rounds.

    One layer rounded to 256 levels has an SQNR of about 30 dB, and 60 consecutive layers 30 - 10 log10(60) = 12 dB, a
    quarter of the signal. The heads stay float. A wrong range gives 0 dB.
    """
    outputs = {}
    for target in (None, "openvino", "onnx", "tensorrt"):
        loader = partial(load_deployed, target=target)
        outputs[target] = runtimes.load(checkpoint_model.path, loader=loader).run(batch())
    exact = outputs.pop(None)
    for found in outputs.values():
        for name in SHAPES:
            error = np.sqrt(np.mean((found[name] - exact[name]) ** 2) / np.mean(exact[name] ** 2))
            assert 1e-3 < error < 0.25

    def test_files_that_are_written_over_do_not_change_a_loaded_model(self, case, runtime, tmp_path):
        for part in case.path.parent.glob("corners.*"):
            (tmp_path / part.name).write_bytes(part.read_bytes())
        loaded = case.load(tmp_path / case.path.name)
        for part in tmp_path.iterdir():
            with part.open("r+b") as file:
                file.write(b"\7" * part.stat().st_size)
        expected = runtime.run(batch())
        for name, array in loaded.run(batch()).items():
            np.testing.assert_array_equal(array, expected[name])

    def test_refuses_a_file_with_another_digest(self, case, tmp_path):
        if case.name.startswith("torch"):
            pytest.skip("the loader checks it")
        weights = case.path.with_suffix(".bin")
        parts = [case.path, weights] if case.name == "openvino" else [case.path]
        digest = hashlib.sha256(b"".join(part.read_bytes() for part in parts)).hexdigest()
        for part in case.path.parent.glob("corners.*"):
            (tmp_path / part.name).write_bytes(part.read_bytes())
        copies = [tmp_path / part.name for part in parts]
        case.load(copies[0], digest=digest).close()
        for copy in copies:
            content = bytearray(copy.read_bytes())
            content[len(content) // 2] ^= 1
            copy.write_bytes(content)
            with pytest.raises(ModelFileError, match=copies[0].name):
                case.load(copies[0], digest=digest)
            content[len(content) // 2] ^= 1
            copy.write_bytes(content)
