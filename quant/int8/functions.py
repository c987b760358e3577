"""Turn convolutions and BatchNorms that a network calls as functions into modules."""

from __future__ import annotations

import inspect
import operator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from quant.int8.left_float import scope
from quant.int8.outputs import remove_unused

CONV_ARGUMENTS = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")


class NotConstantError(ValueError):
    """A value depends on the picture."""


def make_modules(graph: fx.GraphModule) -> None:
    """Replace each `conv2d` and `batch_norm` whose weights are constant by a module, named after its caller."""
    made: list[tuple[fx.Node, nn.Module]] = []
    for node in graph.graph.nodes:
        make = {F.conv2d: _convolution, F.batch_norm: _batchnorm}.get(node.target)
        if node.op != "call_function" or make is None:
            continue
        try:
            source, module = make(graph, node)
        except NotConstantError:
            continue
        node.args, node.kwargs, caller = (source,), {}, node.target.__name__
        node.op, node.target = "call_module", f"_made_{len(made)}"
        graph.add_submodule(node.target, module.eval())
        made.append((node, module))
        node.meta["function"] = caller
    # Weights that nothing reads any more keep no names.
    remove_unused(graph)
    graph.delete_all_unused_submodules()
    for node, module in made:
        if node.graph is graph.graph and str(node.target).startswith("_made_"):
            graph.delete_submodule(str(node.target))
            node.target = _free_name(graph, scope(node), node.meta["function"])
            graph.add_submodule(node.target, module)
    _copy_weights(graph)


def _copy_weights(graph: fx.GraphModule) -> None:
    """Give a copy of the weights to functions that read those of a module, because a unit has other names."""
    called = {node.target for node in graph.graph.nodes if node.op == "call_module"}
    for node in list(graph.graph.nodes):
        if node.op == "get_attr" and node.target.rpartition(".")[0] in called:
            value, name = operator.attrgetter(node.target)(graph), f"_copied_{node.name}"
            graph.register_buffer(name, value.detach().clone())
            node.target = name


def _convolution(graph: fx.GraphModule, node: fx.Node) -> tuple[Any, nn.Conv2d]:
    given = {**dict(zip(CONV_ARGUMENTS, node.args, strict=False)), **node.kwargs}
    source = given.pop("input")
    values = {name: constant(graph, value) for name, value in given.items()}
    weight, bias = values.pop("weight"), values.pop("bias", None)
    outputs, inputs = weight.shape[0], weight.shape[1] * values.get("groups", 1)
    conv = nn.Conv2d(inputs, outputs, tuple(weight.shape[2:]), bias=bias is not None, **values)
    return source, _filled(conv, weight, bias)


def _batchnorm(graph: fx.GraphModule, node: fx.Node) -> tuple[Any, nn.BatchNorm2d]:
    bound = inspect.signature(F.batch_norm).bind(*node.args, **node.kwargs)
    bound.apply_defaults()
    source = bound.arguments.pop("input")
    values = {name: constant(graph, value) for name, value in bound.arguments.items()}
    mean = values["running_mean"]
    if values["training"] or mean is None:
        raise NotConstantError(node.name)
    norm = nn.BatchNorm2d(len(mean), values["eps"])
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(values["running_var"])
    return source, _filled(norm, values["weight"], values["bias"])


def _filled(module: Any, weight: Tensor | None, bias: Tensor | None) -> Any:
    for name, value in (("weight", weight), ("bias", bias)):
        if value is not None:
            setattr(module, name, nn.Parameter(value.detach().clone()))
    return module


@torch.no_grad()
def constant(graph: fx.GraphModule, value: Any) -> Any:
    """Compute a value that depends on weights only.

    Raises:
        NotConstantError: The value depends on the network's input.
    """
    if not isinstance(value, fx.Node):
        return fx.node.map_arg(value, lambda node: constant(graph, node))
    if value.op == "placeholder":
        raise NotConstantError(value.name)
    target: Any = value.target
    if value.op == "get_attr":
        return operator.attrgetter(target)(graph)
    args: Any
    args, kwargs = fx.node.map_arg((value.args, value.kwargs), lambda node: constant(graph, node))
    if value.op == "call_module":
        return graph.get_submodule(target)(*args, **kwargs)
    return getattr(args[0], target)(*args[1:], **kwargs) if isinstance(target, str) else target(*args, **kwargs)


def _free_name(graph: fx.GraphModule, caller: str, function: str) -> str:
    """Return the caller's name if it is free, or a name below it."""
    below = f"{caller}.{function}" if caller else function
    name, number = caller or function, -1
    while exists(graph, name):
        number += 1
        name = f"{below}{number or ''}"
    return name


def exists(graph: fx.GraphModule, name: str) -> bool:
    """Return True if the network has a module or a tensor of this name."""
    try:
        operator.attrgetter(name)(graph)
    except AttributeError:
        return False
    return True
