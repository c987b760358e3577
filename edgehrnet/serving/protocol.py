"""Read requests of the Open Inference Protocol v2 and write its answers, with JSON or bytes as data."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgehrnet.serving.models import VERSION, Served
from edgehrnet.serving.refused import RefusedError
from runtimes.base import INPUT, Batch

LENGTH = "inference-header-content-length"  # header with the length of the JSON, if bytes follow it
DTYPES: dict[str, np.dtype[Any]] = {"UINT8": np.dtype("<u1"), "FP32": np.dtype("<f4")}
OUTPUT_TYPE = "FP32"


@dataclass(frozen=True)
class Request:
    """A request that was read."""

    array: Batch
    """The input."""
    outputs: Mapping[str, bool]
    """Outputs to return, and whether as bytes."""
    id: str | None = None
    """The client's name of the request."""


def read_rest(served: Served, body: bytes, length: str | None) -> Request:
    """Read the body of a REST request.

    Args:
        served: The model.
        body: JSON, or JSON with the bytes of the input behind it.
        length: Value of the header `LENGTH`, None if the body is JSON.

    Raises:
        RefusedError: The request is wrong.
    """
    if length is not None and not (length.isdecimal() and int(length) <= len(body)):
        raise RefusedError(400, f"Inference-Header-Content-Length is {length!r}, and the body has {len(body)} bytes")
    end = len(body) if length is None else int(length)
    try:
        head = json.loads(body[:end])
    except (ValueError, RecursionError) as error:
        raise RefusedError(400, f"the body is not JSON: {error}") from None
    if not isinstance(head, dict):
        raise RefusedError(400, f"the body is a JSON {type(head).__name__}; send an object with inputs")
    tensor = _only_input(head.get("inputs"))
    size = _parameters(tensor).get("binary_data_size")
    array = _from_json(served, tensor) if size is None else _from_bytes(served, tensor, body[end:], size)
    if size is None and end != len(body):
        raise RefusedError(400, f"{len(body) - end} bytes follow the JSON, and no input has binary_data_size")
    identity = head.get("id")
    if not isinstance(identity, str | None):
        raise RefusedError(400, f"id is {identity!r}; send a string")
    return Request(array, _wanted(served, head), identity)


def write_rest(served: Served, request: Request, found: Mapping[str, NDArray[np.float32]]) -> tuple[bytes, int | None]:
    """Return the body of an answer, and the length of its JSON if bytes follow."""
    tensors, tail = [], []
    for name, as_bytes in request.outputs.items():
        array = found[name].astype("<f4", copy=False)
        tensor = {"name": name, "datatype": OUTPUT_TYPE, "shape": list(array.shape)}
        if as_bytes:
            tensors.append({**tensor, "parameters": {"binary_data_size": array.nbytes}})
            tail.append(array.tobytes())
            continue
        if not np.isfinite(array).all():
            raise RefusedError(400, f"{name} has NaN or infinity, which JSON lacks; ask for it with binary_data")
        tensors.append({**tensor, "data": array.ravel().tolist()})
    identity = {} if request.id is None else {"id": request.id}
    answer = {"model_name": served.name, "model_version": VERSION, **identity, "outputs": tensors}
    head = json.dumps(answer, separators=(",", ":")).encode()
    return b"".join([head, *tail]), len(head) if tail else None


def check_array(served: Served, name: Any, datatype: Any, shape: Any) -> list[int]:
    """Return the shape of an input. Raise RefusedError if its name, type or shape is not what the model takes."""
    if name != INPUT:
        raise RefusedError(400, f"the input is called {name!r}; the model {served.name} takes {INPUT!r}")
    if datatype != served.datatype:
        raise RefusedError(
            400, f"the datatype of {INPUT} is {datatype!r}; the model {served.name} takes {served.datatype!r}"
        )
    if not isinstance(shape, list) or not all(type(side) is int and side >= 0 for side in shape):
        raise RefusedError(400, f"the shape of {INPUT} is {shape!r}; send a list of whole numbers")
    return shape


