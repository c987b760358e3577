"""Read and write the sidecar of a TensorRT plan, and list the operations of a plan.

The format of TensorRT-RTX plans is not documented. `plan_layers` was checked with the versions in `CHECKED_VERSIONS`.
It tries plans of other versions too, and raises an error if it cannot read them.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runtimes.base import Layer
from runtimes.errors import ModelFileError
from runtimes.json_files import read_json
from runtimes.writing import write_file

SUFFIX = ".json"
CHECKSUM = "checksum"  # field of a sidecar with the SHA-256 of all others
REBUILD = "build the plan again from its ONNX file with runtimes.tensorrt.build"
CHECKED_VERSIONS = ("1.7.1.116",)  # of TensorRT-RTX

# TensorRT-RTX stores each part of a network as text for its compiler: a mark, 4 unknown bytes, length, text.
_PART = re.compile(rb"NLYM.{4}(.{8})header \{", re.DOTALL)
_MARK_BYTES = 8 + 8
_TENSOR = re.compile(r'^  tensor=\{ .*?dims=\{([^}]*)\} .*?name="([^"]*)" .*type=(\w+) \}$', re.MULTILINE)
_OPERATION = re.compile(r'^  (\w+)=\{ name="?([^" ]+)"? (.*)$', re.MULTILINE)
_INPUTS = re.compile(r"\binput(?:_args)?=\{([^}]*)\}")
_OUTPUTS = re.compile(r"\boutput(?:_args)?=\{([^}]*)\}")
_PRODUCT = "__gemm_from_conv1x1"
_SOURCE = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
# Synchronization between streams, and a summary of a part that has its own text.
_NO_WORK = ("signal", "wait", "runtime_fusion")
_PRECISIONS = {"float": "f32", "half": "f16", "int8": "i8", "uint8": "u8", "bfloat16": "bf16"}
_INSPECTED = re.compile(r"\b(uint8|int8|bfloat16|half|fp16|float|fp32)\b")  # in the inspector's descriptions


class _UnknownTextError(ValueError):
    """The text of a plan is not in the known format."""


@dataclass(frozen=True)
class Sidecar:
    """Facts about a plan, stored next to it as ``<name of the plan>.json`` because a plan cannot hold them."""

    engine: str
    """Module that built the plan and runs it, ``tensorrt_rtx`` or ``tensorrt``."""

    version: str
    """Version of that module."""

    compute_capability: tuple[int, int]
    """(major, minor) of the GPU that the plan is built for."""

    input_shape: tuple[int, ...]
    """``[1, H, W, C]``."""

    source: str
    """SHA-256 of the ONNX file, in hexadecimal."""

    plan: str
    """SHA-256 of the plan, in hexadecimal."""

    metadata: str | None
    """Text that `Description.metadata` returns, None for none."""

    layers: tuple[Layer, ...]
    """Operations of the plan."""

    def save(self, plan: Path) -> None:
        """Write the sidecar next to a plan."""
        values = asdict(self)
        write_file(sidecar_path(plan), json.dumps({**values, CHECKSUM: _checksum(values)}, indent=1) + "\n")

    @classmethod
    def read(cls, plan: Path) -> Sidecar:
        """Read the sidecar of a plan.

        Raises:
            ModelFileError: The sidecar is missing or damaged.
        """
        path = sidecar_path(plan)
        if not path.is_file():
            raise ModelFileError(f"{plan.name} needs its {path.name} next to it: {path} does not exist")
        try:
            values = read_json(path)
            checksum = values.pop(CHECKSUM, None)
            if checksum not in (None, _checksum(values)):
                raise ValueError(f"its {CHECKSUM} differs")
            for name in ("engine", "version", "source", "plan", "metadata"):
                if not (isinstance(values[name], str) or (name == "metadata" and values[name] is None)):
                    raise TypeError(f"{name} is {values[name]!r}")
            major, minor = map(int, values["compute_capability"])
            values["compute_capability"] = major, minor
            _, _, _, _ = values["input_shape"] = tuple(map(int, values["input_shape"]))
            values["layers"] = tuple(
                Layer(**{**layer, "sources": tuple(layer["sources"])}) for layer in values["layers"]
            )
            return cls(**values)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise ModelFileError(f"{path} is damaged ({error!r}); {REBUILD}") from None


def sidecar_path(plan: Path) -> Path:
    """Return the path of a plan's sidecar, such as ``corners.engine.json`` for ``corners.engine``."""
    return plan.with_name(plan.name + SUFFIX)


