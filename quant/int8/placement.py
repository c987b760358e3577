"""Decide where quantizers go, by one rule for every network, from tracing one forward pass.

A quantizer rounds a tensor to 256 levels. The place of a quantizer is its site, see `deploy.frozen`. A tensor is
quantized if a convolution that runs on integers reads it. It is quantized once, where a module returns it, so that
every reader gets the same values. No quantizer goes between a convolution and its activation, because `Convolution` is
one unit, unless the scheme quantizes every result. A tensor that only interpolations, heads or Adds read stays in
float, unless the scheme quantizes all summands of an Add. The network's input, and a tensor that is also one of the
network's outputs, are quantized at the input of the convolution instead.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from edgehrnet.errors import InputError, nearest
from edgehrnet.models.deploy.frozen import INPUT, PARTIAL
from edgehrnet.models.layers.base import KeypointNetwork
from edgehrnet.models.layers.blocks import Add, Convolution
from edgehrnet.models.layers.heads import Head
from quant.int8.scheme import Int8Scheme

TRACE_SIZE = (64, 64)
RGB_AND_MASK = 4  # input channels of a network that does not state them


@dataclass
class Flow:
    """One tensor of a forward pass, with the names of the modules that return and read it.

    Readers that are functions rather than modules are not recorded.
    """

    producer: str | None
    """Innermost module that returned the tensor. None for the network's input and for results of functions."""

    convolutions: list[str] = field(default_factory=list)
    """Convolutions that read the tensor."""

    adds: list[str] = field(default_factory=list)
    """Adds that read the tensor."""

    others: list[str] = field(default_factory=list)
    """Other modules without children that read the tensor."""

    output: bool = False
    """True if the tensor is one of the network's outputs."""


@dataclass(frozen=True)
class Placement:
    """The tensors and convolutions to quantize."""

    sites: dict[str, tuple[str, ...]]
    """Sites that get a quantizer, each with the convolutions that need it to run on integers, such as those that read
    it. Empty if only an Add reads it."""

    inputs: frozenset[str] = frozenset()
    """The sites that quantize the network's input, whose range follows from the model's spec."""

    hardswish: frozenset[str] = frozenset()
    """The sites before a Hardswish, whose range begins at -3, where it is 0."""

    depthwise: frozenset[str] = frozenset()
    """The sites whose tensor only depthwise convolutions read, so that each channel may have its own range."""

    @property
    def convolutions(self) -> tuple[str, ...]:
        """Names of all convolutions that run on integers."""
        return tuple(dict.fromkeys(name for needs in self.sites.values() for name in needs))


def place(network: nn.Module, scheme: Int8Scheme, keep_float: Collection[str] = ()) -> Placement:
    """Decide what to quantize in a float network, with BatchNorm folded or not.

    Args:
        network: The float network.
        scheme: The target's rules.
        keep_float: Sites that stay float, together with the convolutions that read them.

    Raises:
        InputError: A name in ``keep_float`` is not a site, or `trace` cannot follow the network.
    """
    excluded = _head_convolutions(network) if scheme.float_heads else set()
    sites: dict[str, tuple[str, ...]] = {}
    first, *later = trace(network)
    inputs = {name + INPUT: (name,) for name in first.convolutions if name not in excluded}
    sites.update(inputs)
    for flow in later:
        readers = [name for name in flow.convolutions if name not in excluded]
        if readers and (flow.producer is None or flow.output):
            sites.update({name + INPUT: (name,) for name in readers})
        elif readers or (flow.adds and scheme.adds == "all" and flow.producer and not flow.output):
            assert flow.producer is not None
            sites[flow.producer] = tuple(readers)
    if scheme.every_result:
        _add_results(sites, network, later)
    for name in keep_float:
        if name not in sites:
            raise InputError(f"cannot keep {name!r} in float, because it has no quantizer; {nearest(name, sites)}")
    gone = {name for site in keep_float for name in sites[site]}
    left = {site: tuple(name for name in needs if name not in gone) for site, needs in sites.items()}
    sites = {site: needs for site, needs in left.items() if site not in keep_float and (needs or not sites[site])}
    before = {f"{name}.act{INPUT}" for name, unit in network.named_modules() if _has_hardswish(unit)}
    added = {flow.producer for flow in later if flow.adds}
    depthwise = {
        site
        for site, needs in sites.items()
        if needs and site not in inputs and site not in added and all(_is_depthwise(network, name) for name in needs)
    }
    return Placement(
        sites, frozenset(inputs) & frozenset(sites), frozenset(before) & frozenset(sites), frozenset(depthwise)
    )


def _is_depthwise(network: nn.Module, name: str) -> bool:
    """Return True if a convolution computes each output channel from an input channel of its own."""
    unit = network.get_submodule(name)
    assert isinstance(unit, Convolution)
    weight = unit.folded()[0]
    return unit.groups == len(weight) > 1 == weight.shape[1]


