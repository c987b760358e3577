"""Convert any torch network that returns one heatmap tensor into one that `placement` can quantize.

The network is traced once with torch.fx. Each convolution becomes one `Convolution` unit together with the BatchNorm
and the activation that follow it. Each sum of two tensors becomes an `Add`. Everything else stays as it is, in float.
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
# Modules that are not listed as left in float, because they do not change values, or engines choose their precision.
SILENT = (Add, nn.Identity, nn.Dropout, nn.Dropout2d, nn.Flatten, nn.MaxPool2d, *ACTIVATION_TYPES)


class TracedConvolution(ConvBNAct):
    """A convolution of any kernel size with the BatchNorm, if any, and the activation that follow it."""

    def __init__(self, conv: nn.Conv2d, bn: nn.BatchNorm2d | None, act: nn.Module) -> None:
        Convolution.__init__(self, conv.stride, conv.padding, conv.groups, act)  # type: ignore[arg-type]
        self.conv = copy.deepcopy(conv)
        self.bn = nn.Identity() if bn is None else _with_bias(bn, self.conv)


class TracedNetwork(KeypointNetwork):
    """A traced network as a `KeypointNetwork`, from ``[B, C, H, W]`` float to `Output`.

    The high-resolution features of the output (hf) are the input of the network's last operation.
    """

    left: dict[str, str]
    """The reason why a module is not part of a unit, by the module's name."""

    def __init__(self, graph: fx.GraphModule, keypoints: int, in_channels: int, left: dict[str, str]) -> None:
        super().__init__(keypoints, in_channels, gives_offsets=False)
        self.graph = graph
        self.left = left
        last = _last(graph)
        if isinstance(_module(graph, last), Convolution):
            self.head_convolutions = frozenset([f"graph.{last.target}"])

    def forward(self, x: Tensor) -> Output:
        """Return heatmaps and features for ``[B, C, H, W]``."""
        heatmaps, features = self.graph(x)
        return Output(features, heatmaps, None, {})


@dataclass(frozen=True)
class LeftFloat:
    """A module that runs in float in the INT8 file."""

    name: str
    """Module name."""

    kind: str
    """Class of the module, such as ``ConvTranspose2d``."""

    reason: str
    """Why the module is not quantized."""


def import_network(text: str) -> nn.Module:
    """Call the function or class ``PACKAGE.MODULE:NAME`` and return the torch network that it makes.

    Raises:
        InputError: It cannot be imported or called, or it returns something else.
    """
    where, _, name = text.partition(":")
    try:
        network = operator.attrgetter(name)(importlib.import_module(where))()
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise InputError(f"{text!r} cannot be called: {error}; write PACKAGE.MODULE:FUNCTION") from None
    if not isinstance(network, nn.Module):
        raise InputError(f"{text!r} returns a {type(network).__name__}; it must return a torch.nn.Module")
    return network


def traced(module: nn.Module, keypoints: int, in_channels: int = 3) -> TracedNetwork:
    """Convert a torch network into one of `Convolution` and `Add` units.

    Args:
        module: A network from ``[B, in_channels, H, W]`` to heatmaps ``[B, keypoints, h, w]``. It is not changed.
        keypoints: Number of keypoints.
        in_channels: Number of input channels.

    Raises:
        InputError: The network branches on tensor values, or does not return one tensor of this shape.
    """
    try:
        graph = fx.symbolic_trace(copy.deepcopy(module).eval())
    except Exception as error:  # the network's code may raise anything during tracing
        raise InputError(
            f"{type(module).__name__} cannot be traced: {error}; its forward must not branch on tensor values"
        ) from None
    _separate_modules(graph)
    _make_units(graph)
    _make_adds(graph)
    _return_features(graph)
    graph.recompile()
    graph.delete_all_unused_submodules()
    left = {f"graph.{name}": _reason(part) for name, part in graph.named_modules() if _is_left(part)}
    inner = tuple(f"graph.{name}." for name, part in graph.named_modules() if isinstance(part, Convolution))
    left = {name: why for name, why in left.items() if not name.startswith(inner)}
    network = TracedNetwork(graph, keypoints, in_channels, left)
    _check_output(network, keypoints, in_channels)
    return network.eval()


