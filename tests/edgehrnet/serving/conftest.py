"""A real server on a free port, in a thread of this process, with the model that answers with stored arrays."""

import contextlib
import http.client
import json
import queue
import threading
from dataclasses import dataclass

import pytest

from edgehrnet.serving.models import open_models
from edgehrnet.serving.options import Options
from edgehrnet.serving.server import Running, serve

pytest.importorskip("uvicorn", reason="needs edgehrnet[serve]")
pytest.importorskip("starlette", reason="needs edgehrnet[serve]")


@dataclass(frozen=True)
class Answer:
    """An answer of the server."""

    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class Server:
    """A running server."""

    def __init__(self, running: Running, models) -> None:
        self.running, self.models = running, models

    def ask(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.running.port, timeout=20)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def get(self, path, **headers):
        return self.ask("GET", path, headers=headers)

    def infer(self, body, **headers):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask("POST", "/v2/models/corners/infer", content, headers)


@contextlib.contextmanager
def serving(model, spec=None, **options):
    """Start a server, and stop it at the end."""
    chosen = Options(**{"port": 0, "timeout": 10.0, **options})
    models = open_models([f"corners={model}"], chosen, spec=spec)
    started: queue.Queue = queue.Queue()
    thread = threading.Thread(target=lambda: serve(models, chosen, started.put))
    thread.start()
    running = started.get(timeout=20)
    try:
        yield Server(running, models)
    finally:
        running.stop()
        thread.join(timeout=20)
        assert not thread.is_alive()


@pytest.fixture(scope="package")
def server(null_model):
    with serving(null_model.path, max_body=1_000_000, max_pixels=1_000_000) as found:
        yield found
