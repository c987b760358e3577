"""Attach quantizers to a network, and freeze a calibrated network to INT8.

A quantizer rounds a tensor to 256 levels. Its *site* is its place in the network: the name of the module that returns
the tensor, such as ``stem.conv1``. For an input or an output of the network, it is the name of the convolution that
reads the tensor, followed by ``.input``, such as ``stem.conv1.input``. The result of a convolution before its
activation is the input of the activation, ``stem.conv1.act.input``. The sum of the first two of several terms is
``fusion.add.0:partial1``, that of the first three ``fusion.add.0:partial2``.
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
PARTIAL = ":partial"
SLOTS = ("quantize_input", "quantize_output", "quantize_weight", "quantize_partial")


def attach(network: nn.Module, site: str, quantizer: nn.Module) -> None:
    """Insert a quantizer at a site, so that all modules that read the tensor get the quantized one.

    Args:
        network: The network, changed in place.
        site: Site of the tensor.
        quantizer: Module from a tensor to a tensor of the same shape.

    Raises:
        ModelFileError: The network has no such module, or the site has a quantizer already.
    """
    name, slot = place_of(site)
    try:
        module = network.get_submodule(name)
    except AttributeError:
        raise ModelFileError(f"the network has no module for the quantizer of {site!r}") from None
    if hasattr(module, slot):
        raise ModelFileError(f"{site!r} has a quantizer already")
    module.add_module(slot, quantizer)
    if slot == "quantize_input":
        module.register_forward_pre_hook(_quantize_input)
    elif slot == "quantize_output":
        module.register_forward_hook(_quantize_output)


def place_of(site: str) -> tuple[str, str]:
    """Return the module that gets the quantizer of a site, and the name that the quantizer has in it.

    >>> place_of("stem.conv1.input"), place_of("stem.conv1"), place_of("add.0:partial1")
    (('stem.conv1', 'quantize_input'), ('stem.conv1', 'quantize_output'), ('add.0', 'quantize_partial1'))
    """
    if site.endswith(INPUT):
        return site.removesuffix(INPUT), "quantize_input"
    name, partial, number = site.rpartition(PARTIAL)
    return (name, f"quantize_partial{number}") if partial and number.isdigit() else (site, "quantize_output")


def _quantize_input(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (module.get_submodule("quantize_input")(inputs[0]), *inputs[1:])


def _quantize_output(module: nn.Module, _inputs: tuple[Any, ...], output: Tensor) -> Tensor:
    quantized: Tensor = module.get_submodule("quantize_output")(output)
    return quantized


def plain_state(network: nn.Module) -> dict[str, Tensor]:
    """Return the state dict without the quantizers, as the float network would have it."""
    state = network.state_dict().items()
    return {name: value for name, value in state if not any(part.startswith(SLOTS) for part in name.split("."))}


ONNX_VERSION: Mapping[torch.dtype, int] = {torch.float32: 13, torch.float16: 21}
"""Operator set version of QuantizeLinear and DequantizeLinear, by dtype of the scale."""


class QuantizeDequantize(nn.Module):
    """Quantize a tensor and dequantize it: ``scale * (q - zero_point)``, with q rounded and clipped to the type.

    The module has no parameters and no buffers.

    Args:
        scale: Step between two quantized values.
        zero_point: Quantized value of 0.
        kind: Type of q.
    """

    def __init__(self, scale: float, zero_point: int, kind: ActivationType) -> None:
        super().__init__()
        self.scale, self.zero_point, self.kind = scale, zero_point, kind

    def forward(self, x: Tensor) -> Tensor:
        """Map a tensor of any shape to the same shape."""
        if not torch.onnx.is_in_onnx_export() or x.dtype == torch.float32:
            return torch.fake_quantize_per_tensor_affine(x, self.scale, self.zero_point, *LIMITS[self.kind])
        # In other dtypes, torch's exporter would write quantizers that compute in float32, with a Cast on either side.
        scale = torch.tensor(self.scale, dtype=x.dtype)
        pair = [scale, torch.tensor(self.zero_point, dtype=getattr(torch, self.kind))]
        q = _onnx("QuantizeLinear", [x, *pair], pair[1].dtype, x)
        return _onnx("DequantizeLinear", [q, *pair], x.dtype, x)

    def extra_repr(self) -> str:
        """Return the text shown when the network is printed."""
        return f"scale={self.scale:.6g}, zero_point={self.zero_point}, {self.kind}"


def _onnx(kind: str, inputs: list[Tensor], dtype: torch.dtype, like: Tensor, axis: int | None = None) -> Tensor:
    """Emit an ONNX operator that torch has no function for, with an output of ``dtype`` in the shape of ``like``."""
    version = ONNX_VERSION[inputs[1].dtype]
    return torch.onnx.ops.symbolic(
        kind,
        inputs,
        attrs=None if axis is None else {"axis": axis},
        dtype=dtype,
        shape=list(like.shape),
        version=version,
    )


class QuantizeDequantizeChannels(nn.Module):
    """Quantize and dequantize a tensor ``[B, C, H, W]`` with a scale and a zero point for each channel.

    Args:
        scales: Step between two quantized values of each channel.
        zero_points: Quantized value of 0 of each channel.
        kind: Type of the quantized values.
    """

    scale: Tensor
    """Steps, float32 ``[C]``."""

    zero_point: Tensor
    """Quantized values of 0, int32 ``[C]``."""

    def __init__(self, scales: tuple[float, ...], zero_points: tuple[int, ...], kind: ActivationType) -> None:
        super().__init__()
        self.kind = kind
        self.register_buffer("scale", torch.tensor(scales))
        self.register_buffer("zero_point", torch.tensor(zero_points, dtype=torch.int32))

    def forward(self, x: Tensor) -> Tensor:
        """Map a tensor ``[B, C, H, W]`` to the same shape."""
        if not torch.onnx.is_in_onnx_export():
            return torch.fake_quantize_per_channel_affine(x, self.scale, self.zero_point, 1, *LIMITS[self.kind])
        pair = [self.scale, self.zero_point.to(getattr(torch, self.kind))]
        q = _onnx("QuantizeLinear", [x, *pair], pair[1].dtype, x, axis=1)
        return _onnx("DequantizeLinear", [q, *pair], x.dtype, x, axis=1)


class Int8Convolution(nn.Module):
    """A convolution with int8 weights, and its activation. Its input has been quantized.

    Args:
        unit: Float convolution to take the weights from.
        bits: Bits of a quantized weight, see `integer_weights`.
        dtype: Dtype of scales and bias.
    """

    weight: Tensor
    """Weights, int8 ``[Co, Ci / groups, kh, kw]``."""

    scale: Tensor
    """Scale of each output channel, ``[Co]``."""

    zero_point: Tensor
    """Zero point of each output channel, int8 ``[Co]``, always 0."""

    bias: Tensor | None
    """Bias ``[Co]``, or None."""

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
        """Map ``[B, Ci, H, W]`` to ``[B, Co, ceil(H/stride), ceil(W/stride)]``."""
        y = nn.functional.conv2d(x, self._dequantized(), self.bias, self.stride, self.padding, groups=self.groups)
        activated: Tensor = self.act(y)
        return activated

    def _dequantized(self) -> Tensor:
        if not torch.onnx.is_in_onnx_export():
            return self.weight * self.scale[:, None, None, None]
        # The weights are stored as int8. If they were float with a QuantizeLinear, the exporter would insert a Clip
        # after it, and OpenVINO would silently run the convolution in float.
        inputs = [self.weight, self.scale, self.zero_point]
        return _onnx("DequantizeLinear", inputs, self.scale.dtype, self.weight, axis=0)


def weight_scale(weight: Tensor, bits: int) -> Tensor:
    """Return the scale ``[Co]`` that maps the largest weight of each output channel to the largest integer.

    That is 127 for 8 bits. With 127.5 the largest weight would be halfway between two integers, and engines round such
    ties differently.

    Args:
        weight: Weights ``[Co, Ci, kh, kw]``.
        bits: Bits of a quantized weight.
    """
    largest = weight.abs().amax(dim=(1, 2, 3))
    return torch.clamp(largest / (2 ** (bits - 1) - 1), min=torch.finfo(torch.float32).eps)


def integer_weights(weight: Tensor, bits: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """Quantize weights per output channel, so that ``weight ~ q * scale``.

    Args:
        weight: Weights ``[Co, Ci, kh, kw]``, float.
        bits: Bits of a quantized weight.
        dtype: Dtype of the scale. The weights are divided by the scale after it was rounded to this dtype.

    Returns:
        q, int8 in the shape of ``weight``, and the scale ``[Co]``.

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
    """Return an INT8 copy of a float network in eval mode, with int8 weights and constant ranges.

    Args:
        network: Float network, not changed.
        table: Ranges of the network.
        dtype: Dtype of everything that is not int8, including scales.

    Raises:
        ModelFileError: The table lists a module that the network does not have.
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
        if site in table.channels:
            attach(frozen, site, QuantizeDequantizeChannels(*table.channels[site], table.activations))
        else:
            attach(frozen, site, QuantizeDequantize(rounded, zero_point, table.activations))
    return frozen.to(dtype)
