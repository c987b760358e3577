import numpy as np
import pytest

import runtimes
import runtimes.null
from runtimes.base import BatchError, ClosedError, DeviceError, MissingFileError, ModelFileError, UnknownSuffixError


def batch(count=1):
    return np.zeros((count, 64, 96, 4), np.uint8)


def test_answers_with_what_was_stored(null_model):
    runtime = runtimes.load(null_model.path)
    outputs = runtime.run(batch())
    assert outputs.keys() == null_model.outputs.keys()
    for name, array in outputs.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, null_model.outputs[name])


def test_batch_repeats_the_answer(null_model):
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


def test_describe(null_model):
    described = runtimes.load(null_model.path, "cpu").describe()
    assert described.engine == "null"
    assert described.input_size == (64, 96)
    assert described.metadata == null_model.spec.to_json()
    assert described.outputs == {"heatmaps": (1, 4, 16, 24), "offsets": (1, 8, 16, 24), "hf": (1, 16, 24, 8)}


def test_file_without_metadata(tmp_path):
    runtimes.null.build(tmp_path / "a.null", None, (32, 32), {"heatmaps": np.zeros((1, 1, 8, 8), np.float32)})
    assert runtimes.load(tmp_path / "a.null").describe().metadata is None


def test_close(null_model):
    runtime = runtimes.load(null_model.path)
    runtime.close()
    runtime.close()
    for use in (lambda: runtime.run(batch()), runtime.describe):
        with pytest.raises(ClosedError, match="load the file again"):
            use()


@pytest.mark.parametrize("device", ["gpu", "cuda:0", "auto", ""])
def test_other_devices(null_model, device):
    with pytest.raises(DeviceError, match="no device but 'cpu'"):
        runtimes.load(null_model.path, device)


def test_other_input_size(null_model):
    assert runtimes.load(null_model.path, input_size=(64, 96)).describe().input_size == (64, 96)
    with pytest.raises(ModelFileError, match="64x96 only"):
        runtimes.load(null_model.path, input_size=(96, 96))


@pytest.mark.parametrize("array", [batch()[0], batch()[..., :3], batch()[:, :32], batch().astype(np.float32)])
def test_wrong_batch(null_model, array):
    with pytest.raises(BatchError, match=r"expected uint8 \[N, 64, 96, 4\], got"):
        runtimes.load(null_model.path).run(array)


def test_files_that_are_none_of_ours(tmp_path, null_model):
    path = tmp_path / "a.null"
    whole = null_model.path.read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2], whole[:-10]):
        path.write_bytes(content)
        with pytest.raises(ModelFileError, match="not a null-runtime file"):
            runtimes.load(path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ModelFileError, match="not a null-runtime file"):
        runtimes.load(path)
    with path.open("wb") as file:
        np.savez(file, other=np.zeros(3))
    with pytest.raises(ModelFileError, match="not a null-runtime file"):
        runtimes.load(path)


def test_missing_file_is_not_fetched(tmp_path):
    for name in ("none.null", "a" * 5000 + ".null"):
        with pytest.raises(MissingFileError, match="does not exist; nothing is downloaded"):
            runtimes.load(tmp_path / name)
    assert issubclass(MissingFileError, FileNotFoundError)
    (tmp_path / "folder.null").mkdir()
    with pytest.raises(MissingFileError, match="is a folder"):
        runtimes.load(tmp_path / "folder.null")


@pytest.mark.parametrize("name", ["model.tflite", "model", "", ".xml/model"])
def test_unknown_suffix(name):
    with pytest.raises(UnknownSuffixError, match=r"\.engine, \.onnx, \.plan, \.pt, \.xml"):
        runtimes.load(name)
