"""A Predictor of a model on a real server answers as the Predictor of the file, by REST and by gRPC."""

import os
import pickle
import socket
import subprocess
import threading
from contextlib import contextmanager, suppress

import numpy as np
import pytest

import runtimes
from edgehrnet import ModelSpec, Predictor, RemoteModel
from edgehrnet.cli import main
from edgehrnet.errors import InputError, MissingSpecError, RemoteError, RemoteTimeoutError
from tests.edgehrnet.serving.conftest import serving
from tests.edgehrnet.serving.test_limits import held

pytest.importorskip("tritonclient.http", reason="needs edgehrnet[remote]")
pytest.importorskip("tritonclient.grpc", reason="needs edgehrnet[remote]")
TRANSPORTS = ("http", "grpc")
# What gevent and grpc say about themselves is not ours.
pytestmark = pytest.mark.filterwarnings("default::DeprecationWarning", "default::ResourceWarning")


def address(server, transport):
    running = server.running
    if transport.startswith("grpc"):
        return f"{transport}://127.0.0.1:{running.grpc_port}/corners"
    return f"{transport}://127.0.0.1:{running.port}/v2/models/corners"


@pytest.fixture(scope="module")
def both(null_model):
    with serving(null_model.path, grpc_port=0) as found:
        yield found


def assert_same(found, expected):
    np.testing.assert_array_equal(found.keypoints.xy, expected.keypoints.xy)
    np.testing.assert_array_equal(found.keypoints.conf, expected.keypoints.conf)
    np.testing.assert_array_equal(found.heatmaps, expected.heatmaps)
    np.testing.assert_array_equal(found.hf, expected.hf)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_remote_is_local(both, null_model, transport):
    with Predictor(null_model.path) as local, Predictor(address(both, transport)) as remote:
        assert remote.spec == local.spec
        assert_same(remote.predict(null_model.picture), local.predict(null_model.picture))
        assert remote.info()["engine"] == "remote"
        assert remote.info()["settings"]["server"].startswith("edgehrnet ")
        assert remote.selfcheck().passed
        with pickle.loads(pickle.dumps(remote)) as copy:
            assert_same(copy.predict(null_model.picture), local.predict(null_model.picture))


def test_inputs_without_padding_run_on_the_server_too(checkpoint_model, noise_pictures):
    with serving(checkpoint_model.path, grpc_port=0) as server, Predictor(checkpoint_model.path) as local:
        for transport in TRANSPORTS:
            with Predictor(address(server, transport)) as remote:
                for picture in (noise_pictures[0], noise_pictures[1][:, :64]):
                    found = remote.predict(picture)
                    assert_same(found, local.predict(picture))
                assert found.transforms[0].input_size == (64, 32)


