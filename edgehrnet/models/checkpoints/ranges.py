"""Store the quantization ranges of one network for one target engine."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from edgehrnet.errors import ModelFileError

ActivationType = Literal["uint8", "int8"]
Adds = Literal["identity", "all"]
Channels = tuple[tuple[float, ...], tuple[int, ...]]
LIMITS: Mapping[str, tuple[int, int]] = {"uint8": (0, 255), "int8": (-128, 127)}


@dataclass(frozen=True)
class RangeTable:
    """Quantization of one network for one target engine. A checkpoint stores it beside the float weights."""

    target: str
    """Engine: ``openvino``, ``onnx`` or ``tensorrt``."""

    activations: ActivationType
    """Type of quantized activations: ``uint8`` with any zero point, or ``int8`` with zero point 0."""

    weight_bits: int
    """Bits of a quantized weight, 2 to 8.

    A weight is a whole number from -(2^(bits - 1) - 1) to 2^(bits - 1) - 1, times the scale of its output channel.
    """

    adds: Adds
    """Inputs of an Add that are quantized: ``identity`` or ``all``, see `quant.int8.scheme`."""

    sites: Mapping[str, tuple[float, int]]
    """Scale and zero point of each quantizer, by its site, which is its place in the network. See `deploy.frozen`."""

    convolutions: tuple[str, ...]
    """Module names of the convolutions that run on integers. All others stay float."""

    channels: Mapping[str, Channels] = field(default_factory=dict)
    """Scale and zero point of each channel, for the sites whose channels have ranges of their own. They replace the
    range in ``sites``, which is that of the whole tensor."""

    def to_plain(self) -> dict[str, Any]:
        """Convert to plain values and tensors, for a checkpoint."""
        plain: dict[str, Any] = {
            "activations": self.activations,
            "weight_bits": self.weight_bits,
            "adds": self.adds,
            "sites": list(self.sites),
            "scale": torch.tensor([scale for scale, _ in self.sites.values()], dtype=torch.float32),
            "zero_point": torch.tensor([zero for _, zero in self.sites.values()], dtype=torch.int32),
            "convolutions": list(self.convolutions),
        }
        if self.channels:
            plain["channels"] = {
                site: {"scale": torch.tensor(scales), "zero_point": torch.tensor(zeros, dtype=torch.int32)}
                for site, (scales, zeros) in self.channels.items()
            }
        return plain

    @classmethod
    def from_plain(cls, target: str, values: Mapping[str, Any]) -> RangeTable:
        """Build a table from the result of `to_plain`.

        Raises:
            ModelFileError: A value is missing or not valid.
        """
        try:
            pairs = zip(values["scale"].tolist(), values["zero_point"].tolist(), strict=True)
            sites = dict(zip(values["sites"], pairs, strict=True))
            kinds = values["activations"], values["weight_bits"], values["adds"]
            channels = {
                site: (tuple(pair["scale"].tolist()), tuple(pair["zero_point"].tolist()))
                for site, pair in values.get("channels", {}).items()  # earlier versions had none
            }
            table = cls(target, *kinds, sites, tuple(values["convolutions"]), channels)
            sound = len(sites) == len(values["sites"]) and table._is_sound()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ModelFileError(f"the range table of {target!r} is damaged: {error!r}") from None
        if not sound:
            raise ModelFileError(
                f"the range table of {target!r} is damaged: {table.activations!r}, {table.weight_bits!r} bits, "
                f"adds {table.adds!r}, or one of the scales or zero points is not valid"
            )
        return table

    def _is_sound(self) -> bool:
        """Return True if all values are valid."""
        first, last = (0, 0) if self.activations == "int8" else LIMITS[self.activations]
        pairs = [*self.sites.values()]
        for scales, zeros in self.channels.values():
            pairs += zip(scales, zeros, strict=True)
        return (
            2 <= self.weight_bits <= 8
            and self.adds in ("identity", "all")
            and all(0 < scale < math.inf and first <= zero <= last for scale, zero in pairs)
        )
