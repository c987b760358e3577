"""Run models on servers that speak the Open Inference Protocol v2, such as Triton and OpenVINO Model Server."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from runtimes.base import METADATA_KEY, MODEL_INFO, Batch, Description
from runtimes.errors import ClosedError, DeviceError, ModelFileError, RemoteError, RemoteTimeoutError
from runtimes.ports import InputPort, Size, filled, first_of, read_outputs, shapes_of
from runtimes.remote_address import RemoteModel
from runtimes.remote_clients import TIMED_OUT, UNREACHABLE, open_client

T = TypeVar("T")
RESIZES = "resizes"  # key under which a server says "true" if it takes inputs of any height and width
KINDS = {"UINT8": "u8", "FP16": "f16", "FP32": "f32", "FP64": "f64"}
BACKOFF = 0.1  # seconds before the second attempt


class RemoteRuntime:
    """Runtime of a model on a server. It is thread-safe. The server decides about devices, threads and caches."""

    def __init__(
        self,
        address: RemoteModel,
        device: str | None = None,
        *,
        input_size: Size | None = None,
        open_size: Size | None = None,
    ) -> None:
        """Ask the server what the model takes and gives. For the arguments, see `runtimes.load`."""
        if device is not None:
            raise DeviceError(f"device {device!r}: the server at {address} chooses the device; leave out device")
        self._address, self._client, self._closed = address, open_client(address), False
        try:
            server, model, config = attempted(address, self._client.about)
            self._fields, tensor, outputs = attempted(
                address, lambda: (stored_fields(model, config), _only_input(address, model), _outputs(model))
            )
            self._server = f"{server.get('name', 'server')} {server.get('version', '')}".strip()
            self._resizes = self._fields.get(RESIZES) == "true"
            self._name, self._datatype, shape = tensor
            self._takes_batches = len(shape) > 0 and shape[0] < 1
            kind = KINDS.get(self._datatype, self._datatype)
            self._port = InputPort.read(address, kind, filled(kind, shape, input_size, open_size))
            self._outputs, self._unread = read_outputs(address, self._port.batch, outputs)
            self._shapes = shapes_of(self._outputs)
            if input_size not in (None, self._port.input.size):
                height, width = self._port.input.size
                raise ModelFileError(f"{address} runs at {height}x{width}; leave out input_size")
        except BaseException:
            self.close()
            raise

    def run(self, image: Batch) -> dict[str, NDArray[np.float32]]:
        """Send a batch to the server, one picture at a time if the model takes no more."""
        if self._closed:
            raise ClosedError
        self._port.input.check(image, any_size=self._resizes)
        step = len(image) if self._takes_batches else 1
        parts = [self._infer(image[n : n + step]) for n in range(0, len(image), max(1, step))]
        if not parts:
            return {name: np.empty((0, *shape[1:]), np.float32) for name, shape in self._shapes.items()}
        if len(parts) == 1:
            return parts[0]
        return {name: np.concatenate([part[name] for part in parts]) for name in self._shapes}

    def _infer(self, part: Batch) -> dict[str, NDArray[np.float32]]:
        array = np.ascontiguousarray(part if self._takes_batches else self._port.array(part))
        names = list(self._shapes)
        batch = 1 if self._takes_batches else self._port.batch

        def infer() -> dict[str, NDArray[np.float32]]:
            found = self._client.infer(self._name, self._datatype, array, names)
            outputs = {name: np.array(first_of(found[name], batch)) for name in names}  # copies of read-only arrays
            sized = part.shape[1:] == self._port.input.shape  # those of other sizes have other sizes
            for name, output in outputs.items():
                if output.shape[:1] != part.shape[:1] or (sized and output.shape[1:] != self._shapes[name][1:]):
                    raise ValueError(f"{name} has the shape {output.shape} for {len(part)} pictures")
            return outputs

        return attempted(self._address, infer)

    def prepare(self, size: tuple[int, int], count: int = 1) -> bool:  # noqa: ARG002 - one of the protocol
        """Return False: the server compiles."""
        return False

    def describe(self) -> Description:
        """Return what is served and where."""
        if self._closed:
            raise ClosedError
        metadata = self._fields.get(METADATA_KEY)
        address = str(self._address)
        return Description(
            "remote", self._server, address, self._port.input, self._shapes, metadata, resizes=self._resizes
        )

    def settings(self) -> dict[str, Any]:
        """Return the name and version of the server, and the outputs that are not read."""
        settings = {"server": self._server, "outputs_not_read": self._unread}
        return {key: value for key, value in settings.items() if value}

    def close(self) -> None:
        """Close the connection."""
        if not self._closed:
            self._closed = True
            self._client.close()


def attempted(address: RemoteModel, action: Callable[[], T]) -> T:
    """Call ``action``, and call it again after connection errors.

    Raises:
        RemoteTimeoutError: The server did not answer in time.
        RemoteError: No server answers, or it answers with an error, whose text is part of this one.
    """
    from tritonclient.utils import InferenceServerException

    for attempt in range(address.retries + 1):
        if attempt:
            time.sleep(BACKOFF * 2 ** (attempt - 1))
        try:
            return action()
        except InferenceServerException as error:
            reason, status = str(error.message()), error.status()
            if status == TIMED_OUT:
                raise _timeout(address, reason) from None
            if status != UNREACHABLE:
                raise RemoteError(f"the server at {address} refuses: {reason}") from None
        except TimeoutError as error:
            raise _timeout(address, str(error)) from None
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise RemoteError(f"the server at {address} does not follow the protocol: {error!r}") from None
        except ssl.SSLError as error:
            raise RemoteError(f"no encrypted connection to {address}: {error}") from None
        except (OSError, HTTPException) as error:  # HTTPException: closed before the answer was complete
            reason = str(error) or type(error).__name__
    tries = f"{address.retries + 1} attempts" if address.retries else "1 attempt"
    raise RemoteError(f"no answer from {address} after {tries}: {reason}; check that the server runs and is reachable")


def _timeout(address: RemoteModel, reason: str) -> RemoteTimeoutError:
    return RemoteTimeoutError(
        f"no answer from {address} within {address.timeout:g} s ({reason}); "
        "pass another time with RemoteModel(url, timeout=SECONDS)"
    )


def stored_fields(model: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts that a server has for a model.

    Args:
        model: Metadata of the model. OpenVINO Model Server shows ``model_info`` of the file in it.
        config: Configuration of the model. Triton shows parameters in it.

    >>> stored_fields({"rt_info": {"model_info": {"labels": "a b"}}}, {"parameters": {"k": {"string_value": "v"}}})
    {'k': 'v', 'labels': 'a b'}
    """
    parameters = config.get("parameters") or {}
    info = (model.get("rt_info") or {}).get(MODEL_INFO) or {}
    texts = {key: value.get("string_value") for key, value in parameters.items() if isinstance(value, Mapping)} | info
    return {key: value for key, value in texts.items() if isinstance(value, str)}


def _only_input(address: RemoteModel, model: Mapping[str, Any]) -> tuple[str, str, list[int]]:
    """Return name, datatype and shape of the input. Dimensions that are open are below 1."""
    inputs = model.get("inputs") or []
    if len(inputs) != 1:
        names = ", ".join(str(tensor.get("name")) for tensor in inputs) or "none"
        raise ModelFileError(f"{address}: expected one input, the server names {names}")
    return inputs[0]["name"], inputs[0]["datatype"], _shape(inputs[0])


def _outputs(model: Mapping[str, Any]) -> list[tuple[str, str, list[int]]]:
    """Return name, element type and shape of each output for one picture. bfloat16 is read as float32."""
    kinds = {**KINDS, "BF16": "f32"}
    tensors = model.get("outputs") or []
    found = [(tensor["name"], kinds.get(tensor["datatype"], tensor["datatype"]), _shape(tensor)) for tensor in tensors]
    return [(name, kind, [1 if side < 1 else side for side in shape[:1]] + shape[1:]) for name, kind, shape in found]


def _shape(tensor: Mapping[str, Any]) -> list[int]:
    return [int(side) for side in tensor["shape"]]
