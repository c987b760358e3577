"""Where quantizers go: found by watching one forward pass, the same rule for every network.

A tensor is quantized if a convolution that runs on integers reads it. It is then quantized once, where it is
returned, so that all its readers see the same numbers; between a convolution and its own activation there is nothing,
because `Convolution` is one unit. What only an interpolation, a head or an Add reads stays as it is, unless the scheme
wants all summands of an Add quantized. The network's input, and a tensor that is also one of its outputs, are
quantized on the way into the convolution instead.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from edgehrnet.errors import InputError, nearest
from edgehrnet.models.deploy.frozen import INPUT
from edgehrnet.models.layers.base import KeypointNetwork
from edgehrnet.models.layers.blocks import Add, Convolution
from edgehrnet.models.layers.heads import Head
from quant.int8.scheme import Int8Scheme

TRACE_SIZE = (64, 64)
RGB_AND_MASK = 4  # what a network reads that does not say


@dataclass
class Flow:
    """One tensor of a forward pass: who returns it and who reads it, by module name.

    ``producer`` is the innermost module that returned it, None for the network's input and for results of bare
    functions; ``others``: readers that are neither convolutions nor Adds, and have no children; ``output``: it leaves
    the network. What bare functions read is not seen.
    """

    producer: str | None
    convolutions: list[str] = field(default_factory=list)
    adds: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    output: bool = False


@dataclass(frozen=True)
class Placement:
    """What to quantize.

    ``sites``: each with the convolutions that read it, none if only an Add does. ``inputs``: the sites of the
    network's own input, whose range is known beforehand.
    """

    sites: dict[str, tuple[str, ...]]
    inputs: frozenset[str] = frozenset()

    @property
    def convolutions(self) -> tuple[str, ...]:
        """All convolutions that run on integers, by module name."""
        return tuple(name for readers in self.sites.values() for name in readers)


def place(network: nn.Module, scheme: Int8Scheme, keep_float: Collection[str] = ()) -> Placement:
    """Decide what to quantize in a float network, BN folded or not.

    ``keep_float``: sites that stay float, and with each the convolutions that read it. Every name must be one that
    would have been quantized.

    Raises InputError for a name that is not, and as `trace` does.
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
    for name in keep_float:
        if name not in sites:
            raise InputError(f"keep_float names {name!r}, which has no quantizer; {nearest(name, sites)}")
    sites = {site: readers for site, readers in sites.items() if site not in keep_float}
    return Placement(sites, frozenset(inputs) & frozenset(sites))


def trace(network: nn.Module, size: tuple[int, int] = TRACE_SIZE) -> list[Flow]:
    """Watch a blank picture pass; return every tensor that a module returns, or a convolution reads, the input first.

    Raises InputError if a module without children is called twice: its quantizer would serve two tensors.
    """
    parameter = next(network.parameters())
    channels = network.in_channels if isinstance(network, KeypointNetwork) else RGB_AND_MASK
    image = torch.zeros((1, channels, *size), device=parameter.device, dtype=parameter.dtype)
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
    """Hooks that follow tensors by identity; an operation in place makes a new tensor of the same identity."""

    def __init__(self, image: Tensor) -> None:
        self.flows: list[Flow] = []
        self._flow_of: dict[int, Flow] = {}
        self._alive: list[Tensor] = []  # an identity is only unique while its tensor lives
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
            raise InputError(f"{name} is called twice; a quantizer serves one tensor, so let each have its own module")
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
    """Those whose output, in the end, leaves the network."""
    heads = {name: head for name, head in network.named_modules() if isinstance(head, Head)}
    others = network.head_convolutions if isinstance(network, KeypointNetwork) else frozenset[str]()
    return set(others) | {
        f"{name}.{part}"
        for name, head in heads.items()
        for part, module in head.named_modules()
        if isinstance(module, Convolution)
    }
