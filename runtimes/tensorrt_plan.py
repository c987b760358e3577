"""TensorRT plans: the JSON that lies beside one, and the list of its operations, read from the plan itself."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from runtimes.base import Layer, ModelFileError

SUFFIX = ".json"
REBUILD = "rebuild with: python -m quant.export CHECKPOINT --out DIR --targets tensorrt"

# TensorRT-RTX stores each part of a network as text for its compiler: a mark, 4 bytes of version, length, text.
_PART = re.compile(rb"NLYM.{4}(.{8})header \{", re.DOTALL)
_MARK_BYTES = 8 + 8
_TENSOR = re.compile(r'^  tensor=\{ .*?dims=\{([^}]*)\} .*?name="([^"]*)" .*type=(\w+) \}$', re.MULTILINE)
_OPERATION = re.compile(r'^  (\w+)=\{ name="?([^" ]+)"? (.*)$', re.MULTILINE)
_INPUTS = re.compile(r"\binput(?:_args)?=\{([^}]*)\}")
_OUTPUTS = re.compile(r"\boutput(?:_args)?=\{([^}]*)\}")
_PRODUCT = "__gemm_from_conv1x1"
_SOURCE = re.compile(r"\[ONNX Layer: ([^\]]*)\]")
# Order between streams, and the sum of a part that has its own text.
_NO_WORK = ("signal", "wait", "runtime_fusion")
_PRECISIONS = {"float": "f32", "half": "f16", "int8": "i8", "uint8": "u8", "bfloat16": "bf16"}
_INSPECTED = re.compile(r"\b(uint8|int8|bfloat16|half|fp16|float|fp32)\b")  # of the inspector's sentences


@dataclass(frozen=True)
class Sidecar:
    """What lies beside a plan as ``<name of the plan>.json``; a plan itself has no room for it.

    ``engine``: module that built and runs it. ``input_shape``: ``[1, H, W, 4]``. ``source`` and ``plan``: SHA-256 of
    the ONNX file and of the plan.
    """

    engine: str
    version: str
    compute_capability: tuple[int, int]
    input_shape: tuple[int, ...]
    source: str
    plan: str
    metadata: str | None
    layers: tuple[Layer, ...]

    def save(self, plan: Path) -> None:
        """Write it beside a plan."""
        sidecar_path(plan).write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, plan: Path) -> Sidecar:
        """Read what lies beside a plan.

        Raises:
            ModelFileError: there is nothing, or it is damaged.
        """
        path = sidecar_path(plan)
        if not path.is_file():
            raise ModelFileError(f"{plan.name} needs the {path.name} that was written with it: {path} does not exist")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
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
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelFileError(f"{path} is damaged ({error!r}); {REBUILD}") from None


def sidecar_path(plan: Path) -> Path:
    """``corners.engine`` -> ``corners.engine.json``."""
    return plan.with_name(plan.name + SUFFIX)


def sha256(content: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def plan_layers(plan: bytes) -> tuple[Layer, ...]:
    """Read the operations of a TensorRT-RTX plan.

    A convolution's precision is the type of what it reads, activations and weights (``i8``; ``f32/i8`` if they
    differ), any other operation's that of what it writes. MACs are those that run: channels that the engine adds to
    a grouped convolution count.

    Raises:
        ModelFileError: the plan holds no text that this can read.
    """
    layers = tuple(layer for part in _parts(plan) for layer in _part_layers(part))
    if not layers:
        raise ModelFileError("the plan does not list its operations in a form known here, so nothing vouches for it")
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
    # A convolution of 1x1 may be compiled as the product of matrices that it is.
    product = _PRODUCT in body
    if kind != "corrltn" and not product:
        return Layer(name, kind, _precision(written[:1]), sources)
    if len(read) < 2 or not written:
        raise ModelFileError(f"the plan does not say what its convolution {name!r} reads, so nothing vouches for it")
    factor, places = read[0 if product else 1][1], written[0][1][2:]
    return Layer(name, "Convolution", _precision(read[:2]), sources, math.prod(factor) * math.prod(places))


def _names(pattern: re.Pattern[str], body: str) -> list[str]:
    match = pattern.search(body)
    return [name.strip('"') for name in match[1].split()] if match else []


def _precision(tensors: list[tuple[str, tuple[int, ...]]]) -> str:
    return "/".join(dict.fromkeys(_PRECISIONS.get(kind, kind) for kind, _ in tensors)) or "unknown"


def inspected_layers(information: str) -> tuple[Layer, ...]:
    """Read the operations from what the inspector of an engine of TensorRT says in JSON, in detail.

    Raises:
        ModelFileError: it does not say of what types the operations are.
    """
    try:
        return tuple(_inspected(layer) for layer in json.loads(information)["Layers"])
    except (ValueError, TypeError, KeyError, IndexError) as error:
        raise ModelFileError(
            f"TensorRT's inspector does not list the plan's operations as known here: {error!r}"
        ) from None


def _inspected(layer: Mapping[str, Any]) -> Layer:
    convolution = "conv" in f"{layer['LayerType']} {layer.get('ParameterType', '')}".lower()
    tensors = layer["Inputs" if convolution else "Outputs"]
    said = str(tensors[0]["Format/Datatype"]).lower() if tensors else ""
    word = _INSPECTED.search(said)
    precision = _PRECISIONS[word[0].replace("fp32", "float").replace("fp16", "half")] if word else said or "unknown"
    kind = "Convolution" if convolution else str(layer["LayerType"])
    return Layer(str(layer["Name"]), kind, precision, tuple(_SOURCE.findall(layer.get("Metadata", ""))))
