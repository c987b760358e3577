"""A server at its limits: size, time, queue, token and end. Every request gets an answer."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import runtimes.null
from edgehrnet.errors import InputError
from edgehrnet.serving.models import open_models
from edgehrnet.serving.options import Options
from edgehrnet.serving.server import serve
from edgehrnet.serving.service import Service
from tests.edgehrnet.serving.conftest import serving

PATH = "/v2/models/corners"
TENSOR = {"name": "image", "datatype": "UINT8", "shape": [1, 64, 96, 4]}
REQUEST = {"inputs": [{**TENSOR, "data": [0] * (64 * 96 * 4)}], "outputs": [{"name": "offsets"}]}


@contextmanager
def held(server, monkeypatch):
    """Hold the network until the context ends, after a first request has reached it."""
    engine, reached, go = server.models["corners"].predictor._engine, threading.Event(), threading.Event()
    run = engine.run

    def wait(image):
        reached.set()
        assert go.wait(20)
        return run(image)

    monkeypatch.setattr(engine, "run", wait)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(server.infer, REQUEST)
        assert reached.wait(20)
        try:
            yield first
        finally:
            go.set()


def test_a_full_server_refuses_and_what_it_let_in_is_answered(null_model, monkeypatch):
    with serving(null_model.path, workers=1, queue=0) as server:
        with held(server, monkeypatch) as first:
            refused = server.infer(REQUEST)
            assert (refused.status, refused.headers["retry-after"]) == (429, "1")
            assert "1 requests" in refused.json["error"]
        assert first.result().status == 200
        assert server.infer(REQUEST).status == 200


def test_a_request_that_takes_too_long_is_answered_in_time(null_model, monkeypatch):
    with serving(null_model.path, timeout=0.2) as server, held(server, monkeypatch) as first:
        answer = first.result()
        assert answer.status == 504
        assert "0.2 s" in answer.json["error"]


def test_a_body_that_does_not_arrive_is_answered_in_time(null_model):
    with serving(null_model.path, timeout=0.2) as server:
        with socket.create_connection(("127.0.0.1", server.running.port), timeout=20) as client:
            client.sendall(f"POST {PATH}/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{{".encode())
            assert client.recv(100).startswith(b"HTTP/1.1 408 ")
        assert server.infer(REQUEST).status == 200


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_that_is_too_long_is_refused(server, declared):
    parts = [b" " * 100_000] * 11
    answer = server.ask("POST", f"{PATH}/infer", b"".join(parts) if declared else iter(parts))
    assert answer.status == 413
    assert "1000000" in answer.json["error"]


def test_a_compressed_body_is_refused(server):
    answer = server.infer(b"\x1f\x8b", **{"Content-Encoding": "gzip"})
    assert answer.status == 415
    assert "gzip" in answer.json["error"]


def test_a_token_is_needed_except_for_health(null_model):
    with serving(null_model.path, token="secret") as server:
        assert server.get("/v2/health/ready").status == 200
        for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": "secret"}):
            assert server.get(PATH, **headers).status == 401
            assert server.infer(REQUEST, **headers).status == 401
        assert server.infer(REQUEST, Authorization="Bearer secret").status == 200


def test_faults_of_the_server_do_not_show_their_inside(null_model, monkeypatch, caplog):
    with serving(null_model.path) as server:

        def fail(image):
            raise OSError("/secret/path")

        monkeypatch.setattr(server.models["corners"].predictor._engine, "run", fail)
        answer = server.infer(REQUEST)
        assert answer.status == 500
        assert "OSError" in answer.json["error"]
        assert "secret" not in answer.json["error"]
        assert "/secret/path" in caplog.text


def test_numbers_that_json_lacks_are_refused_and_pass_as_bytes(null_model, tmp_path):
    outputs = {**null_model.outputs, "hf": np.full_like(null_model.outputs["hf"], np.nan)}
    runtimes.null.build(tmp_path / "nan.null", null_model.spec.to_json(), (64, 96), outputs)
    with serving(tmp_path / "nan.null") as server:
        numbers = server.infer({**REQUEST, "outputs": [{"name": "hf"}]})
        assert numbers.status == 400
        assert "hf" in numbers.json["error"]
        answer = server.infer({**REQUEST, "outputs": [{"name": "hf", "parameters": {"binary_data": True}}]})
        found = np.frombuffer(answer.body[int(answer.headers["inference-header-content-length"]) :], np.float32)
        assert np.isnan(found).all()


def test_metrics_count_by_status(null_model):
    with serving(null_model.path) as server:
        server.infer(REQUEST)
        server.infer(REQUEST)
        server.infer(b"")
        server.ask("POST", "/v2/models/made-up/infer", b"")
        answer = server.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        lines = [line for line in answer.body.decode().splitlines() if not line.startswith("#")]
        assert all(re.fullmatch(r'[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+-]+', line) for line in lines)
        assert 'edgehrnet_requests_total{model="corners",method="rest",status="200"} 2' in lines
        assert 'edgehrnet_requests_total{model="corners",method="rest",status="400"} 1' in lines
        assert 'edgehrnet_requests_total{model="",method="rest",status="404"} 1' in lines
        assert 'edgehrnet_request_seconds_bucket{model="corners",method="rest",le="+Inf"} 2' in lines
        assert "edgehrnet_requests_inside 0" in lines


def test_a_client_that_hangs_up_is_not_counted_as_answered():
    service = Service({}, Options())

    async def hang_up():
        task = asyncio.create_task(service.counted("corners", "grpc", lambda: asyncio.sleep(20)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(hang_up())
    service.close()
    assert 'status="499"} 1' in service.metrics.text({})
    assert 'status="200"' not in service.metrics.text({})


def test_a_server_that_ends_answers_what_it_let_in(null_model, monkeypatch):
    with serving(null_model.path) as server, held(server, monkeypatch) as first:
        server.running.stop()
    assert first.result().status == 200


@pytest.mark.slow
def test_sigterm_ends_the_command_with_status_0(null_model):
    command = [sys.executable, "-m", "edgehrnet", "serve", f"a={null_model.path}", "--port", "0", "--no-grpc"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline(), process.stdout.readline()]
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    assert re.fullmatch(r"http://127.0.0.1:\d+/v2/models/a\n", lines[0])
    assert lines[1].startswith("ready")


def test_a_port_that_is_taken_is_named(null_model):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        options = Options(port=port)
        with pytest.raises(InputError, match=str(port)):
            serve(open_models([str(null_model.path)], options), options, print)


@pytest.mark.parametrize("models", [["a/b={0}"], ["a={0}", "a={0}"], ["={0}"]])
def test_names_that_cannot_be_served(null_model, models):
    with pytest.raises(InputError, match="NAME="):
        open_models([model.format(null_model.path) for model in models], Options())


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"timeout": 0.0}, {"queue": -1}, {"key": Path("key.pem")}])
def test_options_that_are_not_accepted(wrong):
    with pytest.raises(InputError, match=next(iter(wrong)) if "key" not in wrong else "certificate"):
        Options(**wrong)
