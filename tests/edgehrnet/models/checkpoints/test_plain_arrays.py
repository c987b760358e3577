"""NumPy arrays of numbers in checkpoint files are read as lists, and nothing else is."""

import argparse
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from edgehrnet.errors import ModelFileError
from edgehrnet.models.checkpoints import load_checkpoint
from edgehrnet.models.checkpoints.plain_arrays import plain_arrays

ARRAYS = (
    np.float64(0.5),
    np.arange(6, dtype=np.int64).reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3)),
    np.array([True, False]),
    np.array(3, np.uint8),
    np.zeros((0, 2), np.float32),
)
READ: tuple[Any, ...] = (0.5, [[0, 1, 2], [3, 4, 5]], [[0, 1, 2], [3, 4, 5]], [True, False], [3], [])


def with_meta(value):
    """Content of a file. Its metadata is unpickled before its weights are looked at."""
    return {"meta": {"value": value}, "state_dict": {"w": torch.zeros(1)}}


def load(path):
    with plain_arrays():
        return torch.load(path, weights_only=True)


@pytest.mark.parametrize("module", ["numpy._core.multiarray", "numpy.core.multiarray"])
def test_arrays_become_lists_with_numpy_1_and_2(saved, module):
    path = saved({"meta": ARRAYS}, _use_new_zipfile_serialization=False)
    written = path.read_bytes().replace(b"numpy.core.multiarray", b"numpy._core.multiarray")
    path.write_bytes(written.replace(b"numpy._core.multiarray", module.encode()))
    with pytest.raises(Exception, match=r"numpy\._?core\.multiarray"):
        torch.load(path, weights_only=True)
    assert load(path)["meta"] == READ
    # Afterwards torch refuses them again.
    with pytest.raises(Exception, match=r"numpy\._?core\.multiarray"):
        torch.load(path, weights_only=True)


@pytest.mark.parametrize(
    "value",
    [
        argparse.Namespace(loss=1),
        np.array([argparse.Namespace(loss=1)], object),
        np.array([1, "a"], object),
        np.array(["text"]),
        np.zeros(2, [("a", "f4")]),
        np.datetime64("2024-01-01"),
        np.random.default_rng(0),
        np.float32,
    ],
    ids=["object", "array of objects", "array of Python values", "text", "records", "date", "generator", "type"],
)
def test_other_objects_are_refused(saved, data_set, value):
    with pytest.raises(ModelFileError, match=r"net-tensors\.pth"):
        load_checkpoint(saved(with_meta([data_set, value])))


@pytest.mark.parametrize(
    "wrapped",
    [lambda v: v, lambda v: np.array([v], object), lambda v: {"a": [v]}],
    ids=["bare", "in an array", "in a dict"],
)
def test_no_function_named_in_a_file_is_called(saved, tmp_path, wrapped):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    with pytest.raises(ModelFileError, match=r"net-tensors\.pth"):
        load_checkpoint(saved(with_meta(wrapped(Hostile()))))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "state",
    [
        (1, (9,), "kind", False, bytes(8)),
        (1, (1,), "kind", False, [1.0]),
        (1, (1,), bytes(8), False, bytes(8)),
        (1,),
    ],
    ids=["too few bytes", "no bytes", "no dtype", "short"],
)
def test_damaged_array_is_refused(saved, state):
    kind = np.dtype(np.float64)

    class Array:
        def __reduce__(self):
            reduced: Any = np.zeros(0).__reduce__()
            function, arguments, _ = reduced
            return function, arguments, tuple(kind if item == "kind" else item for item in state)

    with pytest.raises(ModelFileError, match=r"net\.pth"):
        load_checkpoint(saved(with_meta(Array())))


def test_several_threads_read_at_once(saved):
    path = saved({"meta": ARRAYS})
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(load, [path] * 40))
    assert all(content["meta"] == READ for content in found)
