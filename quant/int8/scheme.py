"""Define how networks are quantized for each engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from edgehrnet.errors import InputError
from edgehrnet.models.checkpoints.ranges import LIMITS, ActivationType, Adds


@dataclass(frozen=True)
class Int8Scheme:
    """Quantization scheme of one target.

    Weights are always int8, per-channel (one scale per output channel) and symmetric, from -(2^(weight_bits - 1) - 1)
    to 2^(weight_bits - 1) - 1.
    """

    target: str
    """The engine that the INT8 file is built for."""

    activations: ActivationType
    """Either ``uint8`` with any zero point or ``int8`` with zero point 0, both with 256 levels.

    With the 255 levels from -127 to 127, OpenVINO would compute something else than torch.
    """

    adds: Adds = "identity"
    """Summands of an Add to quantize.

    ``identity`` quantizes the summands that a convolution also reads, such as the unchanged input in a residual block.
    ``all`` quantizes every summand.
    """

    weight_bits: int = 8
    """Bits per weight, 2 to 8. Use 7 for CPUs without VNNI, whose 16-bit sums of two 8-bit products overflow."""

    float_heads: bool = True
    """Keep the heads, and therefore the tensor that they read, in float."""

    every_result: bool = False
    """Quantize what every integer operation returns, before its activation too.

    ONNX Runtime computes a convolution or a sum on integers only if quantizers surround it directly. OpenVINO and
    TensorRT fuse the activation as well, and would only lose accuracy.
    """

    channel_ranges: bool = False
    """The engine runs a depthwise convolution on integers, and as fast, if each channel of its input has its own range.

    Only OpenVINO does. ONNX Runtime and TensorRT take one range for each activation.
    """

    def __post_init__(self) -> None:
        if not 2 <= self.weight_bits <= 8:
            raise InputError(f"weight_bits={self.weight_bits} is out of range; use 2 to 8")

    @property
    def symmetric(self) -> bool:
        """True if the zero point is always 0."""
        return self.activations == "int8"

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest integer value of an activation."""
        return LIMITS[self.activations]

    def replace(self, **changes: object) -> Int8Scheme:
        """Return a copy with some fields changed."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


SCHEMES: Mapping[str, Int8Scheme] = MappingProxyType(
    {
        scheme.target: scheme
        for scheme in (
            Int8Scheme("openvino", "uint8", channel_ranges=True),
            Int8Scheme("onnx", "uint8", adds="all", every_result=True),
            Int8Scheme("tensorrt", "int8"),
        )
    }
)
