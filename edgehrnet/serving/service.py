"""Answer requests, independent of the transport: find the model, let the request in, run it, count it."""

from __future__ import annotations

import hmac
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from edgehrnet import __version__
from edgehrnet.errors import BatchError, EdgeHRNetError, InputError, UnsupportedError
from edgehrnet.serving.gate import Gate
from edgehrnet.serving.metrics import Metrics
from edgehrnet.serving.models import VERSION, Served
from edgehrnet.serving.options import Options
from edgehrnet.serving.protocol import Request
from edgehrnet.serving.refused import RefusedError

T = TypeVar("T")
SERVER = {"name": "edgehrnet", "version": __version__, "extensions": ["binary_tensor_data", "model_configuration"]}
GONE = 499  # status in the metrics of a request whose client hung up
_log = logging.getLogger(__name__)


class Service:
    """The models of a server, with what all transports share."""

    def __init__(self, models: Mapping[str, Served], options: Options) -> None:
        self.models, self.options = models, options
        self.gate, self.metrics = Gate(options), Metrics()

    def model(self, name: str, version: str = "") -> Served:
        """Return a model. Raise RefusedError if there is no such model or version."""
        if name not in self.models:
            raise RefusedError(404, f"no model {name!r}; this server has {', '.join(sorted(self.models))}")
        if version not in ("", VERSION):
            raise RefusedError(404, f"no version {version!r} of {name!r}; this server has {VERSION}")
        return self.models[name]

    def check_token(self, header: str | None) -> None:
        """Raise RefusedError unless a request has the token of this server."""
        token = self.options.token
        if token is not None and not hmac.compare_digest((header or "").encode(), f"Bearer {token}".encode()):
            raise RefusedError(401, "this server needs a token; send the header 'Authorization: Bearer TOKEN'")

    async def counted(self, name: str, method: str, answer: Callable[[], Awaitable[T]]) -> T:
        """Await an answer and count it. All errors come out as RefusedError."""
        start, status = time.perf_counter(), GONE
        try:
            found = await answer()
            status = 200
            return found
        except Exception as error:
            refused = refusal(error)
            status = refused.status
            raise refused from None
        finally:
            known = name if name in self.models else ""  # a client must not invent series of numbers
            self.metrics.count(known, method, status, time.perf_counter() - start)

    def gauges(self) -> dict[str, float]:
        """Return numbers for the metrics that hold at this moment."""
        return {"requests_inside": self.gate.inside, "models": len(self.models), "ready": not self.gate.closing}

    def close(self) -> None:
        """Wait for what runs, and close the models."""
        self.gate.close()
        for served in self.models.values():
            served.predictor.close()


def infer(served: Served, request: Request) -> Mapping[str, Any]:
    """Run the network on the input of a request."""
    served.check(request.array)
    return served.predictor._runtime.run(request.array)


def keypoints(served: Served, picture: bytes, boxes: str | None, box_format: str) -> dict[str, Any]:
    """Find the keypoints in a picture file, and return them as JSON values.

    Args:
        served: The model.
        picture: Content of the file.
        boxes: JSON of an ``(N, 4)`` array, for a model that takes crops.
        box_format: See ``Predictor.predict``.
    """
    try:
        parsed = None if boxes is None else json.loads(boxes)
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, f"boxes is not JSON: {error}; send [[x, y, width, height], ...]") from None
    if served.predictor.spec.crop is not None and parsed is None:
        raise RefusedError(400, f"the model {served.name} takes boxes; add ?boxes=[[x, y, width, height], ...]")
    return served.predictor.predict(picture, boxes=parsed, box_format=box_format).to_dict()


def refusal(error: Exception) -> RefusedError:
    """Return an error as the client sees it. What is no fault of the request is logged."""
    if isinstance(error, RefusedError):
        return error
    if isinstance(error, BatchError | InputError | UnsupportedError):
        return RefusedError(400, str(error))
    _log.error("a request failed", exc_info=error)
    if isinstance(error, EdgeHRNetError):
        return RefusedError(500, str(error))
    return RefusedError(500, f"the server failed ({type(error).__name__}); its log says more")
