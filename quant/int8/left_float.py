"""List what runs in float in an INT8 file, with multiply-accumulates (MACs) and the reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from edgehrnet.models.layers.blocks import Add, Convolution

ACTIVATION_TYPES = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.LeakyReLU, nn.Sigmoid)
# Modules that are not listed as left in float, because they do not change values, or engines choose their precision.
SILENT = (Add, nn.Identity, nn.Dropout, nn.Dropout2d, nn.Flatten, nn.MaxPool2d, *ACTIVATION_TYPES)
SIZE_ONLY = ("size", "dim", "numel", "new_zeros", "new_ones", "new_full", torch.zeros_like, torch.ones_like)
"""Functions whose results depend on a tensor's size and type only."""


@dataclass(frozen=True)
class LeftFloat:
    """A module or function that runs in float in the INT8 file."""

    name: str
    """Name of the module, or of the module that calls the function and the function."""

    kind: str
    """Class of the module, such as ``ConvTranspose2d``, or the function."""

    reason: str
    """Why it is not quantized."""

    macs: int = 0
    """MACs for one picture of the spec's size."""


class Counting(fx.Interpreter):
    """Run a graph, and count the MACs of each operation."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.macs: dict[fx.Node, int] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Run one operation."""
        with FlopCounterMode(display=False) as counter:
            result = super().run_node(n)
        self.macs[n] = counter.get_total_flops() // 2
        return result


def survey(graph: fx.GraphModule, image: Tensor) -> tuple[list[LeftFloat], dict[str, int]]:
    """List what no unit contains, and return the MACs of every unit by name.

    Args:
        graph: The traced network, in units.
        image: An input to run it on.
    """
    counting = Counting(graph)
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # attention is then computed by operations that are counted
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
            counting.run(image)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
    left, units = [], {}
    for node, macs in counting.macs.items():
        if node.op == "call_module":
            module, name = graph.get_submodule(str(node.target)), f"graph.{node.target}"
            if isinstance(module, Convolution):
                units[name] = macs
            elif not isinstance(module, SILENT):
                left.append(LeftFloat(name, type(module).__name__, _reason(module), macs))
        elif macs:
            function = node.target if isinstance(node.target, str) else getattr(node.target, "__name__", "function")
            why = "its weights depend on the picture" if node.target is F.conv2d else "only Conv2d is quantized"
            left.append(LeftFloat(".".join(filter(None, ("graph", scope(node), node.name))), function, why, macs))
    return left, units


def scope(node: fx.Node) -> str:
    """Return the name of the module that called a function, empty for the network itself."""
    stack = node.meta.get("nn_module_stack")
    return str(next(reversed(stack.values()))[0]) if stack else ""


def reads_constant(node: fx.Node) -> bool:
    """Return True if a layer reads a concatenation in which one part is the same for every picture, such as a grid."""
    source = node.args[0]
    if not isinstance(source, fx.Node) or source.target not in (torch.cat, torch.concat, torch.concatenate):
        return False
    parts = source.args[0] if source.args else source.kwargs.get("tensors", ())
    return isinstance(parts, list | tuple) and not all(_depends(part) for part in parts)


def _depends(value: Any) -> bool:
    """Return True if a value depends on more of the picture than its size and type."""
    if not isinstance(value, fx.Node) or value.op == "get_attr" or value.target in SIZE_ONLY:
        return False
    if value.target is getattr and value.args[1] in ("shape", "dtype", "device"):
        return False
    return value.op == "placeholder" or any(_depends(node) for node in value.all_input_nodes)


def obstacle(conv: nn.Conv2d) -> str:
    """Return the reason why a convolution cannot be a unit, or an empty string if it can."""
    if conv.padding_mode != "zeros" or isinstance(conv.padding, str):
        return f"pads with {conv.padding_mode if conv.padding_mode != 'zeros' else conv.padding!r}"
    return "is dilated" if set(conv.dilation) != {1} else ""


def _reason(module: nn.Module) -> str:
    if isinstance(module, nn.Conv2d):
        return obstacle(module) or "is not called as a module"
    if isinstance(module, nn.BatchNorm2d):
        return "does not follow a convolution, or follows one whose output has other readers"
    return "only Conv2d is quantized"