def array_of(served: Served, shape: list[int], content: bytes) -> Batch:
    """Return bytes as the input. Raise RefusedError if they are too few or too many."""
    dtype = DTYPES[served.datatype]
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise RefusedError(
            400, f"{INPUT} has {len(content)} bytes, and {shape} needs {math.prod(shape) * dtype.itemsize}"
        )
    return np.array(np.frombuffer(content, dtype).reshape(shape))  # a copy, as engines want memory to write to


def array_of_numbers(served: Served, shape: list[int], data: Any) -> Batch:
    """Return numbers, flat or nested, as the input. Raise RefusedError if they do not fit its shape or its type."""
    try:
        numbers = np.asarray(data)
    except (ValueError, OverflowError):
        raise RefusedError(
            400, f"data of {INPUT} is not numbers; send a flat list, or nested lists of equal lengths"
        ) from None
    if numbers.dtype.kind not in "iuf" and numbers.size:
        raise RefusedError(
            400, f"data of {INPUT} is not numbers that a computer stores; send whole numbers or fractions"
        )
    if numbers.size != math.prod(shape):
        raise RefusedError(400, f"data of {INPUT} has {numbers.size} numbers, and {shape} needs {math.prod(shape)}")
    with np.errstate(over="ignore", invalid="ignore"):
        array = numbers.astype(DTYPES[served.datatype]).reshape(shape)
    if served.datatype == "UINT8" and not np.array_equal(array.ravel(), numbers.ravel()):
        raise RefusedError(400, f"data of {INPUT} has numbers that are no bytes; send whole numbers from 0 to 255")
    return array


def _only_input(inputs: Any) -> dict[str, Any]:
    if not isinstance(inputs, list) or len(inputs) != 1 or not isinstance(inputs[0], dict):
        raise RefusedError(400, f"inputs must be a list of one object, named {INPUT!r}")
    found: dict[str, Any] = inputs[0]
    return found


def _parameters(part: Mapping[str, Any]) -> dict[str, Any]:
    found = part.get("parameters") or {}
    if not isinstance(found, dict):
        raise RefusedError(400, f"parameters is a JSON {type(found).__name__}; send an object")
    return found


def _from_bytes(served: Served, tensor: Mapping[str, Any], content: bytes, size: Any) -> Batch:
    shape = check_array(served, tensor.get("name"), tensor.get("datatype"), tensor.get("shape"))
    if size != len(content):
        raise RefusedError(400, f"binary_data_size of {INPUT} is {size!r}, and {len(content)} bytes follow the JSON")
    return array_of(served, shape, content)


def _from_json(served: Served, tensor: Mapping[str, Any]) -> Batch:
    shape = check_array(served, tensor.get("name"), tensor.get("datatype"), tensor.get("shape"))
    if "data" not in tensor:
        raise RefusedError(400, f"{INPUT} has no data; send data, or bytes with binary_data_size")
    return array_of_numbers(served, shape, tensor["data"])


def _wanted(served: Served, head: Mapping[str, Any]) -> dict[str, bool]:
    """Return the outputs to return, and whether as bytes."""
    default = _parameters(head).get("binary_data_output") is True
    asked = head.get("outputs")
    if not asked:
        return dict.fromkeys(served.described.outputs, default)
    if not isinstance(asked, list) or not all(isinstance(output, dict) for output in asked):
        raise RefusedError(400, "outputs must be a list of objects with a name")
    wanted = {str(output.get("name")): _parameters(output).get("binary_data", default) is True for output in asked}
    check_outputs(served, wanted)
    return wanted


def check_outputs(served: Served, wanted: Mapping[str, Any]) -> None:
    """Raise RefusedError unless the model has the outputs."""
    unknown = [name for name in wanted if name not in served.described.outputs]
    if unknown:
        raise RefusedError(
            400, f"no output {unknown[0]!r}; the model {served.name} has {', '.join(served.described.outputs)}"
        )
