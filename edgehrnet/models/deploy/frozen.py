"""Networks with quantizers: where one is attached, the table of their ranges, and the frozen INT8 network.

A quantized tensor is called by its *site*: the module that returns it (``stem.conv1``), or, where the tensor is the
network's input or output, the convolution that reads it (``stem.conv1.input``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from edgehrnet.errors import ModelFileError
from edgehrnet.models.checkpoints.ranges import LIMITS, ActivationType, RangeTable
from edgehrnet.models.deploy.folding import fold_batchnorm
from edgehrnet.models.layers.blocks import Convolution

Network = TypeVar("Network", bound=nn.Module)
INPUT = ".input"


def attach(network: nn.Module, site: str, quantizer: nn.Module) -> None:
    """Let the tensor of ``site`` pass ``quantizer`` before anybody reads it.

    Raises:
        ModelFileError: the network has no such module, or a quantizer is there already.
    """
    before = site.endswith(INPUT)
    try:
        module = network.get_submodule(site.removesuffix(INPUT) if before else site)
    except AttributeError:
        raise ModelFileError(f"the network has no module for the quantizer of {site!r}") from None
    slot = "quantize_input" if before else "quantize_output"
    if hasattr(module, slot):
        raise ModelFileError(f"{site!r} has a quantizer already")
    module.add_module(slot, quantizer)
    if before:
        module.register_forward_pre_hook(_quantize_input)
    else:
        module.register_forward_hook(_quantize_output)


def _quantize_input(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (module.get_submodule("quantize_input")(inputs[0]), *inputs[1:])


def _quantize_output(module: nn.Module, _inputs: tuple[Any, ...], output: Tensor) -> Tensor:
    quantized: Tensor = module.get_submodule("quantize_output")(output)
    return quantized


def plain_state(network: nn.Module) -> dict[str, Tensor]:
    """The state dict without that of quantizers: what the float network would have."""
    slots = {"quantize_input", "quantize_output", "quantize_weight"}
    return {name: value for name, value in network.state_dict().items() if not slots & set(name.split("."))}


ONNX_VERSION: Mapping[torch.dtype, int] = {torch.float32: 13, torch.float16: 21}
"""Of QuantizeLinear and DequantizeLinear, for scales of this type."""


class QuantizeDequantize(nn.Module):
    """Round a tensor to ``scale * (q - zero_point)`` with q in the limits of the type; constants, no state."""

    def __init__(self, scale: float, zero_point: int, kind: ActivationType) -> None:
        super().__init__()
        self.scale, self.zero_point, self.kind = scale, zero_point, kind

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        if not torch.onnx.is_in_onnx_export() or x.dtype == torch.float32:
            return torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero_point, *LIMITS[self.kind])
        # The exporter's own form computes in float32, with a Cast on either side.
        scale = torch.tensor(self.scale, dtype=x.dtype)
        pair = [scale, torch.tensor(self.zero_point, dtype=getattr(torch, self.kind))]
        q = _onnx("QuantizeLinear", [x, *pair], pair[1].dtype, x)
        return _onnx("DequantizeLinear", [q, *pair], x.dtype, x)

    def extra_repr(self) -> str:
        """Shown when the network is printed."""
        return f"scale={self.scale:.6g}, zero_point={self.zero_point}, {self.kind}"


def _onnx(kind: str, inputs: list[Tensor], dtype: torch.dtype, like: Tensor, axis: int | None = None) -> Tensor:
    """Write an ONNX operator that torch has no function for; it gives ``dtype`` in the shape of ``like``."""
    version = ONNX_VERSION[inputs[1].dtype]
    return torch.onnx.ops.symbolic(
        kind,
        inputs,
        attrs=None if axis is None else {"axis": axis},
        dtype=dtype,
        shape=list(like.shape),
        version=version,
    )


class Int8Convolution(nn.Module):
    """A convolution whose weights are stored as int8, and its activation. It reads what a quantizer gave.

    ``weight`` int8 ``[Co, Ci / groups, kh, kw]``, ``scale`` ``[Co]`` and ``bias`` ``[Co]`` or None in ``dtype``.
    """

    weight: Tensor
    scale: Tensor
    zero_point: Tensor
    bias: Tensor | None

    def __init__(self, unit: Convolution, bits: int, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.stride, self.padding, self.groups, self.act = unit.stride, unit.padding, unit.groups, unit.act
        weight, bias = unit.folded()
        weight, scale = integer_weights(weight.detach(), bits, dtype)
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.register_buffer("zero_point", torch.zeros(len(scale), dtype=torch.int8))
        self.register_buffer("bias", None if bias is None else bias.detach().to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, Ci, H, W]`` -> ``[B, Co, ceil(H/stride), ceil(W/stride)]``."""
        y = nn.functional.conv2d(x, self._dequantized(), self.bias, self.stride, self.padding, groups=self.groups)
        activated: Tensor = self.act(y)
        return activated

    def _dequantized(self) -> Tensor:
        if not torch.onnx.is_in_onnx_export():
            return self.weight * self.scale[:, None, None, None]
        # Only dequantized: with a QuantizeLinear before it, the exporter puts a Clip between the two, which makes
        # OpenVINO run the convolution in float without a word.
        inputs = [self.weight, self.scale, self.zero_point]
        return _onnx("DequantizeLinear", inputs, self.scale.dtype, self.weight, axis=0)


def weight_scale(weight: Tensor, bits: int) -> Tensor:
    """Scale ``[Co]`` of each output channel: its largest weight is the largest whole number, 127 of 8 bits.

    Not 127.5: the largest weight would sit on a tie, which engines round either way.
    """
    largest = weight.abs().amax(dim=(1, 2, 3))
    return torch.clamp(largest / (2 ** (bits - 1) - 1), min=torch.finfo(torch.float32).eps)


def integer_weights(weight: Tensor, bits: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Weight ``[Co, Ci, kh, kw]`` float -> int8 of the same shape and scale ``[Co]``: ``weight ~ q * scale``.

    The scale is rounded to ``dtype`` before the weights are rounded to it.

    >>> q, scale = integer_weights(torch.tensor([[[[0.5, -1.27]]]]), 8)
    >>> q.flatten().tolist(), round(float(scale), 4)
    ([50, -127], 0.01)
    """
    limit = 2 ** (bits - 1) - 1
    scale = weight_scale(weight, bits).to(dtype)
    rounded = torch.clamp(torch.round(weight / scale[:, None, None, None].float()), -limit, limit)
    return rounded.to(torch.int8), scale


@torch.no_grad()
def freeze(network: Network, table: RangeTable, dtype: torch.dtype = torch.float32) -> Network:
    """An eval copy of a float network, quantized as the table says: int8 weights stored, ranges constants.

    ``dtype``: of everything that is not int8, scales included.

    Raises:
        ModelFileError: the table names a module that the network lacks.
    """
    frozen = fold_batchnorm(network)
    modules = dict(frozen.named_modules())
    for name in table.convolutions:
        unit = modules.get(name)
        if not isinstance(unit, Convolution):
            raise ModelFileError(f"the range table of {table.target!r} does not fit: no convolution {name!r}")
        frozen.set_submodule(name, Int8Convolution(unit, table.weight_bits, dtype))
    for site, (scale, zero_point) in table.sites.items():
        rounded = float(torch.tensor(scale, dtype=dtype))
        attach(frozen, site, QuantizeDequantize(rounded, zero_point, table.activations))
    return frozen.to(dtype)
