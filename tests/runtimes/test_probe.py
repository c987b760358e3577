"""Files without a certificate are tried in a child process first, whose memory and time are limited."""

import os
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgehrnet import ModelSpec, Predictor, opening
from edgehrnet.cli import main
from edgehrnet.errors import ModelFileError
from runtimes import probe
from runtimes.user_cache import user_cache

SPEC = ModelSpec.heatmaps("bomb", ("a", "b", "c"), input_size=(64, 64))
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux only")
MOST = 1 << 28  # float32 values, 1 GiB


@pytest.fixture(autouse=True)
def probes(monkeypatch, tmp_path):
    """The paths that are tried in a child process, with an empty cache of the user."""
    monkeypatch.setattr(opening, "require_harmless", probe.require_harmless)
    for variable in ("XDG_CACHE_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(variable, str(tmp_path / "cache"))
    run, tried = probe._run_child, []

    def recorded(arguments, path, memory):
        tried.append(path)
        run(arguments, path, memory)

    monkeypatch.setattr(probe, "_run_child", recorded)
    return tried


def bomb(folder, count):
    """Write a file that fills ``count`` numbers while it is loaded, and return its path."""
    nodes = [
        helper.make_node("ConstantOfShape", ["count"], ["many"]),
        helper.make_node("ReduceSum", ["many"], ["sum"], keepdims=0),
        helper.make_node("AveragePool", ["image"], ["cells"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Add", ["cells", "sum"], ["heatmaps"]),
    ]
    shapes = {"image": [1, 3, 64, 64], "heatmaps": [1, 3, 16, 16]}
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], [numpy_helper.from_array(np.array([count]), "count")])
    path = folder / "bomb.onnx"
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@on_linux
def test_a_file_that_computes_too_much_is_refused_each_time(tmp_path, probes, capsys):
    path = bomb(tmp_path, MOST)
    for _ in range(2):
        with pytest.raises(ModelFileError, match=r"bomb\.onnx.*1024 MB.*trusted=True"):
            Predictor(path, spec=SPEC)
    assert probes == [path, path]
    (tmp_path / "spec.json").write_text(SPEC.to_json())
    assert main(["info", str(path), "--spec", str(tmp_path / "spec.json")]) == 2
    assert "--trusted" in capsys.readouterr().err


def test_a_file_that_passed_is_not_tried_again(tmp_path, probes):
    path = bomb(tmp_path, 4)
    for _ in range(2):
        with Predictor(path, spec=SPEC, threads=1) as predictor:
            assert predictor.predict(np.zeros((64, 64, 3), np.uint8)).heatmaps.shape == (1, 3, 16, 16)
    assert probes == [path]
    cache = user_cache()
    assert cache is not None
    assert len(list((cache / "probed").iterdir())) == 1
    bomb(tmp_path, 5)
    Predictor(path, spec=SPEC).close()
    assert probes == [path, path]


@pytest.fixture
def no_children(monkeypatch, probes):
    """Children are not really started."""
    monkeypatch.setattr(probe, "_run_child", lambda arguments, path, memory: probes.append(path))


@pytest.mark.usefixtures("no_children")
def test_trusted_files_and_those_with_a_certificate_are_not_tried(tmp_path, probes, monkeypatch):
    path = bomb(tmp_path, 4)
    Predictor(path, spec=SPEC, trusted=True).close()
    Predictor("document-corners", shapes=2).close()
    monkeypatch.setattr(sys, "frozen", True, raising=False)  # an application that contains Python
    Predictor(path, spec=SPEC).close()
    assert probes == []


@pytest.mark.usefixtures("no_children")
def test_a_cache_that_cannot_be_written_is_no_error(tmp_path, probes):
    (tmp_path / "cache").write_text("")  # a file in the place of the folder
    path = bomb(tmp_path, 4)
    for _ in range(2):
        Predictor(path, spec=SPEC).close()
    assert probes == [path, path]


def test_a_file_that_takes_too_long_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "SECONDS", 0.01)
    with pytest.raises(ModelFileError, match=r"bomb\.onnx.*0\.01 s.*trusted=True"):
        Predictor(bomb(tmp_path, 4), spec=SPEC)


@pytest.mark.skipif(os.name != "posix", reason="starts a shell script")
def test_a_file_that_ends_its_process_is_refused(tmp_path, monkeypatch):
    crash = tmp_path / "python-that-crashes"
    crash.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crash.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(crash))
    with pytest.raises(ModelFileError, match=r"bomb\.onnx ends the process.*-11.*trusted=True"):
        Predictor(bomb(tmp_path, 4), spec=SPEC)


def test_a_damaged_file_raises_what_loading_it_raises(tmp_path):
    path = bomb(tmp_path, 4)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ModelFileError) as loading:
        Predictor(path, spec=SPEC, trusted=True)
    with pytest.raises(ModelFileError) as trying:
        Predictor(path, spec=SPEC)
    assert str(trying.value).startswith(str(loading.value))
