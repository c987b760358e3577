import numpy as np
import pytest

import runtimes
import runtimes.null
from runtimes.errors import BatchError, ClosedError, DeviceError, MissingFileError, ModelFileError, UnknownSuffixError


def batch(count=1):
    return np.zeros((count, 64, 96, 4), np.uint8)


def test_run_returns_the_stored_outputs(null_model):
    runtime = runtimes.load(null_model.path)
    outputs = runtime.run(batch())
    assert outputs.keys() == null_model.outputs.keys()
    for name, array in outputs.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, null_model.outputs[name])


def test_outputs_are_repeated_for_each_picture_of_a_batch(null_model):
    outputs = runtimes.load(null_model.path).run(batch(3))
    for name, array in outputs.items():
        np.testing.assert_array_equal(array, np.repeat(null_model.outputs[name], 3, axis=0))


def test_outputs_belong_to_the_caller(null_model):
    runtime = runtimes.load(null_model.path)
    first = runtime.run(batch())
    for array in first.values():
        array[:] = -1
    for name, array in runtime.run(batch()).items():
        np.testing.assert_array_equal(array, null_model.outputs[name])


def test_describes_the_stored_outputs(null_model):
    described = runtimes.load(null_model.path, "cpu").describe()
    assert described.engine == "null"
    assert described.input_size == (64, 96)
    assert described.metadata == null_model.spec.to_json()
    assert described.outputs == {"heatmaps": (1, 4, 16, 24), "offsets": (1, 8, 16, 24), "hf": (1, 16, 24, 8)}


def test_metadata_is_optional(tmp_path):
    runtimes.null.build(tmp_path / "a.null", None, (32, 32), {"heatmaps": np.zeros((1, 1, 8, 8), np.float32)})
    assert runtimes.load(tmp_path / "a.null").describe().metadata is None


def test_close_can_be_repeated_and_ends_all_use(null_model):
    runtime = runtimes.load(null_model.path)
    runtime.close()
    runtime.close()
    for use in (lambda: runtime.run(batch()), runtime.describe):
        with pytest.raises(ClosedError):
            use()


@pytest.mark.parametrize("device", ["gpu", "cuda:0", "auto", ""])
def test_refuses_devices_other_than_cpu(null_model, device):
    with pytest.raises(DeviceError, match=repr(device)):
        runtimes.load(null_model.path, device)


def test_refuses_another_input_size(null_model):
    assert runtimes.load(null_model.path, input_size=(64, 96)).describe().input_size == (64, 96)
    with pytest.raises(ModelFileError, match="64x96"):
        runtimes.load(null_model.path, input_size=(96, 96))


@pytest.mark.parametrize("array", [batch()[0], batch()[..., :3], batch()[:, :32], batch().astype(np.float32)])
def test_refuses_arrays_of_another_shape_or_type(null_model, array):
    with pytest.raises(BatchError, match=r"uint8 \[N, 64, 96, 4\]"):
        runtimes.load(null_model.path).run(array)


def test_refuses_damaged_and_foreign_files(tmp_path, null_model):
    path = tmp_path / "a.null"
    whole = null_model.path.read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2], whole[:-10]):
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match=r"a\.null"):
            runtimes.load(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ModelFileError, match=r"a\.null"):
        runtimes.load(path)
    with path.open("wb") as file:
        np.savez(file, other=np.zeros(3))
    with pytest.raises(ModelFileError, match=r"a\.null"):
        runtimes.load(path)


def test_missing_file_raises_and_is_not_downloaded(tmp_path):
    for name in ("none.null", "a" * 5000 + ".null"):
        with pytest.raises(MissingFileError, match=name):
            runtimes.load(tmp_path / name)
    assert issubclass(MissingFileError, FileNotFoundError)
    (tmp_path / "folder.null").mkdir()
    with pytest.raises(MissingFileError, match="folder"):
        runtimes.load(tmp_path / "folder.null")


@pytest.mark.parametrize("name", ["model.tflite", "model", "", ".xml/model"])
def test_unknown_suffix(name):
    with pytest.raises(UnknownSuffixError, match=r"\.engine, \.onnx, \.plan, \.pt, \.xml"):
        runtimes.load(name)
