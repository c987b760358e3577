"""Run the servers for REST and gRPC in one event loop until they are told to end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType, ModuleType
from typing import Any

from edgehrnet.errors import InputError, MissingExtraError
from edgehrnet.serving.models import Served
from edgehrnet.serving.options import Options
from edgehrnet.serving.service import Service

KEEP_ALIVE = 75  # seconds that an idle connection stays open
INSTALL = "type: pip install 'edgehrnet[serve]'"


@dataclass(frozen=True)
class Running:
    """A server that has started."""

    port: int
    """Port for REST."""
    grpc_port: int | None
    """Port for gRPC, None if there is none."""
    stop: Callable[[], None]
    """Begins to end the server. May be called from any thread."""


def serve(models: dict[str, Served], options: Options, started: Callable[[Running], None]) -> None:
    """Serve models until SIGTERM, Ctrl-C or ``Running.stop``. Then answer what was let in, and close the models.

    Args:
        models: The models by name.
        options: Where to listen, and what to accept.
        started: Is called when the servers listen.

    Raises:
        MissingExtraError: A package is missing.
        InputError: A port is taken.
    """
    service = Service(models, options)
    try:
        asyncio.run(_serve(service, options, _uvicorn(), started))
    finally:
        service.close()


def _uvicorn() -> ModuleType:
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise MissingExtraError(f"serving needs uvicorn and starlette ({error}); {INSTALL}") from None
    module: ModuleType = uvicorn
    return module


async def _serve(service: Service, options: Options, uvicorn: ModuleType, started: Callable[[Running], None]) -> None:
    from edgehrnet.serving import rest, rpc

    listening = _socket(options)
    server = _rest_server(uvicorn, rest.application(service), options)
    loop = asyncio.get_running_loop()

    def end() -> None:
        """Refuse new requests and let the servers end. A second call does not wait."""
        server.force_exit = service.gate.closing
        service.gate.closing = server.should_exit = True

    def stop() -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(end)

    grpc_server, grpc_port = None, None
    if options.grpc_port is not None:
        grpc_server, grpc_port = await rpc.start(service, options)
    with listening, _signals(stop):
        started(Running(listening.getsockname()[1], grpc_port, stop))
        await server.serve(sockets=[listening])
        if grpc_server is not None:
            await grpc_server.stop(options.timeout)


def _socket(options: Options) -> socket.socket:
    """Open the port before anything else starts."""
    try:
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        return socket.create_server((options.host, options.port), family=family, backlog=1024)
    except OSError as error:
        raise InputError(f"cannot listen on {options.host}:{options.port}: {error}; pass another --port") from None


def _rest_server(uvicorn: ModuleType, application: Any, options: Options) -> Any:
    config = uvicorn.Config(
        application,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=max(1, round(options.timeout)),
        ssl_certfile=options.certificate,
        ssl_keyfile=options.key,
    )
    server = uvicorn.Server(config)
    server.capture_signals = contextlib.nullcontext  # its own handlers would end the process by the same signal again
    return server


@contextlib.contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` on SIGTERM and Ctrl-C. Only the main thread may change how signals are treated."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
