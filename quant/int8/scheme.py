"""What each engine wants of an INT8 network, as rows of data."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edgehrnet.errors import InputError
from edgehrnet.models.checkpoints.ranges import LIMITS, ActivationType, Adds


@dataclass(frozen=True)
class Int8Scheme:
    """How networks are quantized for one target.

    Weights are always int8, per output channel, symmetric, in +-(2^(weight_bits - 1) - 1).

    Attributes:
        target: the engine.
        activations: ``uint8`` with any zero point, or ``int8`` with zero point 0; 256 levels in both. In
            [-127, 127], OpenVINO computes something else.
        adds: which summands of an Add are quantized. ``identity``: those that a convolution reads as well, the
            identity side of a residual; ``all``: every one.
        weight_bits: 7 for CPUs without VNNI, whose 16-bit sums of two 8-bit products overflow.
        float_heads: keep the heads, and so the tensor that feeds them, in float.
    """

    target: str
    activations: ActivationType
    adds: Adds = "identity"
    weight_bits: int = 8
    float_heads: bool = True

    def __post_init__(self) -> None:
        if not 2 <= self.weight_bits <= 8:
            raise InputError(f"weight_bits={self.weight_bits}: 2 to 8")

    @property
    def symmetric(self) -> bool:
        """Whether the zero point is always 0."""
        return self.activations == "int8"

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest whole number of an activation."""
        return LIMITS[self.activations]

    def replace(self, **changes: object) -> Int8Scheme:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


SCHEMES: Mapping[str, Int8Scheme] = MappingProxyType(
    {
        scheme.target: scheme
        for scheme in (
            Int8Scheme("openvino", "uint8"),
            Int8Scheme("onnx", "uint8"),
            Int8Scheme("tensorrt", "int8"),
        )
    }
)
