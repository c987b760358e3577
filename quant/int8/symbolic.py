"""Record the operations of a network as a torch.fx graph.

The first way is that of torch.fx, where sizes stay unknown. It fails if the forward pass looks at a size, as an assert
does. The second way computes every operation on an example as it records it. Heights, widths and channels are then
numbers, and only the batch size and the values of tensors stay unknown.
"""

from __future__ import annotations

import operator
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from edgehrnet.errors import InputError

OWN = (str(Path(__file__).parent), str(Path(torch.__file__).parent))
FACTS = ("ndim", "dtype", "device", "layout", "is_cuda", "is_sparse", "is_quantized", "requires_grad")
QUESTIONS = ("dim", "ndimension", "numel", "nelement", "is_floating_point", "is_complex", "is_contiguous", "get_device")

CREATORS = (torch.zeros, torch.ones, torch.full, torch.empty, torch.arange, torch.linspace, torch.eye)
"""Functions that make tensors of a size. Torch's tracer does not see them."""


def record(network: nn.Module, tracer: fx.Tracer) -> fx.GraphModule:
    """Return the operations of the network.

    Raises:
        InputError: The network branches on the values of a tensor, or does something else that cannot be recorded.
            The message has the line of the network's code.
    """
    try:
        with torch.no_grad():
            graph = tracer.trace(network)
        for node in graph.nodes:
            node.meta.pop("is_wrapped", None)  # it would make torch wrap functions in every later trace
        return fx.GraphModule(network, graph)
    except Exception as error:  # the network's code may raise anything during tracing
        raise InputError(
            f"{type(network).__name__} cannot be traced: {error}{_line(error)}; its forward must not branch on tensor "
            "values"
        ) from None


class Tracer(fx.Tracer):
    """Torch's tracer, with one input. All other arguments of the forward pass keep their defaults."""

    proxy_buffer_attributes = True

    def __init__(self) -> None:
        super().__init__(autowrap_functions=CREATORS)
        self._autowrap_search.append(torch)

    def create_args_for_root(
        self, _root_fn: Callable[..., Any], _is_module: bool, _concrete_args: Any = None
    ) -> tuple[Any, list[Any]]:
        """Return the function to trace and its arguments."""
        return self.root.forward, [self.create_proxy("placeholder", "x", (), {})]

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Wrap a node."""
        return Recorded(node, self)


class ExampleTracer(Tracer):
    """A tracer that knows the value of each node for an example.

    Args:
        image: The example ``[1, C, H, W]``.
    """

    def __init__(self, image: Tensor) -> None:
        super().__init__()
        self.image = image
        self.values: dict[fx.Node, Any] = {}
        self._computing = False

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Wrap a node."""
        return Known(node, self)

    def create_node(self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any, **named: Any) -> fx.Node:
        """Add a node and compute its value."""
        node = super().create_node(kind, target, args, kwargs, *rest, **named)
        if kind != "output":
            self._computing = True
            try:
                self.values[node] = self._compute(node)
            finally:
                self._computing = False
        return node

    def create_proxy(self, kind: str, target: Any, args: Any, kwargs: Any, *rest: Any, **named: Any) -> Any:
        """Add a node, or answer a question about a tensor's size or type without one."""
        value = self.value(args[0]) if kind == "call_method" else None
        if isinstance(value, Tensor) and target == "size":
            sizes = self.sizes(args[0])
            position = args[1] if len(args) > 1 else kwargs.get("dim")
            return sizes if position is None else sizes[position]
        if isinstance(value, Tensor) and target in QUESTIONS:
            return getattr(value, target)(*args[1:], **kwargs)
        return super().create_proxy(kind, target, args, kwargs, *rest, **named)

    def create_arg(self, a: Any) -> Any:
        """Convert an argument of an operation into one of a node."""
        return a.node if isinstance(a, fx.Proxy) else super().create_arg(a)

    def value(self, proxy: fx.Proxy) -> Any:
        """Return the value for the example."""
        return self.values[proxy.node]

    def sizes(self, proxy: fx.Proxy) -> tuple[Any, ...]:
        """Return a tensor's shape. The first size stays unknown, unless the tensor is a weight."""
        shape = self.value(proxy).shape
        if proxy.node.op == "get_attr" or not shape:
            return tuple(shape)
        return (super().create_proxy("call_method", "size", (proxy, 0), {}), *shape[1:])

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Record the call of a layer, or trace the module. During a computation, do neither."""
        return forward(*args, **kwargs) if self._computing else super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, fx.Proxy]) -> Any:
        """Return a module's attribute, as a node if it is a parameter."""
        return attr_val if self._computing else super().getattr(attr, attr_val, parameter_proxy_cache)

    def to_bool(self, obj: fx.Proxy) -> bool:
        """Decide a branch. A branch on the values of a tensor raises an error."""
        value = self.value(obj)
        if not isinstance(value, Tensor):
            return bool(value)
        return _in_assert() or super().to_bool(obj)

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        """Iterate over a sequence of known length."""
        return iter([operator.getitem(obj, index) for index in range(len(self.value(obj)))])

    def _compute(self, node: fx.Node) -> Any:
        args: Any
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), self.values.__getitem__)
        if node.op == "placeholder":
            return self.image.clone()
        if node.op == "get_attr":
            return operator.attrgetter(str(node.target))(self.root)
        if node.op == "call_module":
            return self.root.get_submodule(str(node.target))(*args, **kwargs)
        if isinstance(node.target, str):
            return getattr(args[0], node.target)(*args[1:], **kwargs)
        return node.target(*args, **kwargs)


class Recorded(fx.Proxy):
    """A node that also records operations in place."""

    def __setitem__(self, key: Any, value: Any) -> None:
        self.tracer.create_proxy("call_function", operator.setitem, (self, key, value), {})

    def __iadd__(self, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.iadd, (self, other), {})

    def __isub__(self, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.isub, (self, other), {})

    def __imul__(self, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.imul, (self, other), {})

    def __itruediv__(self, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", operator.itruediv, (self, other), {})


class Known(Recorded):
    """A node whose value for the example is known."""

    tracer: ExampleTracer

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """Be a tensor for the network's code where the value is one."""
        return Tensor if isinstance(self.tracer.values.get(self.node), Tensor) else Known

    def __getattr__(self, name: str) -> Any:
        if name == "_is_param":  # torch asks for it where something is a Tensor
            raise AttributeError(name)
        value = self.tracer.value(self)
        if isinstance(value, Tensor) and name == "shape":
            return self.tracer.sizes(self)
        if isinstance(value, Tensor) and name in FACTS:
            return getattr(value, name)
        return super().__getattr__(name)

    def __len__(self) -> int:
        return len(self.tracer.value(self))

    def __index__(self) -> int:
        return operator.index(self.tracer.value(self))

    def __int__(self) -> int:
        return self.__index__()


def _in_assert() -> bool:
    """Return True if the network's code is at an assert, which says nothing about the file to be built."""
    frames = [frame for frame in traceback.extract_stack() if not frame.filename.startswith(OWN)]
    return bool(frames) and (frames[-1].line or "").startswith("assert ")


def _line(error: Exception) -> str:
    """Return the last line of the network's code in the error's traceback, with its place."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(OWN)]
    return f", in {frames[-1].filename} line {frames[-1].lineno}: {frames[-1].line}" if frames else ""