@pytest.fixture(scope="module")
def float_file(tmp_path_factory):
    """A file of another project, which takes float NCHW pictures, and its spec: maps of red, green and blue."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    tensors = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("image", (1, 3, 64, 96)), ("heatmaps", (1, 3, 16, 24)))
    ]
    pool = onnx.helper.make_node("AveragePool", ["image"], ["heatmaps"], kernel_shape=[4, 4], strides=[4, 4])
    graph = onnx.helper.make_graph([pool], "pool", tensors[:1], tensors[1:])
    folder = tmp_path_factory.mktemp("float")
    opsets = [onnx.helper.make_opsetid("", 17)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8), folder / "pool.onnx")
    (folder / "spec.json").write_text(ModelSpec.heatmaps("pool", ("a", "b", "c"), input_size=(64, 96)).to_json())
    return folder / "pool.onnx", folder / "spec.json"


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_files_of_other_projects_are_served_with_a_spec(float_file, null_model, transport):
    path, spec = float_file
    with (
        serving(path, spec=spec, grpc_port=0) as server,
        Predictor(path, spec=spec) as local,
        Predictor(address(server, transport)) as remote,
    ):
        assert remote.spec == local.spec
        found, expected = (predictor.predict(null_model.picture) for predictor in (remote, local))
        np.testing.assert_array_equal(found.keypoints.xy, expected.keypoints.xy)
        np.testing.assert_array_equal(found.heatmaps, expected.heatmaps)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_batches_and_threads_share_a_connection_or_have_their_own(both, null_model, transport):
    runtime = runtimes.load(address(both, transport))
    images = np.zeros((3, *null_model.spec.input_size, 4), np.uint8)
    found: list[dict[str, np.ndarray]] = []
    threads = [threading.Thread(target=lambda: found.append(runtime.run(images))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(found) == 4
    assert all(outputs["hf"].shape == (3, 16, 24, 8) for outputs in found)
    assert runtime.run(images[:0])["hf"].shape == (0, 16, 24, 8)
    found[0]["hf"][0] = 0  # the arrays belong to the caller
    runtime.close()
    with pytest.raises(runtimes.ClosedError):
        runtime.run(images)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_text_of_the_server_is_in_the_error(both, transport):
    wrong = address(both, transport).replace("corners", "hands")
    with pytest.raises(RemoteError, match=r"'hands'.*corners"):
        Predictor(wrong)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_full_server_is_not_asked_again(null_model, monkeypatch, transport):
    with serving(null_model.path, grpc_port=0, workers=1, queue=0) as server:
        runtime = runtimes.load(address(server, transport))
        with held(server, monkeypatch), pytest.raises(RemoteError, match="running or waiting"):
            runtime.run(np.zeros((1, 64, 96, 4), np.uint8))
        runtime.close()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_no_answer_in_time(both, monkeypatch, transport):
    runtime = runtimes.load(RemoteModel(address(both, transport), timeout=0.3))
    with held(both, monkeypatch), pytest.raises(RemoteTimeoutError, match=r"0\.3 s"):
        runtime.run(np.zeros((1, 64, 96, 4), np.uint8))
    runtime.close()


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_an_answer_of_another_shape_is_refused(both, monkeypatch, transport):
    runtime, engine = runtimes.load(address(both, transport)), both.models["corners"].predictor._engine
    run = engine.run
    monkeypatch.setattr(engine, "run", lambda image: {**run(image), "offsets": np.zeros((1, 2), np.float32)})
    with pytest.raises(RemoteError, match=r"offsets .*\(1, 2\)"):
        runtime.run(np.zeros((1, 64, 96, 4), np.uint8))
    runtime.close()


@contextmanager
def refusing_at_first(port, times):
    """Forward connections to a port, after hanging up on the first ones. Yields the port, and what happened."""
    listening = socket.create_server(("127.0.0.1", 0))
    seen: list[bool] = []

    def copy(source, target):
        with source, suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_RDWR)

    def accept():
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            seen.append(len(seen) < times)
            if seen[-1]:
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", port))
            for pair in ((client, server), (server, client)):
                threading.Thread(target=copy, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listening.getsockname()[1], seen
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def test_connection_errors_are_tried_again_and_connections_are_kept(both, null_model):
    with refusing_at_first(both.running.port, 2) as (port, seen):
        with Predictor(f"http://127.0.0.1:{port}/v2/models/corners") as remote:
            for _ in range(3):
                remote.predict(null_model.picture)
        assert seen == [True, True, False]


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_no_server_at_all(transport):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    path = "/corners" if transport == "grpc" else "/v2/models/corners"
    with pytest.raises(RemoteError, match="2 attempts") as caught:
        Predictor(RemoteModel(f"{transport}://127.0.0.1:{port}{path}", retries=1))
    assert isinstance(caught.value, ConnectionError)
    assert str(port) in str(caught.value)


@pytest.mark.parametrize("argument", [{"device": "cpu"}, {"threads": 1}, {"shapes": 2}, {"cache_dir": "."}])
def test_arguments_that_the_server_decides(both, argument):
    with pytest.raises(InputError, match=next(iter(argument))):
        Predictor(address(both, "http"), **argument)


def test_another_input_size_is_refused(both):
    with pytest.raises(runtimes.ModelFileError, match="64x96"):
        Predictor(address(both, "http"), input_size=(128, 192))


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_server_without_a_spec_needs_one(null_model, monkeypatch, transport):
    with serving(null_model.path, grpc_port=0) as server:
        monkeypatch.setattr(type(server.models["corners"]), "texts", lambda self: {})
        with pytest.raises(MissingSpecError, match="corners"):
            Predictor(address(server, transport))
        with Predictor(address(server, transport), spec=null_model.spec) as remote:
            assert isinstance(remote.spec, ModelSpec)


@pytest.fixture(scope="module")
def pem(tmp_path_factory):
    """A certificate for 127.0.0.1 and its key."""
    folder = tmp_path_factory.mktemp("pem")
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out certificate.pem -days 2 -subj /CN=localhost"
    )
    names = ["-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run([*command.split(), *names], cwd=folder, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs openssl to make a certificate")
    return folder


@pytest.mark.parametrize("transport", ["https", "grpcs"])
def test_tls_and_token(null_model, pem, transport):
    secrets = {"token": "secret", "certificate": pem / "certificate.pem", "key": pem / "key.pem"}
    with serving(null_model.path, grpc_port=0, **secrets) as server:
        url, authority = address(server, transport), pem / "certificate.pem"
        with Predictor(RemoteModel(url, token="secret", ca_file=authority)) as remote:
            assert remote.predict(null_model.picture).keypoints.xy.shape == (1, 4, 2)
        with pytest.raises(RemoteError, match="Authorization: Bearer"):
            Predictor(RemoteModel(url, ca_file=authority))
        with pytest.raises(RemoteError):  # the system does not know the authority
            Predictor(RemoteModel(url, token="secret", retries=0))


def test_the_command_predicts_on_a_server(both, null_model, tmp_path, capsys):
    from PIL import Image

    Image.fromarray(null_model.picture).save(tmp_path / "a.png")
    assert main(["predict", address(both, "http"), str(tmp_path / "a.png"), "--json"]) == 0
    assert '"top-left"' in capsys.readouterr().out
    assert main(["info", address(both, "grpc")]) == 0
    assert address(both, "grpc") in capsys.readouterr().out
    assert "EDGEHRNET_TOKEN" not in os.environ
