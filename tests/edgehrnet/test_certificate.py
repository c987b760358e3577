"""Save and read the certificate beside a model file. One that belongs to another file is refused."""

import dataclasses
import hashlib
import json
import re
from typing import Any

import pytest

from edgehrnet.certificate import Certificate, certificate_path, digest, int8_cost, parts, read_certificate
from edgehrnet.errors import MissingFileError, ModelFileError

VALUES: dict[str, Any] = {
    "str": "openvino 2026.1",
    "int": 126,
    "float": 0.125,
    "float | None": 1.01,
    "dict[str, str]": {"torch": "2.13"},
    "dict[str, int]": {"brgconv_avx512_i8": 120},
    "dict[str, Any]": {},
    "tuple[str, ...]": ("equalize",),
    "tuple[dict[str, Any], ...]": ({"input_size": [64, 32], "sqnr_db": 30.5},),
    "Precision": "int8",
}


def certificate(model, **changes):
    values = {field.name: VALUES[str(field.type)] for field in dataclasses.fields(Certificate)}
    return Certificate(**(values | {"file": model.name, "digest": digest(model)} | changes))


@pytest.fixture(params=["corners.xml", "corners.onnx"])
def model(request, tmp_path):
    path = tmp_path / request.param
    for part in parts(path):
        part.write_bytes(b"content of " + part.name.encode())
    return path


@pytest.mark.parametrize("changes", [{}, {"parity": None, "distance": None, "precision": "fp32"}])
def test_saved_certificate_is_read_back(model, changes):
    saved = certificate(model, **changes)
    path = saved.save(model)
    assert path == certificate_path(model)
    assert read_certificate(model) == saved
    # Other programs read it too: plain JSON with one key per field.
    names = {field.name for field in dataclasses.fields(Certificate)} - {"extra"}
    assert set(json.loads(path.read_text())) == names | {"format"}


def test_share_is_that_of_the_macs_or_of_the_convolutions(model):
    counted = certificate(model, convolutions=4, convolutions_int8=1, macs=10, macs_int8=9)
    assert counted.int8_share == 0.9
    assert dataclasses.replace(counted, macs=0, macs_int8=0).int8_share == 0.25
    assert dataclasses.replace(counted, macs=0, macs_int8=0, convolutions=0, convolutions_int8=0).int8_share == 0


@pytest.mark.parametrize(
    ("drift", "limit", "word"), [(2.0, 1.0, "too much"), (2.0, 2.5, "within 2.5 px"), (None, 1.0, "not measured")]
)
def test_the_cost_of_int8_says_whether_it_is_too_much(drift, limit, word):
    cost = int8_cost(12.68, drift, limit)
    assert cost.startswith("12.7 dB")
    assert word in cost
    assert ("--corrections auto" in cost) == (word == "too much")


def test_a_certificate_without_a_cost_keeps_its_bytes(model):
    assert "int8_cost" not in certificate(model, int8_cost="").to_dict()


def test_missing_certificate_is_none(model):
    assert read_certificate(model) is None


def test_digest_covers_all_parts(tmp_path):
    alone, graph, weights = tmp_path / "a.onnx", tmp_path / "a.xml", tmp_path / "a.bin"
    for path in (alone, graph, weights):
        path.write_bytes(path.suffix.encode())
    assert digest(alone) == hashlib.sha256(b".onnx").hexdigest()
    assert digest(graph) == hashlib.sha256(b".xml.bin").hexdigest()


def test_missing_part_is_named(model):
    last = parts(model)[-1]
    last.unlink()
    with pytest.raises(MissingFileError, match=last.name):
        digest(model)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"3", b"\xff\xfe", b"{}", b'{"file": "corners.xml"}', b'"text"'],
)
def test_garbage_is_refused(model, content):
    certificate_path(model).write_bytes(content)
    with pytest.raises(ModelFileError, match=re.escape(str(certificate_path(model)))):
        read_certificate(model)


def rewrite(model, **changes):
    """Save a certificate with other JSON values. None removes a key."""
    path = certificate(model).save(model)
    values = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in values.items() if value is not None}))
    return path


def test_optional_field_of_a_newer_release_is_kept(model):
    path = rewrite(model, format=2, watts=[1.5, {"idle": 2}], optional=["watts"])
    found = read_certificate(model)
    assert found is not None
    assert found.macs == VALUES["int"]
    assert found.extra == {"watts": [1.5, {"idle": 2}]}
    found.save(model)
    written = json.loads(path.read_text())
    assert (written["watts"], written["optional"]) == ([1.5, {"idle": 2}], ["watts"])
    assert read_certificate(model) == found


@pytest.mark.parametrize("optional", [None, [], ["color"]])
def test_required_field_of_a_newer_release_is_refused(model, optional):
    rewrite(model, watts=3, optional=optional)
    with pytest.raises(ModelFileError, match="'watts'"):
        read_certificate(model)


@pytest.mark.parametrize("version", [None, 0, "1", False])
def test_missing_or_wrong_format_is_refused(model, version):
    rewrite(model, format=version)
    with pytest.raises(ModelFileError, match=f"format {version!r}"):
        read_certificate(model)


def test_missing_field_is_refused(model):
    rewrite(model, parity=None)  # removes the key
    with pytest.raises(ModelFileError, match="'parity'"):
        read_certificate(model)


def test_value_of_another_type_is_refused(model):
    rewrite(model, macs="many")
    with pytest.raises(ModelFileError, match="macs='many'"):
        read_certificate(model)
