"""Answer REST requests of the Open Inference Protocol v2 with Starlette."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from edgehrnet.serving import metrics
from edgehrnet.serving.models import Served
from edgehrnet.serving.protocol import LENGTH, read_rest, write_rest
from edgehrnet.serving.refused import RefusedError
from edgehrnet.serving.service import GONE, SERVER, Service, infer, keypoints

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

Handler = Callable[["Request"], Awaitable["Response"]]


class Rest:
    """The handlers of the REST server."""

    def __init__(self, service: Service) -> None:
        from starlette import responses

        self._service, self._responses = service, responses

    def routes(self) -> list[tuple[str, Handler, str]]:
        """Return paths with their handlers and HTTP method."""
        return [
            ("/v2", self._open(self._server), "GET"),
            ("/v2/health/live", self._live, "GET"),
            ("/v2/health/ready", self._ready, "GET"),
            ("/metrics", self._open(self._metrics), "GET"),
            *(
                (f"/v2/models/{{name}}{version}{path}", self._open(handler), method)
                for version in ("", "/versions/{version}")
                for path, handler, method in (
                    ("", self._metadata, "GET"),
                    ("/config", self._config, "GET"),
                    ("/ready", self._model_ready, "GET"),
                    ("/infer", self._infer, "POST"),
                    ("/keypoints", self._keypoints, "POST"),
                )
            ),
        ]

    def _open(self, handler: Handler) -> Handler:
        """Return a handler that needs the token, and that answers errors as the protocol wants them."""

        async def handle(request: Request) -> Response:
            try:
                self._service.check_token(request.headers.get("authorization"))
                return await handler(request)
            except RefusedError as refused:
                await self._drain(request)
                return self._error(refused.status, str(refused))

        return handle

    def _error(self, status: int, text: str) -> Response:
        headers = {401: {"WWW-Authenticate": "Bearer"}, 429: {"Retry-After": "1"}, 503: {"Retry-After": "1"}}
        return self._responses.JSONResponse({"error": text}, status, headers=headers.get(status))

    def _json(self, values: Any) -> Response:
        return self._responses.JSONResponse(values)

    async def _live(self, request: Request) -> Response:  # noqa: ARG002 - as all handlers
        return self._json({"live": True})

    async def _ready(self, request: Request) -> Response:  # noqa: ARG002
        ready = not self._service.gate.closing
        return self._responses.JSONResponse({"ready": ready}, 200 if ready else 503)

    async def _server(self, request: Request) -> Response:  # noqa: ARG002
        return self._json(SERVER)

    async def _metrics(self, request: Request) -> Response:  # noqa: ARG002
        text = self._service.metrics.text(self._service.gauges())
        return self._responses.Response(text, media_type=metrics.TYPE)

    def _model(self, request: Request) -> Served:
        return self._service.model(request.path_params["name"], request.path_params.get("version", ""))

    async def _metadata(self, request: Request) -> Response:
        return self._json(self._model(request).metadata())

    async def _config(self, request: Request) -> Response:
        return self._json(self._model(request).config())

    async def _model_ready(self, request: Request) -> Response:
        served = self._model(request)
        return self._json({"name": served.name, "ready": not self._service.gate.closing})

    async def _infer(self, request: Request) -> Response:
        length = request.headers.get(LENGTH)

        def work(served: Served, body: bytes) -> tuple[bytes, int | None]:
            read = read_rest(served, body, length)
            return write_rest(served, read, infer(served, read))

        body, head = await self._worked(request, "rest", work)
        if head is None:
            return self._responses.Response(body, media_type="application/json")
        return self._responses.Response(body, headers={LENGTH: str(head)}, media_type="application/octet-stream")

    async def _keypoints(self, request: Request) -> Response:
        boxes, box_format = request.query_params.get("boxes"), request.query_params.get("box_format", "xywh")

        def work(served: Served, body: bytes) -> bytes:
            return json.dumps(keypoints(served, body, boxes, box_format)).encode()

        return self._responses.Response(await self._worked(request, "picture", work), media_type="application/json")

    async def _worked(self, request: Request, method: str, work: Callable[[Served, bytes], Any]) -> Any:
        """Let a request in, read it, and return what ``work`` makes of it."""

        async def answer() -> Any:
            served = self._model(request)
            with self._service.gate.entered():
                body = await self._body(request)
                return await self._service.gate.run(lambda: work(served, body))

        return await self._service.counted(request.path_params["name"], method, answer)

    async def _body(self, request: Request) -> bytes:
        """Read the body. Raise RefusedError if it is too long, comes too slowly, or is compressed."""
        from starlette.requests import ClientDisconnect

        encoding, limit = request.headers.get("content-encoding", "identity"), self._service.options.max_body
        if encoding != "identity":
            raise RefusedError(415, f"the body has the encoding {encoding!r}; send it as it is")
        declared = request.headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            raise RefusedError(413, f"the body has {declared} bytes; accepted: at most {limit}")
        parts: list[bytes] = []

        async def read() -> None:
            size = 0
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise RefusedError(413, f"the body has more than {limit} bytes, the most that is accepted")
                parts.append(part)

        try:
            await asyncio.wait_for(read(), self._service.options.timeout)
        except asyncio.TimeoutError:
            raise RefusedError(408, f"the body did not arrive within {self._service.options.timeout:g} s") from None
        except ClientDisconnect:
            raise RefusedError(GONE, "the client hung up") from None
        return b"".join(parts)

    async def _drain(self, request: Request) -> None:
        """Read what is left of a refused request, because many clients read the answer only when all is sent."""
        from starlette.requests import ClientDisconnect

        async def read() -> None:
            size = 0
            async for part in request.stream():
                size += len(part)
                if size > self._service.options.max_body:
                    return

        try:
            await asyncio.wait_for(read(), self._service.options.timeout)
        except (asyncio.TimeoutError, ClientDisconnect, RuntimeError):  # RuntimeError: it was read already
            return


def application(service: Service) -> Starlette:
    """Return the REST server as an ASGI application."""
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.routing import Route

    rest = Rest(service)

    async def unknown(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        path = request.url.path
        text = f"{request.method} {path} is not known here; the protocol's paths begin with /v2/models/NAME"
        return rest._error(error.status_code, text)

    routes = [Route(path, handler, methods=[method]) for path, handler, method in rest.routes()]
    return Starlette(routes=routes, exception_handlers={HTTPException: unknown})
