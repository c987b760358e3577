"""Make units of a recorded network: convolutions with the BatchNorm and activation after them, and sums."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional as F

from edgehrnet.models.layers.blocks import Add, ConvBNAct, Convolution
from quant.int8.functions import exists
from quant.int8.left_float import ACTIVATION_TYPES, obstacle
from quant.int8.outputs import read_later

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
ADDITIONS = (operator.add, operator.iadd, torch.add, "add", "add_")
IN_PLACE = (operator.iadd, "add_", "relu_")


class TracedConvolution(ConvBNAct):
    """A convolution of any kernel size with the BatchNorm, if any, and the activation that follow it."""

    def __init__(self, conv: nn.Conv2d, bn: nn.BatchNorm2d | None, act: nn.Module) -> None:
        Convolution.__init__(self, conv.stride, conv.padding, conv.groups, act)  # type: ignore[arg-type]
        self.conv = copy.deepcopy(conv)
        self.bn = nn.Identity() if bn is None else _with_bias(bn, self.conv)


def make_units(graph: fx.GraphModule) -> None:
    """Replace convolutions by `TracedConvolution`, sums by `Add`, and give each call its own module."""
    _separate_modules(graph)
    _make_units(graph)
    _make_adds(graph)


def module_of(graph: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    """Return the module that a node calls, or None."""
    return graph.get_submodule(str(node.target)) if node.op == "call_module" else None


def _separate_modules(graph: fx.GraphModule) -> None:
    """Give each call its own module, because a quantizer has one range for one tensor."""
    seen: set[str] = set()
    for node in graph.graph.nodes:
        if node.op == "call_module":
            if node.target in seen:
                _call(graph, node, node.name, copy.deepcopy(graph.get_submodule(node.target)))
            seen.add(node.target)
        elif node.op in ("call_function", "call_method") and node.target in ACTIVATIONS and not _overwrites(node):
            node.args, node.kwargs = node.args[:1], {}
            _call(graph, node, node.name, ACTIVATIONS[node.target]())


def _make_units(graph: fx.GraphModule) -> None:
    for node in list(graph.graph.nodes):
        conv = module_of(graph, node)
        if not isinstance(conv, nn.Conv2d) or obstacle(conv):
            continue
        bn_node = _only_reader(node, lambda reader: isinstance(module_of(graph, reader), nn.BatchNorm2d))
        last = bn_node or node
        act_node = _only_reader(last, lambda reader: isinstance(module_of(graph, reader), ACTIVATION_TYPES))
        bn = None if bn_node is None else module_of(graph, bn_node)
        act = nn.Identity() if act_node is None else copy.deepcopy(module_of(graph, act_node))
        graph.set_submodule(str(node.target), TracedConvolution(conv, bn, act))  # type: ignore[arg-type]
        for absorbed in (act_node, bn_node):
            if absorbed is not None:
                absorbed.replace_all_uses_with(absorbed.all_input_nodes[0])
                graph.graph.erase_node(absorbed)


def _make_adds(graph: fx.GraphModule) -> None:
    for node in graph.graph.nodes:
        two = len(node.args) == 2 and all(isinstance(value, fx.Node) for value in node.args)
        plain = node.target in ADDITIONS and two and not node.kwargs and not _overwrites(node)
        if node.op in ("call_function", "call_method") and plain:
            _call(graph, node, node.name, Add(inplace=False))


def _call(graph: fx.GraphModule, node: fx.Node, name: str, module: nn.Module) -> None:
    """Add a module under ``name``, or a longer name if another module has that, and make the node call it."""
    while exists(graph, name):
        name += "_"
    node.op, node.target = "call_module", name
    graph.add_submodule(name, module)


def _only_reader(node: fx.Node, wanted: Callable[[fx.Node], bool]) -> fx.Node | None:
    """Return the only reader of ``node`` if ``wanted`` accepts it, or None."""
    readers = list(node.users)
    return readers[0] if len(readers) == 1 and wanted(readers[0]) else None


def _overwrites(node: fx.Node) -> bool:
    """Return True if the function overwrites a tensor that is read later. A new module would not."""
    if node.target in IN_PLACE or True in node.args or node.kwargs.get("inplace"):
        return read_later(node, {other: index for index, other in enumerate(node.graph.nodes)})
    return False


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
