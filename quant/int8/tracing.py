"""Any torch network that answers one tensor of heatmaps -> one that can be quantized by the rules of `placement`.

The network is traced once (torch.fx). Each convolution becomes one `Convolution` unit with the BatchNorm and the
activation that follow it, each sum of two tensors an `Add`; everything else stays as it is, and in float.
"""

from __future__ import annotations

import copy
import importlib
import operator
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from edgehrnet.errors import InputError
from edgehrnet.models import KeypointNetwork, Output
from edgehrnet.models.checkpoints import Checkpoint
from edgehrnet.models.layers.blocks import Add, ConvBNAct, Convolution
from edgehrnet.spec import ModelSpec
from quant.int8.placement import Placement

ACTIVATIONS: dict[Any, type[nn.Module]] = {
    F.relu: nn.ReLU,
    torch.relu: nn.ReLU,
    F.relu6: nn.ReLU6,
    F.silu: nn.SiLU,
    F.hardswish: nn.Hardswish,
    torch.sigmoid: nn.Sigmoid,
    "relu": nn.ReLU,
    "relu_": nn.ReLU,
    "sigmoid": nn.Sigmoid,
}
ACTIVATION_TYPES = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.LeakyReLU, nn.Sigmoid)
ADDITIONS = (operator.add, operator.iadd, torch.add, "add", "add_")
# What changes no number, or what engines run in float whatever surrounds it; not worth telling anybody.
SILENT = (Add, nn.Identity, nn.Dropout, nn.Dropout2d, nn.Flatten, nn.MaxPool2d, *ACTIVATION_TYPES)


class TracedConvolution(ConvBNAct):
    """A convolution of any kernel with the BatchNorm, or None, and the activation found behind it."""

    def __init__(self, conv: nn.Conv2d, bn: nn.BatchNorm2d | None, act: nn.Module) -> None:
        Convolution.__init__(self, conv.stride, conv.padding, conv.groups, act)  # type: ignore[arg-type]
        self.conv = copy.deepcopy(conv)
        self.bn = nn.Identity() if bn is None else _with_bias(bn, self.conv)


class TracedNetwork(KeypointNetwork):
    """A traced network as one of ours: ``[B, C, H, W]`` float -> `Output`, hf being what the last operation reads.

    ``left``: what is no unit, by name, and why.
    """

    def __init__(self, graph: fx.GraphModule, keypoints: int, in_channels: int, left: dict[str, str]) -> None:
        super().__init__(keypoints, in_channels, gives_offsets=False)
        self.graph = graph
        self.left = left
        last = _last(graph)
        if isinstance(_module(graph, last), Convolution):
            self.head_convolutions = frozenset([f"graph.{last.target}"])

    def forward(self, x: Tensor) -> Output:
        """See the class."""
        heatmaps, features = self.graph(x)
        return Output(features, heatmaps, None, {})


@dataclass(frozen=True)
class LeftFloat:
    """A module that computes in float in the INT8 file: its name, what it is, and why."""

    name: str
    kind: str
    reason: str


def import_network(text: str) -> nn.Module:
    """Call ``PACKAGE.MODULE:CALLABLE``, which returns a torch network with its weights.

    Raises InputError for what cannot be imported, or gives something else.
    """
    where, _, name = text.partition(":")
    try:
        network = operator.attrgetter(name)(importlib.import_module(where))()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{text!r} cannot be called: {error}; write PACKAGE.MODULE:FUNCTION") from None
    if not isinstance(network, nn.Module):
        raise InputError(f"{text!r} gives {type(network).__name__}, not a torch network")
    return network


def traced(module: nn.Module, keypoints: int, in_channels: int = 3) -> TracedNetwork:
    """Turn a network from ``[B, in_channels, H, W]`` to ``[B, keypoints, h, w]`` into units; ``module`` stays as it is.

    Raises InputError if its forward depends on the data, or it returns anything but one such tensor.
    """
    try:
        graph = fx.symbolic_trace(copy.deepcopy(module).eval())
    except Exception as error:  # whatever the network's own code does with a placeholder
        raise InputError(
            f"{type(module).__name__} cannot be traced: {error}; its forward may not branch on tensors' values"
        ) from None
    _own_modules(graph)
    _units(graph)
    _additions(graph)
    _two_outputs(graph)
    graph.recompile()
    graph.delete_all_unused_submodules()
    left = {f"graph.{name}": _reason(part) for name, part in graph.named_modules() if _is_left(part)}
    inner = tuple(f"graph.{name}." for name, part in graph.named_modules() if isinstance(part, Convolution))
    left = {name: why for name, why in left.items() if not name.startswith(inner)}
    network = TracedNetwork(graph, keypoints, in_channels, left)
    _check_output(network, keypoints, in_channels)
    return network.eval()


def as_checkpoint(network: TracedNetwork, spec: ModelSpec) -> Checkpoint:
    """Return what the quantizing and exporting code takes; it lives in memory alone."""
    return Checkpoint(spec.name, network.keypoints, {}, network.state_dict(), spec.to_dict(), {}, network=network)


def left_float(network: TracedNetwork, placement: Placement) -> list[LeftFloat]:
    """List what computes in float though it has weights, or keeps a convolution from running on integers."""
    modules = dict(network.named_modules())
    found = [LeftFloat(name, type(modules[name]).__name__, why) for name, why in network.left.items()]
    for name, module in modules.items():
        if isinstance(module, Convolution) and name not in placement.convolutions:
            why = "its output leaves the network" if name in network.head_convolutions else "asked for"
            found.append(LeftFloat(name, "Convolution", why))
    return found


