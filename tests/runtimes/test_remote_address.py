"""Addresses of models on servers, which are taken apart without a server."""

import pickle

import pytest

import runtimes
from runtimes import ModelFileError
from runtimes.remote_address import RemoteModel


@pytest.mark.parametrize(
    ("url", "host", "name", "version"),
    [
        ("http://h:8000/v2/models/a", "h:8000", "a", ""),
        ("http://h/v2/models/a/versions/3", "h:80", "a", "3"),
        ("https://h/team/b/v2/models/a%20b/", "h:443/team/b", "a b", ""),
        ("http://[::1]:8000/v2/models/a", "[::1]:8000", "a", ""),
        ("grpc://h:8001/a", "h:8001", "a", ""),
        ("grpcs://h:8001/a/3", "h:8001", "a", "3"),
    ],
)
def test_an_address_is_taken_apart(url, host, name, version):
    address = RemoteModel(url)
    assert (address.host, address.name, address.version) == (host, name, version)
    assert address.is_grpc == url.startswith("grpc")
    assert address.has_tls == (url.split(":")[0] in ("https", "grpcs"))
    assert str(address) == url


@pytest.mark.parametrize(
    "url",
    [
        "http://h:8000/models/a",
        "http://h:8000",
        "http:///v2/models/a",
        "http://h:x/v2/models/a",
        "http://h:99999/v2/models/a",
        "http://user:secret@h/v2/models/a",
        "http://h/v2/models/a?b=c",
        "ftp://h/v2/models/a",
        "grpc://h:8001",
        "grpc://h:8001/a/1/infer",
    ],
)
def test_addresses_of_no_model(url):
    with pytest.raises(ModelFileError, match="accepted: http://HOST"):
        runtimes.load(url)


@pytest.mark.parametrize("wrong", [{"timeout": 0}, {"retries": -1}, {"ca_file": "absent.pem"}])
def test_values_that_are_not_accepted(wrong):
    with pytest.raises(ModelFileError, match=str(next(iter(wrong.values())))):
        RemoteModel("grpc://h:8001/a", **wrong)


def test_a_token_is_sent_and_not_shown(monkeypatch):
    address = RemoteModel("grpc://h:8001/a", token="secret")
    assert address.headers == {"authorization": "Bearer secret"}
    assert "secret" not in repr(address)
    assert pickle.loads(pickle.dumps(address)) == address
    monkeypatch.setenv("EDGEHRNET_TOKEN", "other")
    assert RemoteModel("grpc://h:8001/a").headers == {"authorization": "Bearer other"}
    assert address.headers == {"authorization": "Bearer secret"}
    monkeypatch.delenv("EDGEHRNET_TOKEN")
    assert RemoteModel("grpc://h:8001/a").headers == {}