def _has_hardswish(module: nn.Module) -> bool:
    return isinstance(module, Convolution) and isinstance(module.act, nn.Hardswish)


def _add_results(sites: dict[str, tuple[str, ...]], network: nn.Module, flows: Collection[Flow]) -> None:
    """Add the sites at which convolutions and partial sums return, before an activation that is not a ReLU.

    A ReLU needs no quantizer before it, because clipping to unsigned integers computes it.
    """
    outputs = {flow.producer for flow in flows if flow.output}
    for name in Placement(dict(sites)).convolutions:
        direct = isinstance(network.get_submodule(f"{name}.act"), nn.Identity | nn.ReLU) and name not in outputs
        site = name if direct else f"{name}.act{INPUT}"
        sites[site] = (*sites.get(site, ()), name)
    terms = Counter(name for flow in flows for name in flow.adds)
    sites.update({f"{name}{PARTIAL}{number}": () for name, count in terms.items() for number in range(1, count - 1)})


def trace(network: nn.Module, size: tuple[int, int] | None = None) -> list[Flow]:
    """Run the network on a blank picture and list the tensors that modules return or convolutions read, input first.

    Args:
        network: The network to run.
        size: Picture size, (height, width). None for the network's own, or 64x64 if it has none.

    Raises:
        InputError: A module without children is called twice. Its quantizer would have one range for two tensors.
    """
    parameter = next(network.parameters())
    channels = network.in_channels if isinstance(network, KeypointNetwork) else RGB_AND_MASK
    own = network.trace_size if isinstance(network, KeypointNetwork) else None
    image = torch.zeros((1, channels, *(size or own or TRACE_SIZE)), device=parameter.device, dtype=parameter.dtype)
    watcher = _Watcher(image)
    units = [module for module in network.modules() if isinstance(module, Convolution)]
    inner = {id(part) for unit in units for part in unit.modules() if part is not unit}
    handles = []
    for name, module in network.named_modules():
        if name and id(module) not in inner and not isinstance(module, nn.Identity):
            handles.append(module.register_forward_pre_hook(partial(watcher.reads, name)))
            handles.append(module.register_forward_hook(partial(watcher.returns, name)))
    training = network.training
    try:
        with torch.no_grad():
            watcher.leaves(network.eval()(image))
    finally:
        network.train(training)
        for handle in handles:
            handle.remove()
    return watcher.flows


class _Watcher:
    """Hooks that follow tensors by identity. An in-place operation counts as a new tensor with the same identity."""

    def __init__(self, image: Tensor) -> None:
        self.flows: list[Flow] = []
        self._flow_of: dict[int, Flow] = {}
        self._alive: list[Tensor] = []  # keeps tensors in memory, so that Python does not reuse their ids
        self._called: set[str] = set()
        self._add(None, image)

    def reads(self, name: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if not isinstance(module, Convolution | Add):
            if next(module.children(), None) is None:
                for flow in filter(None, (self._flow_of.get(id(value)) for value in inputs)):
                    flow.others.append(name)
            return
        for tensor in inputs:
            flow = self._flow_of.get(id(tensor)) or self._add(None, tensor)
            (flow.adds if isinstance(module, Add) else flow.convolutions).append(name)

    def returns(self, name: str, module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> None:
        if not isinstance(output, Tensor):
            return
        leaf = isinstance(module, Convolution) or next(module.children(), None) is None
        if leaf and name in self._called:
            raise InputError(f"{name} is called twice, and a quantizer has one range; give each call its own module")
        self._called.add(name)
        if leaf or id(output) not in self._flow_of:
            self._add(name, output)

    def leaves(self, outputs: Any) -> None:
        if isinstance(outputs, Tensor):
            if id(outputs) in self._flow_of:
                self._flow_of[id(outputs)].output = True
        elif isinstance(outputs, dict):
            self.leaves(list(outputs.values()))
        elif isinstance(outputs, list | tuple):
            for output in outputs:
                self.leaves(output)

    def _add(self, producer: str | None, tensor: Tensor) -> Flow:
        flow = Flow(producer)
        self.flows.append(flow)
        self._flow_of[id(tensor)] = flow
        self._alive.append(tensor)
        return flow


def _head_convolutions(network: nn.Module) -> set[str]:
    """Return the names of the convolutions in heads, whose outputs lead to the network's outputs."""
    heads = {name: head for name, head in network.named_modules() if isinstance(head, Head)}
    others = network.head_convolutions if isinstance(network, KeypointNetwork) else frozenset[str]()
    return set(others) | {
        f"{name}.{part}"
        for name, head in heads.items()
        for part, module in head.named_modules()
        if isinstance(module, Convolution)
    }