def as_checkpoint(network: TracedNetwork, spec: ModelSpec) -> Checkpoint:
    """Wrap the network in a checkpoint for quantization and export. It exists only in memory."""
    return Checkpoint(spec.name, network.keypoints, {}, network.state_dict(), spec.to_dict(), {}, network=network)


def left_float(network: TracedNetwork, placement: Placement) -> list[LeftFloat]:
    """List the modules that run in float, with the reason for each. Modules in `SILENT` are left out."""
    modules = dict(network.named_modules())
    found = [LeftFloat(name, type(modules[name]).__name__, why) for name, why in network.left.items()]
    for name, module in modules.items():
        if isinstance(module, Convolution) and name not in placement.convolutions:
            why = (
                "its output is the network's output"
                if name in network.head_convolutions
                else "kept in float on request"
            )
            found.append(LeftFloat(name, "Convolution", why))
    return found


def _separate_modules(graph: fx.GraphModule) -> None:
    """Give each call its own module, because a quantizer has one range for one tensor."""
    seen: set[str] = set()
    for node in graph.graph.nodes:
        if node.op == "call_module":
            if node.target in seen:
                _call(graph, node, node.name, copy.deepcopy(graph.get_submodule(node.target)))
            seen.add(node.target)
        elif node.op in ("call_function", "call_method") and node.target in ACTIVATIONS:
            node.args, node.kwargs = node.args[:1], {}
            _call(graph, node, node.name, ACTIVATIONS[node.target]())


def _make_units(graph: fx.GraphModule) -> None:
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


def _make_adds(graph: fx.GraphModule) -> None:
    for node in graph.graph.nodes:
        two = len(node.args) == 2 and all(isinstance(value, fx.Node) for value in node.args)
        if node.op in ("call_function", "call_method") and node.target in ADDITIONS and two and not node.kwargs:
            _call(graph, node, node.name, Add(inplace=False))


def _return_features(graph: fx.GraphModule) -> None:
    """Make the graph return the input of its last operation as well."""
    output = next(node for node in graph.graph.nodes if node.op == "output")
    last = output.args[0]
    if not isinstance(last, fx.Node) or not last.all_input_nodes:
        raise InputError("the network returns several tensors, or its input; it must return one tensor of heatmaps")
    output.args = ((last, last.all_input_nodes[0]),)


def _last(graph: fx.GraphModule) -> fx.Node:
    """Return the operation that computes the heatmaps."""
    output = next(node for node in graph.graph.nodes if node.op == "output")
    last: fx.Node = output.args[0][0]
    return last


def _call(graph: fx.GraphModule, node: fx.Node, name: str, module: nn.Module) -> None:
    """Add a module under ``name`` and make the node call it."""
    node.op, node.target = "call_module", name
    graph.add_submodule(name, module)


def _module(graph: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    return graph.get_submodule(str(node.target)) if node.op == "call_module" else None


def _only_reader(node: fx.Node, wanted: Callable[[fx.Node], bool]) -> fx.Node | None:
    """Return the only reader of ``node`` if ``wanted`` accepts it, or None."""
    readers = list(node.users)
    return readers[0] if len(readers) == 1 and wanted(readers[0]) else None


def _obstacle(conv: nn.Conv2d) -> str:
    """Return the reason why a convolution cannot be a unit, or an empty string if it can."""
    if conv.padding_mode != "zeros" or isinstance(conv.padding, str):
        return f"pads with {conv.padding_mode if conv.padding_mode != 'zeros' else conv.padding!r}"
    return "is dilated" if set(conv.dilation) != {1} else ""


def _is_left(module: nn.Module) -> bool:
    leaf = next(module.children(), None) is None
    return leaf and not isinstance(module, SILENT) and not isinstance(module, Convolution)


def _reason(module: nn.Module) -> str:
    if isinstance(module, nn.Conv2d):
        return _obstacle(module) or "is not called as a module"
    if isinstance(module, nn.BatchNorm2d):
        return "does not follow a convolution, or follows one whose output has other readers"
    return "is not a convolution"


def _with_bias(bn: nn.BatchNorm2d, conv: nn.Conv2d) -> nn.BatchNorm2d:
    """Copy the BatchNorm and move the convolution's bias into its mean: ``x + b - m = x - (m - b)``."""
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
            f"the network returns {list(found.shape)}; it must return one tensor of heatmaps [B, {keypoints}, h, w]"
        )
