"""Answer gRPC requests of the Open Inference Protocol v2, with the messages that ``tritonclient`` has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from edgehrnet.errors import InputError, MissingExtraError
from edgehrnet.serving.models import Served
from edgehrnet.serving.options import Options
from edgehrnet.serving.protocol import (
    OUTPUT_TYPE,
    Request,
    array_of,
    array_of_numbers,
    check_array,
    check_outputs,
)
from edgehrnet.serving.refused import RefusedError
from edgehrnet.serving.service import SERVER, Service, infer

T = TypeVar("T")
CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_TYPED = {"UINT8": "uint_contents", "FP32": "fp32_contents"}  # fields of inputs that are not raw bytes
EXTRA_CALLS = 64  # calls above those that are let in, for which there is an answer that says so


def _modules() -> tuple[Any, Any, Any]:
    try:
        import grpc
        from tritonclient.grpc import service_pb2, service_pb2_grpc
    except ImportError as error:
        raise MissingExtraError(
            f"gRPC needs grpcio and tritonclient ({error}); type: pip install 'edgehrnet[serve]', or pass --no-grpc"
        ) from None
    return grpc, service_pb2, service_pb2_grpc


async def start(service: Service, options: Options) -> tuple[Any, int]:
    """Start the gRPC server in this event loop, and return it and its port."""
    grpc, messages, stubs = _modules()
    limits = [("grpc.max_receive_message_length", options.max_body), ("grpc.max_send_message_length", -1)]
    calls = options.workers + options.queue + EXTRA_CALLS
    server = grpc.aio.server(options=[*limits, ("grpc.so_reuseport", 0)], maximum_concurrent_rpcs=calls)
    stubs.add_GRPCInferenceServiceServicer_to_server(_servicer(service, grpc, messages, stubs), server)
    address = f"{options.host}:{options.grpc_port}"
    try:
        port = _listen(server, grpc, address, options)
    except RuntimeError as error:
        raise InputError(f"cannot listen on {address}: {error}; pass another --grpc-port") from None
    await server.start()
    return server, port


def _listen(server: Any, grpc: Any, address: str, options: Options) -> int:
    if options.key is None or options.certificate is None:
        return int(server.add_insecure_port(address))
    pair = Path(options.key).read_bytes(), Path(options.certificate).read_bytes()
    return int(server.add_secure_port(address, grpc.ssl_server_credentials([pair])))


async def _answered(service: Service, grpc: Any, context: Any, answer: Callable[[], Awaitable[T]]) -> T:
    """Await an answer, or end the call with the text of what is wrong."""
    try:
        service.check_token(dict(context.invocation_metadata()).get("authorization"))
        return await answer()
    except RefusedError as refused:
        code = getattr(grpc.StatusCode, CODES.get(refused.status, "INTERNAL"))
        await context.abort(code, str(refused))
        raise  # abort() has raised


def _servicer(service: Service, grpc: Any, messages: Any, stubs: Any) -> Any:
    """Return the object with a method for each call of the protocol."""

    def simply(make: Callable[[Any], Any]) -> Callable[..., Awaitable[Any]]:
        async def method(self: Any, request: Any, context: Any) -> Any:  # noqa: ARG001
            async def answer() -> Any:
                return make(request)

            return await _answered(service, grpc, context, answer)

        return method

    async def model_infer(self: Any, request: Any, context: Any) -> Any:  # noqa: ARG001
        async def answer() -> Any:
            served = service.model(request.model_name, request.model_version)
            with service.gate.entered():
                return await service.gate.run(lambda: _infer(served, request, messages))

        return await _answered(service, grpc, context, lambda: service.counted(request.model_name, "grpc", answer))

    async def server_live(self: Any, request: Any, context: Any) -> Any:  # noqa: ARG001
        return messages.ServerLiveResponse(live=True)

    async def server_ready(self: Any, request: Any, context: Any) -> Any:  # noqa: ARG001
        return messages.ServerReadyResponse(ready=not service.gate.closing)

    def model_ready(request: Any) -> Any:
        service.model(request.name, request.version)
        return messages.ModelReadyResponse(ready=not service.gate.closing)

    methods = {
        "ServerLive": server_live,
        "ServerReady": server_ready,
        "ModelReady": simply(model_ready),
        "ServerMetadata": simply(lambda _: messages.ServerMetadataResponse(**SERVER)),
        "ModelMetadata": simply(lambda r: _metadata(service.model(r.name, r.version), messages)),
        "ModelConfig": simply(lambda r: _config(service.model(r.name, r.version), messages)),
        "ModelInfer": model_infer,
    }
    return type("Servicer", (stubs.GRPCInferenceServiceServicer,), methods)()


def _metadata(served: Served, messages: Any) -> Any:
    shown = {key: value for key, value in served.metadata().items() if key != "rt_info"}  # not in the message
    return messages.ModelMetadataResponse(**shown)


def _config(served: Served, messages: Any) -> Any:
    from google.protobuf import json_format  # type: ignore[import-untyped]

    return json_format.ParseDict({"config": served.config()}, messages.ModelConfigResponse())


def _infer(served: Served, request: Any, messages: Any) -> Any:
    """Read a request, run the network and return the answer, with the outputs as bytes."""
    read = _read(served, request)
    found = infer(served, read)
    answer = messages.ModelInferResponse(model_name=served.name, model_version="1", id=request.id)
    for name in read.outputs:
        array = found[name].astype("<f4", copy=False)
        answer.outputs.add(name=name, datatype=OUTPUT_TYPE, shape=array.shape)
        answer.raw_output_contents.append(array.tobytes())
    return answer


def _read(served: Served, request: Any) -> Request:
    """Read a request. Raise RefusedError if it is wrong."""
    if len(request.inputs) != 1 or len(request.raw_input_contents) > 1:
        raise RefusedError(400, f"{len(request.inputs)} inputs; the model {served.name} takes one")
    tensor = request.inputs[0]
    shape = check_array(served, tensor.name, tensor.datatype, list(tensor.shape))
    if request.raw_input_contents:
        array = array_of(served, shape, request.raw_input_contents[0])
    else:
        array = array_of_numbers(served, shape, list(getattr(tensor.contents, _TYPED[tensor.datatype])))
    wanted = [output.name for output in request.outputs] or list(served.described.outputs)
    check_outputs(served, dict.fromkeys(wanted))
    return Request(array, dict.fromkeys(wanted, True))
