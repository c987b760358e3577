"""Find the heatmaps among the outputs of a traced network, and make the graph compute nothing else."""

from __future__ import annotations

import dataclasses
import inspect
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from edgehrnet.errors import InputError

VIEWS = ("getitem", "getattr", "view", "reshape", "permute", "transpose", "flatten", "unflatten", "squeeze",
         "unsqueeze", "chunk", "split", "narrow", "select", "unbind", "contiguous", "expand")  # fmt: skip
CHANGES = ("setitem", "iadd", "isub", "imul", "itruediv", "ifloordiv", "ipow", "iand", "ior")


@dataclass(frozen=True)
class Leaf:
    """One tensor among the outputs."""

    name: str
    """Its keys and positions, joined by points, such as ``heatmaps.1``. Empty for a plain tensor."""

    node: Any
    """The node that contains it, or the tensor."""

    path: tuple[tuple[Callable[[Any, Any], Any], Any], ...]
    """How the tensor is taken out of the node's value: functions, each with its second argument."""

    tensor: Tensor
    """The tensor."""


def leaves(given: Any, values: Mapping[fx.Node, Any], name: str = "") -> Iterator[Leaf]:
    """Yield every tensor in an output: a tensor, a node, or tuples, lists, dicts and dataclasses of them.

    A tensor of five dimensions is taken as the maps of several stages, ``[B, stage, K, h, w]``.
    """
    if isinstance(given, fx.Node):
        yield from _inside(values[given], given, (), name)
    elif isinstance(given, Mapping | list | tuple) and not isinstance(given, torch.Size):
        for (_, key), value in _parts(given):
            yield from leaves(value, values, _join(name, _label(given, key)))
    else:
        yield from _inside(given, given, (), name)


def choose(found: list[Leaf], keypoints: int, output: str | None = None) -> tuple[int, str]:
    """Return the index of the tensor with heatmaps, and a note if there was a choice.

    Args:
        found: All tensors among the outputs.
        keypoints: Number of keypoints, which is the number of channels.
        output: Name or index of the tensor. None for the last that has the channels.

    Raises:
        InputError: No tensor has this name or these channels.
    """
    listed = ", ".join(f"{leaf.name or 'output'} {list(leaf.tensor.shape)}" for leaf in found) or "no tensor"
    named = [i for i, leaf in enumerate(found) if output in (None, leaf.name) or leaf.name.startswith(f"{output}.")]
    if not named and output is not None and output.isdecimal() and int(output) < len(found):
        named = [int(output)]
    if not named and found:
        raise InputError(f"there is no output {output!r}; the network returns {listed}")
    fitting = [i for i in named if found[i].tensor.ndim == 4 and found[i].tensor.shape[1] == keypoints]
    if not fitting:
        raise InputError(f"the network returns {listed}; it must return a tensor of heatmaps [B, {keypoints}, h, w]")
    if len(found) == 1 or len(named) == 1:
        return fitting[-1], ""
    name = found[fitting[-1]].name
    return fitting[-1], f"the network returns {listed}; heatmaps are {name}, choose another with --output"


def keep(graph: fx.GraphModule, leaf: Leaf) -> None:
    """Make the graph return one tensor, and remove the operations that it does not need."""
    output = next(node for node in graph.graph.nodes if node.op == "output")
    node = leaf.node
    with graph.graph.inserting_before(output):
        for function, key in leaf.path:
            node = _part(node, key) or graph.graph.call_function(function, (node, key))
    if node.op in ("placeholder", "get_attr"):
        raise InputError("the network returns its input or a weight; it must return one tensor of heatmaps")
    output.args = (node,)
    remove_unused(graph)


def _part(node: fx.Node, key: Any) -> Any:
    """Return the tensor that a class or ``torch.stack`` packed under this key, or None if nothing packed it."""
    if isinstance(node.target, type):  # a named tuple or a dataclass
        given = inspect.signature(node.target).bind(*node.args, **node.kwargs).arguments
        part = given.get(key if isinstance(key, str) else list(getattr(node.target, "_fields", ()))[key])
        return part if isinstance(part, fx.Node) else None
    along = node.kwargs.get("dim", node.args[-1] if len(node.args) > 1 else 0)
    if node.target is torch.stack and isinstance(key, tuple) and along == 1 and isinstance(node.args[0], list | tuple):
        return node.args[0][key[1]]
    return None


def remove_unused(graph: fx.GraphModule) -> None:
    """Remove asserts, and operations whose results are not used."""
    for node in list(graph.graph.nodes):
        if node.op == "call_function" and node.target is torch._assert:
            graph.graph.erase_node(node)
    order = {node: index for index, node in enumerate(graph.graph.nodes)}
    graph.graph.eliminate_dead_code(lambda node: node.op in ("placeholder", "output") or _is_needed(node, order))
    graph.recompile()


def read_later(node: fx.Node, order: Mapping[fx.Node, int]) -> bool:
    """Return True if another operation after ``node`` reads the tensor that ``node`` overwrites, by another name."""
    root = node.args[0] if node.args else None
    while isinstance(root, fx.Node) and _is_alias(root) and root.args:
        root = root.args[0]
    names = [root] if isinstance(root, fx.Node) else []
    while names:
        name = names.pop()
        for user in name.users:
            if user is not node:
                if order.get(user, -1) > order[node]:
                    return True
                if _is_alias(user) and user.args[0] is name:
                    names.append(user)
    return False


def _is_needed(node: fx.Node, order: Mapping[fx.Node, int]) -> bool:
    """Return True if the operation overwrites a tensor that is read later."""
    return _overwrites(node) and read_later(node, order)


def _is_alias(node: fx.Node) -> bool:
    """Return True if the operation returns its first argument or a view of it."""
    return node.op.startswith("call_") and (name_of(node) in VIEWS or _overwrites(node))


def _overwrites(node: fx.Node) -> bool:
    name = name_of(node)
    if node.op == "call_module":
        return bool(getattr(node.graph.owning_module.get_submodule(name), "inplace", False))  # type: ignore[union-attr]
    return name in CHANGES or name.rstrip("_") + "_" == name or bool(node.kwargs.get("inplace"))


def name_of(node: fx.Node) -> str:
    """Return the name of the function, method or module that a node calls."""
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "")


def _inside(value: Any, node: Any, path: tuple[Any, ...], name: str) -> Iterator[Leaf]:
    if isinstance(value, Tensor) and value.ndim == 5:  # [B, stage, K, h, w]
        for stage in range(value.shape[1]):
            step = operator.getitem, (slice(None), stage)
            yield Leaf(_join(name, str(stage)), node, (*path, step), value[:, stage])
    elif isinstance(value, Tensor):
        yield Leaf(name, node, path, value)
    else:
        for step, part in _parts(value):
            yield from _inside(part, node, (*path, step), _join(name, _label(value, step[1])))


def _parts(value: Any) -> Iterator[tuple[tuple[Callable[[Any, Any], Any], Any], Any]]:
    """Yield the parts of a container, each with the function and the key that take it out."""
    if isinstance(value, Mapping):
        yield from (((operator.getitem, key), part) for key, part in value.items())
    elif isinstance(value, list | tuple):
        yield from (((operator.getitem, index), part) for index, part in enumerate(value))
    elif dataclasses.is_dataclass(value):
        yield from (((getattr, f.name), getattr(value, f.name)) for f in dataclasses.fields(value))


def _label(container: Any, key: Any) -> str:
    names = getattr(container, "_fields", None)
    return str(names[key] if names else key)


def _join(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key
