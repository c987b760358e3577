"""Wrap the clients of ``tritonclient``, one for REST and one for gRPC, in the same few calls."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from runtimes.base import Batch
from runtimes.errors import MissingExtraError
from runtimes.remote_address import RemoteModel

_TYPED = {"FP32": "fp32_contents", "FP64": "fp64_contents"}  # gRPC fields of answers that are not raw bytes
UNREACHABLE, TIMED_OUT = "StatusCode.UNAVAILABLE", "StatusCode.DEADLINE_EXCEEDED"
INSTALL = "type: pip install 'edgehrnet[remote]'"


class Client(Protocol):
    """A connection to one server. Its methods may be called from several threads."""

    def about(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Return the metadata of the server, that of the model, and the model's configuration, empty if unknown."""
        ...

    def infer(self, name: str, datatype: str, array: Batch, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Run the model on one array, and return the named outputs."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


def open_client(address: RemoteModel) -> Client:
    """Return a client for the protocol of an address. It connects with its first call."""
    return GrpcClient(address) if address.is_grpc else HttpClient(address)


class HttpClient:
    """REST with the binary extension. Each thread has a connection of its own, which is kept open."""

    def __init__(self, address: RemoteModel) -> None:
        try:
            import tritonclient.http
        except ImportError as error:
            raise MissingExtraError(f"{address} needs tritonclient ({error}); {INSTALL}") from None
        self._module: Any = tritonclient.http
        self._address = address
        self._here = threading.local()  # tritonclient's REST client works in the thread that made it only

    @property
    def _client(self) -> Any:
        if not hasattr(self._here, "client"):
            address = self._address
            self._here.client = self._module.InferenceServerClient(
                address.host,
                connection_timeout=address.timeout,
                network_timeout=address.timeout,
                ssl=address.has_tls,
                ssl_options={} if address.ca_file is None else {"ca_certs": str(address.ca_file)},
            )
        return self._here.client

    def about(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Return the three descriptions, see `Client`."""
        address = self._address
        server = self._client.get_server_metadata(headers=address.headers)
        model = self._client.get_model_metadata(address.name, address.version, headers=address.headers)
        return server, model, _optional(self._config)

    def _config(self) -> dict[str, Any]:
        address = self._address
        found: dict[str, Any] = self._client.get_model_config(address.name, address.version, headers=address.headers)
        return found

    def infer(self, name: str, datatype: str, array: Batch, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Run the model, with arrays as bytes in both directions."""
        given = self._module.InferInput(name, list(array.shape), datatype)
        given.set_data_from_numpy(array, binary_data=True)
        wanted = [self._module.InferRequestedOutput(output, binary_data=True) for output in outputs]
        address = self._address
        answer = self._client.infer(address.name, [given], address.version, outputs=wanted, headers=address.headers)
        return {output: answer.as_numpy(output) for output in outputs}

    def close(self) -> None:
        """Close this thread's connection. Those of other threads close when the threads end."""
        client = self._here.__dict__.pop("client", None)
        if client is not None:
            client.close()


class GrpcClient:
    """All threads share one gRPC channel."""

    def __init__(self, address: RemoteModel) -> None:
        try:
            import tritonclient.grpc
        except ImportError as error:
            raise MissingExtraError(f"{address} needs tritonclient and grpcio ({error}); {INSTALL}") from None
        self._module: Any = tritonclient.grpc
        self._client: Any = tritonclient.grpc.InferenceServerClient(
            address.host,
            ssl=address.has_tls,
            root_certificates=None if address.ca_file is None else str(address.ca_file),
        )
        self._address = address

    def about(self) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Return the three descriptions, see `Client`."""
        address, options = self._address, self._options()
        server = self._client.get_server_metadata(as_json=True, **options)
        model = self._client.get_model_metadata(address.name, address.version, as_json=True, **options)
        return server, model, _optional(self._config)

    def _config(self) -> dict[str, Any]:
        address = self._address
        found = self._client.get_model_config(address.name, address.version, as_json=True, **self._options())
        config: dict[str, Any] = found["config"]
        return config

    def infer(self, name: str, datatype: str, array: Batch, outputs: Sequence[str]) -> dict[str, NDArray[Any]]:
        """Run the model, with arrays as bytes."""
        given = self._module.InferInput(name, list(array.shape), datatype)
        given.set_data_from_numpy(array)
        wanted = [self._module.InferRequestedOutput(output) for output in outputs]
        address = self._address
        answer = self._client.infer(address.name, [given], address.version, outputs=wanted, **self._options())
        return {output: _array(answer, output) for output in outputs}

    def close(self) -> None:
        """Close the channel."""
        self._client.close()

    def _options(self) -> dict[str, Any]:
        return {"headers": self._address.headers, "client_timeout": self._address.timeout}


def _array(answer: Any, output: str) -> Any:
    """Return an output of a gRPC answer. tritonclient reads raw bytes only, and other servers also send numbers."""
    found = answer.get_output(output)
    values = getattr(found.contents, _TYPED.get(found.datatype, ""), ()) if found is not None else ()
    return np.array(values, np.float32).reshape(tuple(found.shape)) if values else answer.as_numpy(output)


def _optional(ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return an answer that a server need not give, empty if it refuses."""
    from tritonclient.utils import InferenceServerException

    try:
        return ask()
    except InferenceServerException as error:
        if error.status() in (UNREACHABLE, TIMED_OUT):
            raise
        return {}
