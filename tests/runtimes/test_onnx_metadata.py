import contextlib

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper

from runtimes.errors import ModelFileError
from runtimes.onnx_metadata import read_metadata


def model(**metadata):
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [value])
    made = helper.make_model(graph)
    helper.set_model_props(made, metadata)
    return made.SerializeToString()


@given(text=st.text(max_size=300), other=st.text(max_size=20))
def test_reads_what_onnx_writes(tmp_path_factory, text, other):
    path = tmp_path_factory.getbasetemp() / "a.onnx"
    path.write_bytes(model(author=other, edgehrnet=text))
    assert read_metadata(path) == text


def test_reads_an_exported_file(onnx_model):
    held = {entry.key: entry.value for entry in onnx.load(onnx_model.path).metadata_props}
    assert read_metadata(onnx_model.path) == held["edgehrnet"]


def test_returns_none_without_metadata(tmp_path):
    (tmp_path / "a.onnx").write_bytes(model(author="me"))
    assert read_metadata(tmp_path / "a.onnx") is None


@given(content=st.binary(max_size=60))
def test_other_content_raises_our_error_or_has_no_metadata(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "b.onnx"
    path.write_bytes(content)
    with contextlib.suppress(ModelFileError):
        assert read_metadata(path) is None or b"edgehrnet" in content


def test_refuses_a_truncated_file(tmp_path):
    (tmp_path / "a.onnx").write_bytes(model(edgehrnet="text")[:-3])
    with pytest.raises(ModelFileError, match=r"a\.onnx"):
        read_metadata(tmp_path / "a.onnx")