def _own_modules(graph: fx.GraphModule) -> None:
    """Give each call its own module: a quantizer serves one tensor."""
    seen: set[str] = set()
    for node in graph.graph.nodes:
        if node.op == "call_module":
            if node.target in seen:
                _call(graph, node, node.name, copy.deepcopy(graph.get_submodule(node.target)))
            seen.add(node.target)
        elif node.op in ("call_function", "call_method") and node.target in ACTIVATIONS:
            node.args, node.kwargs = node.args[:1], {}
            _call(graph, node, node.name, ACTIVATIONS[node.target]())


def _units(graph: fx.GraphModule) -> None:
    for node in list(graph.graph.nodes):
        conv = _module(graph, node)
        if not isinstance(conv, nn.Conv2d) or _obstacle(conv):
            continue
        bn_node = _only_reader(node, lambda reader: isinstance(_module(graph, reader), nn.BatchNorm2d))
        last = bn_node or node
        act_node = _only_reader(last, lambda reader: isinstance(_module(graph, reader), ACTIVATION_TYPES))
        bn = None if bn_node is None else _module(graph, bn_node)
        act = nn.Identity() if act_node is None else copy.deepcopy(_module(graph, act_node))
        graph.set_submodule(str(node.target), TracedConvolution(conv, bn, act))  # type: ignore[arg-type]
        for absorbed in (act_node, bn_node):
            if absorbed is not None:
                absorbed.replace_all_uses_with(absorbed.all_input_nodes[0])
                graph.graph.erase_node(absorbed)


def _additions(graph: fx.GraphModule) -> None:
    for node in graph.graph.nodes:
        two = len(node.args) == 2 and all(isinstance(value, fx.Node) for value in node.args)
        if node.op in ("call_function", "call_method") and node.target in ADDITIONS and two and not node.kwargs:
            _call(graph, node, node.name, Add(inplace=False))


def _two_outputs(graph: fx.GraphModule) -> None:
    """Let the graph return what its last operation reads, too."""
    output = next(node for node in graph.graph.nodes if node.op == "output")
    last = output.args[0]
    if not isinstance(last, fx.Node) or not last.all_input_nodes:
        raise InputError("the network gives several tensors, or its input, where one tensor of heatmaps is needed")
    output.args = ((last, last.all_input_nodes[0]),)


def _last(graph: fx.GraphModule) -> fx.Node:
    """The operation that gives the heatmaps."""
    output = next(node for node in graph.graph.nodes if node.op == "output")
    last: fx.Node = output.args[0][0]
    return last


def _call(graph: fx.GraphModule, node: fx.Node, name: str, module: nn.Module) -> None:
    """Let a node call a module of its own."""
    node.op, node.target = "call_module", name
    graph.add_submodule(name, module)


def _module(graph: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return graph.get_submodule(str(node.target)) if node.op == "call_module" else None


def _only_reader(node: fx.Node, wanted: Callable[[fx.Node], bool]) -> fx.Node | None:
    """The one node that reads ``node``, if there is one and it is what is wanted."""
    readers = list(node.users)
    return readers[0] if len(readers) == 1 and wanted(readers[0]) else None


def _obstacle(conv: nn.Conv2d) -> str:
    """Why a convolution cannot be a unit, empty if it can."""
    if conv.padding_mode != "zeros" or isinstance(conv.padding, str):
        return f"pads with {conv.padding_mode if conv.padding_mode != 'zeros' else conv.padding!r}"
    return "is dilated" if set(conv.dilation) != {1} else ""


def _is_left(module: nn.Module) -> bool:
    leaf = next(module.children(), None) is None
    return leaf and not isinstance(module, SILENT) and not isinstance(module, Convolution)


def _reason(module: nn.Module) -> str:
    if isinstance(module, nn.Conv2d):
        return _obstacle(module) or "is not called alone"
    if isinstance(module, nn.BatchNorm2d):
        return "follows no convolution, or one whose output others read too"
    return "is no convolution"


def _with_bias(bn: nn.BatchNorm2d, conv: nn.Conv2d) -> nn.BatchNorm2d:
    """Copy the BatchNorm, with the convolution's bias moved into its mean: ``x + b - m = x - (m - b)``."""
    bn = copy.deepcopy(bn)
    if not bn.affine:
        affine = nn.BatchNorm2d(bn.num_features, bn.eps)
        affine.load_state_dict({**affine.state_dict(), **bn.state_dict()})
        bn = affine
    if conv.bias is not None:
        assert bn.running_mean is not None
        bn.running_mean -= conv.bias.detach()
        conv.bias = None
    return bn.eval()


def _check_output(network: TracedNetwork, keypoints: int, in_channels: int, sides: Collection[int] = (64, 64)) -> None:
    try:
        with torch.no_grad():
            found = network.graph(torch.zeros(1, in_channels, *sides))[0]
    except Exception as error:
        raise InputError(f"the network cannot run on [1, {in_channels}, 64, 64]: {error}") from None
    if found.ndim != 4 or found.shape[1] != keypoints:
        raise InputError(
            f"the network gives {list(found.shape)}, where [B, {keypoints}, h, w] is needed, one tensor of heatmaps"
        )
