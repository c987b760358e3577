"""Fake-quantize modules in a network that is being trained: torch.ao's, or with learned ranges (LSQ)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from edgehrnet.models.checkpoints.ranges import LIMITS, RangeTable
from edgehrnet.models.deploy.frozen import attach
from edgehrnet.models.layers.blocks import Convolution
from quant.int8.placement import Placement
from quant.int8.scheme import Int8Scheme
from quant.int8.torch_ao import FakeQuantize, MovingAverageMinMaxObserver, MovingAveragePerChannelMinMaxObserver


class LearnedQuantizer(nn.Module):
    """Quantizes a tensor with a scale, and for asymmetric schemes a zero point, that the loss trains.

    Esser et al., LSQ, ICLR 2020; Bhalgat et al., LSQ+, 2020. It passes its input on until it is given a range.
    """

    enabled: Tensor

    def __init__(self, scheme: Int8Scheme) -> None:
        super().__init__()
        self.limits = scheme.limits
        self.scale = nn.Parameter(torch.ones(1))
        self.zero_point = nn.Parameter(torch.zeros(1), requires_grad=not scheme.symmetric)
        self.register_buffer("enabled", torch.tensor(False))

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        if not self.enabled:
            # The parameters take part, with no effect, so that every process of a run has a gradient for them.
            return x + 0 * (self.scale.sum() + self.zero_point.sum())
        first, last = self.limits
        # LSQ's factor: the gradient of a scale grows with the number of values it serves.
        factor = 1 / math.sqrt(x.numel() * last)
        quantized: Tensor = torch._fake_quantize_learnable_per_tensor_affine(
            x.float(), self._positive_scale(), self.zero_point, first, last, factor
        )
        return quantized

    def range(self) -> tuple[float, int]:
        """Scale and zero point as `forward` applies them, whatever the parameters have become."""
        first, last = self.limits
        return self._positive_scale().item(), min(max(round(self.zero_point.item()), first), last)

    def _positive_scale(self) -> Tensor:
        return self.scale.abs().clamp(min=torch.finfo(torch.float32).eps)


def insert(network: nn.Module, placement: Placement, scheme: Int8Scheme, *, learned: bool = False) -> None:
    """Put fake-quantize modules where ``placement`` says, all of them switched off until `set_ranges`."""
    modules = dict(network.named_modules())
    for name in placement.convolutions:
        unit = modules[name]
        assert isinstance(unit, Convolution)
        unit.quantize_weight = _weight_quantizer(unit, scheme)
    for site in placement.sites:
        quantizer = LearnedQuantizer(scheme) if learned else _activation_quantizer(scheme)
        attach(network, site, quantizer)


def quantizers(network: nn.Module) -> dict[str, nn.Module]:
    """All quantizers of a network by module name."""
    kinds = (FakeQuantize, LearnedQuantizer)
    return {name: module for name, module in network.named_modules() if isinstance(module, kinds)}


@torch.no_grad()
def set_ranges(network: nn.Module, table: RangeTable) -> None:
    """Start from calibrated ranges, and switch everything on; activation observers go on from there."""
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
        # The observer takes a symmetric range to be 127.5 steps on either side, of which the topmost half is clipped.
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
    """Keep the ranges of activations from here on; those of weights go on following the weights."""
    for name, module in quantizers(network).items():
        if isinstance(module, FakeQuantize) and not name.endswith("quantize_weight"):
            module.disable_observer()


def copy_quantizers(source: nn.Module, target: nn.Module) -> None:
    """Give ``target`` the very ranges of ``source``, and no observers: they would follow what is validated."""
    theirs = quantizers(source)
    for name, module in quantizers(target).items():
        module.load_state_dict(theirs[name].state_dict())
        if isinstance(module, FakeQuantize):
            module.disable_observer()


def learned_table(network: nn.Module, table: RangeTable) -> RangeTable:
    """Return the table with the ranges that training arrived at."""
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
    return f"{site.removesuffix('.input')}.quantize_{'input' if site.endswith('.input') else 'output'}"


def _activation_quantizer(scheme: Int8Scheme) -> FakeQuantize:
    first, last = scheme.limits
    quantizer = FakeQuantize(  # type: ignore[no-untyped-call]
        observer=MovingAverageMinMaxObserver,
        quant_min=first,
        quant_max=last,
        dtype=getattr(torch, scheme.activations),
        qscheme=torch.per_tensor_symmetric if scheme.symmetric else torch.per_tensor_affine,
    )
    # Scalars from the start: an average of weights cannot follow a buffer whose shape changes.
    quantizer.activation_post_process.min_val.fill_(0.0)
    quantizer.activation_post_process.max_val.fill_(0.0)
    return _off(quantizer)


def _weight_quantizer(unit: Convolution, scheme: Int8Scheme) -> FakeQuantize:
    """Scales that are those of the weights at hand: a moving average with nothing of the past."""
    limit = 2 ** (scheme.weight_bits - 1) - 1
    quantizer = FakeQuantize(  # type: ignore[no-untyped-call]
        observer=MovingAveragePerChannelMinMaxObserver,
        averaging_constant=1.0,
        quant_min=-limit,
        quant_max=limit,
        dtype=torch.int8,
        qscheme=torch.per_channel_symmetric,
        ch_axis=0,
    )
    with torch.no_grad():
        quantizer(unit.folded()[0].detach())  # gives the buffers their shape
    return _off(quantizer)


def _off(quantizer: FakeQuantize) -> FakeQuantize:
    quantizer.disable_fake_quant()
    quantizer.disable_observer()
    return quantizer