def _checksum(values: dict[str, Any]) -> str:
    return sha256(json.dumps(values, sort_keys=True).encode())


def sha256(content: bytes) -> str:
    """Return the SHA-256 of ``content`` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def plan_layers(plan: bytes, version: str) -> tuple[Layer, ...]:
    """List the operations of a TensorRT-RTX plan.

    The precision of a convolution is the type of its activations and weights, such as ``i8``, or ``f32/i8`` if they
    differ. The precision of any other operation is the type of its output. MACs include channels that the engine adds
    to a grouped convolution.

    Args:
        plan: Content of the plan.
        version: Version of TensorRT-RTX that built it, for the error.

    Raises:
        ModelFileError: The operations cannot be read.
    """
    try:
        layers = tuple(layer for part in _parts(plan) for layer in _part_layers(part))
        if not layers:
            raise _UnknownTextError("it lists no operations")
    except _UnknownTextError as error:
        known = version in CHECKED_VERSIONS
        what = f"plan of TensorRT-RTX {version}" if known else f"plan of the unknown version TensorRT-RTX {version}"
        raise ModelFileError(
            f"cannot read the operations of a {what}: {error}; checked with {', '.join(CHECKED_VERSIONS)}"
        ) from None
    return layers


def _parts(plan: bytes) -> Iterator[str]:
    for match in _PART.finditer(plan):
        start = match.start() + _MARK_BYTES
        yield plan[start : start + int.from_bytes(match[1], "little")].decode("latin-1")


def _part_layers(text: str) -> Iterator[Layer]:
    tensors = {name: (kind, tuple(map(int, dims.split()))) for dims, name, kind in _TENSOR.findall(text)}
    for kind, name, body in _OPERATION.findall(text):
        if kind not in _NO_WORK:
            yield _layer(kind, name, body, tensors)


def _layer(kind: str, name: str, body: str, tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> Layer:
    read, written = ([tensors[n] for n in _names(pattern, body) if n in tensors] for pattern in (_INPUTS, _OUTPUTS))
    sources = tuple(_SOURCE.findall(body))
    # A 1x1 convolution may be compiled as a matrix product.
    product = _PRODUCT in body
    if kind != "corrltn" and not product:
        return Layer(name, kind, _precision(written[:1]), sources)
    if len(read) < 2 or not written:
        raise _UnknownTextError(f"the inputs of its convolution {name!r} are not described")
    weights, positions = read[0 if product else 1][1], written[0][1][2:]
    return Layer(name, "Convolution", _precision(read[:2]), sources, math.prod(weights) * math.prod(positions))


def _names(pattern: re.Pattern[str], body: str) -> list[str]:
    match = pattern.search(body)
    return [name.strip('"') for name in match[1].split()] if match else []


def _precision(tensors: list[tuple[str, tuple[int, ...]]]) -> str:
    return "/".join(dict.fromkeys(_PRECISIONS.get(kind, kind) for kind, _ in tensors)) or "unknown"


def inspected_layers(information: str) -> tuple[Layer, ...]:
    """List the operations of a TensorRT engine.

    Args:
        information: Detailed JSON from TensorRT's engine inspector.

    Raises:
        ModelFileError: The JSON does not contain the types of the operations.
    """
    try:
        return tuple(_inspected(layer) for layer in json.loads(information)["Layers"])
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ModelFileError(f"unknown format of TensorRT's engine inspector: {error!r}") from None


def _inspected(layer: Mapping[str, Any]) -> Layer:
    convolution = "conv" in f"{layer['LayerType']} {layer.get('ParameterType', '')}".lower()
    tensors = layer["Inputs" if convolution else "Outputs"]
    text = str(tensors[0]["Format/Datatype"]).lower() if tensors else ""
    word = _INSPECTED.search(text)
    precision = _PRECISIONS[word[0].replace("fp32", "float").replace("fp16", "half")] if word else text or "unknown"
    kind = "Convolution" if convolution else str(layer["LayerType"])
    return Layer(str(layer["Name"]), kind, precision, tuple(_SOURCE.findall(layer.get("Metadata", ""))))
