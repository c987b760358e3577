"""Adjust float weights before quantization: cross-layer equalization and bias correction.

Equalization leaves the float network's output the same up to rounding. Bias correction changes it slightly.
Source: Nagel et al., Data-free quantization, ICCV 2019.
"""

from __future__ import annotations

from functools import partial
from typing import TypeGuard

import torch
from torch import Tensor, nn

from edgehrnet.errors import InputError
from edgehrnet.models.checkpoints.ranges import RangeTable
from edgehrnet.models.deploy.export_module import network_input
from edgehrnet.models.deploy.folding import fold_batchnorm
from edgehrnet.models.deploy.frozen import freeze
from edgehrnet.models.layers.blocks import ConvBNAct
from edgehrnet.spec import ModelSpec
from quant.int8.placement import trace

SCALING = (nn.Identity, nn.ReLU, nn.LeakyReLU)  # activations that map a positive multiple to the same multiple
MOST = 10.0  # largest factor to scale a channel by; without a limit, it would be infinite for a channel of zeros


@torch.no_grad()
def equalize(network: nn.Module) -> list[tuple[str, str]]:
    """Equalize weight ranges across pairs of convolutions, in place, and return the names of the pairs.

    Each channel between the two convolutions gets the same weight range in both. A pair qualifies if the first
    convolution has no activation or one of `SCALING`, and only the second reads its output. The second may be
    depthwise. The depthwise and the pointwise convolution of a `Down` are such a pair. The network's output stays the
    same up to rounding.
    """
    modules = dict(network.named_modules())
    pairs = []
    for flow in trace(network):
        if flow.producer is None or flow.output or flow.adds or flow.others or len(flow.convolutions) != 1:
            continue
        first, second = modules[flow.producer], modules[flow.convolutions[0]]
        if not (isinstance(first, ConvBNAct) and isinstance(second, ConvBNAct)) or type(first.act) not in SCALING:
            continue
        weight = second.folded()[0]
        depthwise = second.groups > 1 and second.groups == len(weight) and weight.shape[1] == 1
        if second.groups != 1 and not depthwise:
            continue
        out = first.folded()[0].abs().amax(dim=(1, 2, 3))
        into = weight.abs().amax(dim=(1, 2, 3) if depthwise else (0, 2, 3))
        scale = torch.sqrt(out / into.clamp(min=1e-12)).clamp(1 / MOST, MOST)
        _divide_outputs(first, scale)
        second.conv.weight *= scale[:, None, None, None] if depthwise else scale[None, :, None, None]
        pairs.append((flow.producer, flow.convolutions[0]))
    return pairs


@torch.no_grad()
def correct_biases(network: nn.Module, table: RangeTable, images: list[Tensor], spec: ModelSpec) -> dict[str, Tensor]:
    """Subtract from each bias the mean quantization error of its channel, in place.

    One pass over the pictures is enough, because each convolution's output is corrected during the pass and later
    convolutions read corrected values. Convolutions without a bias, such as a `Blur`, stay as they are.

    Args:
        network: The float network to change.
        table: The ranges to quantize with.
        images: Letterboxed pictures, u8 ``[1, H, W, C]``.
        spec: The model's spec, for its mean and std.

    Returns:
        The amount subtracted from each bias, ``[Co]``, by convolution name.

    Raises:
        InputError: There are no pictures.
    """
    if not images:
        raise InputError("there are no pictures to correct biases with; give at least one")
    biases = {name: _bias(network.get_submodule(name)) for name in table.convolutions}
    exact, rounded = fold_batchnorm(network), freeze(network, table)
    means: dict[str, Tensor] = {}
    shifts: dict[str, Tensor] = {}
    for name in (name for name, bias in biases.items() if bias is not None):
        exact.get_submodule(f"{name}.act").register_forward_pre_hook(partial(_remember, means, name))
        rounded.get_submodule(f"{name}.act").register_forward_pre_hook(partial(_shift, means, shifts, name))
    for image in images:
        x = network_input(image, spec.mean, spec.std)
        exact(x)
        rounded(x)
    for name, total in shifts.items():
        bias = biases[name]
        assert bias is not None
        bias.sub_(total / len(images))
    return {name: total / len(images) for name, total in shifts.items()}


def _divide_outputs(unit: ConvBNAct, scale: Tensor) -> None:
    """Divide each output channel by its factor, in the BatchNorm if there is one."""
    if _has_bn(unit):
        unit.bn.get_parameter("weight").div_(scale)
        unit.bn.get_parameter("bias").div_(scale)
        return
    unit.conv.weight.div_(scale[:, None, None, None])
    if unit.conv.bias is not None:
        unit.conv.bias.div_(scale)


def _has_bn(module: nn.Module) -> TypeGuard[ConvBNAct]:
    return isinstance(module, ConvBNAct) and isinstance(module.bn, nn.BatchNorm2d)


def _bias(unit: nn.Module) -> Tensor | None:
    """Return the bias that a convolution has after BatchNorm is folded into it, or None if it has none."""
    if _has_bn(unit):
        return unit.bn.get_parameter("bias")
    part = unit.conv if isinstance(unit, ConvBNAct) else unit
    return getattr(part, "bias", None)


def _remember(means: dict[str, Tensor], name: str, _module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    means[name] = inputs[0].mean(dim=(0, 2, 3))


def _shift(
    means: dict[str, Tensor], shifts: dict[str, Tensor], name: str, _module: nn.Module, inputs: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    shift = inputs[0].mean(dim=(0, 2, 3)) - means[name]
    shifts[name] = shifts.get(name, torch.zeros_like(shift)) + shift
    return (inputs[0] - shift[:, None, None],)
