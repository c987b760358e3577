"""The certificate beside a model file: written, read, and refused where it belongs to something else."""

import dataclasses
import hashlib
import json

import pytest

from edgehrnet.certificate import Certificate, certificate_path, digest, parts, read_certificate
from edgehrnet.errors import MissingFileError, ModelFileError

VALUES = {
    "str": "openvino 2026.1",
    "int": 126,
    "float": 0.125,
    "float | None": 1.01,
    "dict[str, str]": {"torch": "2.13"},
}


def certificate(model, **changes):
    values = {field.name: VALUES[field.type] for field in dataclasses.fields(Certificate)}
    return Certificate(**(values | {"file": model.name, "digest": digest(model)} | changes))


@pytest.fixture(params=["corners.xml", "corners.onnx"])
def model(request, tmp_path):
    path = tmp_path / request.param
    for part in parts(path):
        part.write_bytes(b"content of " + part.name.encode())
    return path


@pytest.mark.parametrize("changes", [{}, {"parity": None, "distance": None, "quantization": "float32"}])
def test_what_is_saved_is_read(model, changes):
    saved = certificate(model, **changes)
    path = saved.save(model)
    assert path == certificate_path(model)
    assert read_certificate(model) == saved
    # For other programs: plain JSON, a key for each field.
    assert set(json.loads(path.read_text())) == {field.name for field in dataclasses.fields(Certificate)}


def test_there_may_be_none(model):
    assert read_certificate(model) is None


def test_the_digest_is_that_of_all_parts(tmp_path):
    alone, graph, weights = tmp_path / "a.onnx", tmp_path / "a.xml", tmp_path / "a.bin"
    for path in (alone, graph, weights):
        path.write_bytes(path.suffix.encode())
    assert digest(alone) == hashlib.sha256(b".onnx").hexdigest()
    assert digest(graph) == hashlib.sha256(b".xml.bin").hexdigest()


def test_that_of_another_file_is_refused(model):
    certificate(model).save(model)
    for part in parts(model):
        before = part.read_bytes()
        part.write_bytes(before + b"!")
        with pytest.raises(ModelFileError, match=f"belongs to another {model.name}; build the file again"):
            read_certificate(model)
        part.write_bytes(before)
    assert read_certificate(model) is not None


def test_a_part_that_is_missing_is_named(model):
    certificate(model).save(model)
    last = parts(model)[-1]
    last.unlink()
    with pytest.raises(MissingFileError, match=f"{last.name} is not there"):
        read_certificate(model)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"3", b"\xff\xfe", b"{}", b'{"file": "corners.xml"}', b'"text"'],
)
def test_garbage_is_refused(model, content):
    certificate_path(model).write_bytes(content)
    with pytest.raises(ModelFileError, match="is no certificate"):
        read_certificate(model)


def test_unknown_and_missing_fields_are_refused(model):
    path = certificate(model).save(model)
    values = json.loads(path.read_text())
    path.write_text(json.dumps(values | {"color": 1}))
    with pytest.raises(ModelFileError, match=r"is no certificate: .*color"):
        read_certificate(model)
    del values["parity"]
    path.write_text(json.dumps(values))
    with pytest.raises(ModelFileError, match=r"is no certificate: .*parity"):
        read_certificate(model)
