"""Insert fake-quantize modules into a network for training: those of torch.ao, or others that learn ranges (LSQ)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from edgehrnet.models.checkpoints.ranges import LIMITS, RangeTable
from edgehrnet.models.deploy.frozen import attach, place_of
from edgehrnet.models.layers.blocks import Convolution
from quant.int8.cpu_fake_quantize import CpuFakeQuantize
from quant.int8.placement import Placement
from quant.int8.scheme import Int8Scheme
from quant.int8.torch_ao import FakeQuantize, MovingAverageMinMaxObserver, MovingAveragePerChannelMinMaxObserver


class LearnedQuantizer(nn.Module):
    """Fake quantization with a trained scale and, in asymmetric schemes, a trained zero point.

    It returns its input unchanged until `set_ranges` enables it.
    Sources: Esser et al., LSQ, ICLR 2020, and Bhalgat et al., LSQ+, 2020.
    """

    enabled: Tensor
    """Boolean scalar, False until `set_ranges`."""

    def __init__(self, scheme: Int8Scheme) -> None:
        super().__init__()
        self.limits = scheme.limits
        self.scale = nn.Parameter(torch.ones(1))
        self.zero_point = nn.Parameter(torch.zeros(1), requires_grad=not scheme.symmetric)
        self.register_buffer("enabled", torch.tensor(False))

    def forward(self, x: Tensor) -> Tensor:
        """Fake-quantize a tensor of any shape."""
        if not self.enabled:
            # Add 0 times the parameters, so that they have a gradient in every process of a distributed run.
            return x + 0 * (self.scale.sum() + self.zero_point.sum())
        first, last = self.limits
        # The gradient of a scale grows with the number of values it quantizes. LSQ compensates with this factor.
        factor = 1 / math.sqrt(x.numel() * last)
        quantized: Tensor = torch._fake_quantize_learnable_per_tensor_affine(
            x.float(), self._positive_scale(), self.zero_point, first, last, factor
        )
        return quantized

    def range(self) -> tuple[float, int]:
        """Return the scale and zero point as `forward` applies them: scale positive, zero point rounded and clipped."""
        first, last = self.limits
        return self._positive_scale().item(), min(max(round(self.zero_point.item()), first), last)

    def _positive_scale(self) -> Tensor:
        return self.scale.abs().clamp(min=torch.finfo(torch.float32).eps)


def insert(network: nn.Module, placement: Placement, scheme: Int8Scheme, *, learned: bool = False) -> None:
    """Insert fake-quantize modules, all of them disabled until `set_ranges`.

    Args:
        network: The network to change.
        placement: The sites and convolutions that get a quantizer.
        scheme: The target's rules.
        learned: Train the activation ranges (`LearnedQuantizer`) instead of observing them.
    """
    modules = dict(network.named_modules())
    for name in placement.convolutions:
        unit = modules[name]
        assert isinstance(unit, Convolution)
        unit.quantize_weight = _weight_quantizer(unit, scheme)
    for site in placement.sites:
        quantizer = LearnedQuantizer(scheme) if learned else _activation_quantizer(scheme)
        attach(network, site, quantizer)


def quantizers(network: nn.Module) -> dict[str, nn.Module]:
    """Return all quantizers of a network by module name."""
    kinds = (FakeQuantize, LearnedQuantizer)
    return {name: module for name, module in network.named_modules() if isinstance(module, kinds)}


@torch.no_grad()
def set_ranges(network: nn.Module, table: RangeTable) -> None:
    """Set calibrated ranges and enable all quantizers. Activation observers continue from these ranges."""
    found = quantizers(network)
    for site, (scale, zero_point) in table.sites.items():
        module = found[quantizer_name(site)]
        if isinstance(module, LearnedQuantizer):
            module.scale.fill_(scale)
            module.zero_point.fill_(float(zero_point))
            continue
        module.scale.copy_(torch.tensor([scale]))  # type: ignore[operator]
        module.zero_point.copy_(torch.tensor([zero_point]))  # type: ignore[operator]
        observer = module.get_submodule("activation_post_process")
        first, last = LIMITS[table.activations]
        # For a symmetric range, the observer expects 127.5 steps on each side. The last half step is clipped.
        middle = zero_point if table.activations == "uint8" else (first + last) / 2
        observer.get_buffer("min_val").fill_((first - middle) * scale)
        observer.get_buffer("max_val").fill_((last - middle) * scale)
    for module in found.values():
        if isinstance(module, LearnedQuantizer):
            module.enabled.fill_(True)
        else:
            module.enable_fake_quant()  # type: ignore[operator]
            module.enable_observer()  # type: ignore[operator]


def stop_observers(network: nn.Module) -> None:
    """Freeze the activation ranges. Weight ranges still follow the weights."""
    for name, module in quantizers(network).items():
        if isinstance(module, FakeQuantize) and not name.endswith("quantize_weight"):
            module.disable_observer()


def copy_quantizers(source: nn.Module, target: nn.Module) -> None:
    """Copy the ranges of ``source`` to ``target`` and disable the observers of ``target``.

    Active observers would change the ranges during validation.
    """
    theirs = quantizers(source)
    for name, module in quantizers(target).items():
        module.load_state_dict(theirs[name].state_dict())
        if isinstance(module, FakeQuantize):
            module.disable_observer()


def learned_table(network: nn.Module, table: RangeTable) -> RangeTable:
    """Return the range table with its ranges replaced by those that training learned."""
    found = quantizers(network)
    sites = {}
    for site in table.sites:
        module = found[quantizer_name(site)]
        assert isinstance(module, LearnedQuantizer)
        sites[site] = module.range()
    return RangeTable(table.target, table.activations, table.weight_bits, table.adds, sites, table.convolutions)


def quantizer_name(site: str) -> str:
    """Name the module that `attach` makes for a site.

    >>> quantizer_name("stem.conv1.input"), quantizer_name("stem.conv1")
    ('stem.conv1.quantize_input', 'stem.conv1.quantize_output')
    """
    return ".".join(place_of(site))


def _activation_quantizer(scheme: Int8Scheme) -> FakeQuantize:
    first, last = scheme.limits
    quantizer = CpuFakeQuantize(  # type: ignore[no-untyped-call]
        observer=MovingAverageMinMaxObserver,
        quant_min=first,
        quant_max=last,
        dtype=getattr(torch, scheme.activations),
        qscheme=torch.per_tensor_symmetric if scheme.symmetric else torch.per_tensor_affine,
    )
    # Make the buffers scalars now, because weight averaging cannot handle a buffer that changes shape later.
    quantizer.activation_post_process.min_val.fill_(0.0)
    quantizer.activation_post_process.max_val.fill_(0.0)
    return _off(quantizer)


def _weight_quantizer(unit: Convolution, scheme: Int8Scheme) -> FakeQuantize:
    """Make a quantizer with scales from the current weights: a moving average with a weight of 0 for past values."""
    limit = 2 ** (scheme.weight_bits - 1) - 1
    quantizer = CpuFakeQuantize(  # type: ignore[no-untyped-call]
        observer=MovingAveragePerChannelMinMaxObserver,
        averaging_constant=1.0,
        quant_min=-limit,
        quant_max=limit,
        dtype=torch.int8,
        qscheme=torch.per_channel_symmetric,
        ch_axis=0,
    )
    with torch.no_grad():
        quantizer(unit.folded()[0].detach())  # sets the shape of the buffers
    return _off(quantizer)


def _off(quantizer: FakeQuantize) -> FakeQuantize:
    quantizer.disable_fake_quant()
    quantizer.disable_observer()
    return quantizer
