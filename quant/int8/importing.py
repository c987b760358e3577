"""Import a torch network of another project, and make a plain copy of it that can be traced."""

from __future__ import annotations

import copy
import importlib
import operator
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm
from torch.optim.swa_utils import AveragedModel

from edgehrnet.errors import InputError

LAYERS: tuple[type[nn.Module], ...] = (
    nn.Conv2d,
    nn.ConvTranspose2d,
    nn.Linear,
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.InstanceNorm2d,
    nn.GroupNorm,
    nn.LayerNorm,
)
"""Layers whose subclasses become plain layers if they compute the same."""
BATCHNORMS: dict[int, type[nn.Module]] = {
    2: nn.BatchNorm1d,
    3: nn.BatchNorm1d,
    4: nn.BatchNorm2d,
    5: nn.BatchNorm3d,
}
"""The BatchNorm that replaces a SyncBatchNorm, by the number of dimensions of its input."""
REMOVERS: dict[type, Callable[[nn.Module, Any], object]] = {
    WeightNorm: lambda module, hook: remove_weight_norm(module, hook.name),
    SpectralNorm: lambda module, hook: remove_spectral_norm(module, hook.name),
    prune.BasePruningMethod: lambda module, hook: prune.remove(module, hook._tensor_name),  # type: ignore[no-untyped-call]
}
"""How a hook that computes weights before each call is removed, with the weights kept."""


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


def plain_copy(module: nn.Module, image: Tensor) -> nn.Module:
    """Return a copy in float32 and eval mode, of plain layers where that is the same.

    Wrappers such as DataParallel and torch.compile are taken off. Weights that are computed from others, as by weight
    norm and pruning, are computed once. A SyncBatchNorm becomes a BatchNorm. A subclass of one of `LAYERS` becomes
    that layer if both give the same output for ``image``.

    Args:
        module: The network. It is not changed.
        image: A random input ``[1, C, H, W]`` to run the copy on.

    Raises:
        InputError: The network is TorchScript, cannot be copied, or cannot run on such an input.
    """
    inner = unwrapped(module)
    if isinstance(inner, torch.jit.ScriptModule):
        raise InputError("the network is TorchScript, whose layers cannot be replaced; return the Python network")
    _refresh_weights(inner)
    try:
        network = copy.deepcopy(inner).cpu().float().eval()
    except (RuntimeError, TypeError) as error:
        raise InputError(f"{type(inner).__name__} cannot be copied: {error}") from None
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            setattr(parent, name, unwrapped(child))
    for part in network.modules():
        compiled = getattr(part.forward, "_torchdynamo_orig_callable", None)
        if compiled is not None:
            part.forward = getattr(compiled, "__func__", compiled).__get__(part)
    _bake_weights(network)
    _make_plain(network, image)
    return network


def unwrapped(module: nn.Module) -> nn.Module:
    """Return the network inside of DataParallel, DistributedDataParallel, AveragedModel and torch.compile."""
    while True:
        if isinstance(module, nn.DataParallel | DistributedDataParallel | AveragedModel):
            module = module.module
        elif isinstance(inner := getattr(module, "_orig_mod", None), nn.Module):
            module = inner
        else:
            return module


def run(network: Callable[[Tensor], Any], image: Tensor) -> Any:
    """Run the network without gradients.

    Raises:
        InputError: The network cannot run on an input of this shape.
    """
    try:
        with torch.no_grad():
            return network(image)
    except Exception as error:  # the network's code may raise anything
        raise InputError(f"the network cannot run on {list(image.shape)}: {error}") from None


def _refresh_weights(network: nn.Module) -> None:
    """Compute weights of hooks again without gradients, because torch cannot copy a tensor with a gradient."""
    for module in network.modules():
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, tuple(REMOVERS)):
                training, module.training = module.training, False
                with torch.no_grad():
                    hook(module, ())
                module.training = training


@torch.no_grad()
def _bake_weights(network: nn.Module) -> None:
    """Replace weights that are computed from others by their values."""
    for module in list(network.modules()):
        if parametrize.is_parametrized(module):
            for name in list(module.parametrizations):  # type: ignore[arg-type]
                parametrize.remove_parametrizations(module, name, leave_parametrized=True)
        for hook in list(module._forward_pre_hooks.values()):
            for kind, remove in REMOVERS.items():
                if isinstance(hook, kind):
                    remove(module, hook)


def _make_plain(network: nn.Module, image: Tensor) -> None:
    """Turn SyncBatchNorms, and subclasses of `LAYERS` that compute the same, into plain layers."""
    found: dict[nn.Module, set[type[nn.Module] | None]] = {}
    handles = []
    for module in network.modules():
        base = next((kind for kind in LAYERS if isinstance(module, kind) and type(module) is not kind), None)
        if isinstance(module, nn.SyncBatchNorm):
            handles.append(module.register_forward_pre_hook(partial(_by_dimensions, found)))
        elif base is not None and type(module).__module__.partition(".")[0] != "torch":
            handles.append(module.register_forward_hook(partial(_by_output, found, base)))
    if handles:
        run(network, image)
    for handle in handles:
        handle.remove()
    for module, kinds in found.items():
        (kind, *others) = kinds
        if kind is not None and not others:
            module.__class__ = kind


def _by_dimensions(found: dict[nn.Module, Any], module: nn.Module, inputs: tuple[Any, ...]) -> None:
    found.setdefault(module, set()).add(BATCHNORMS.get(inputs[0].ndim) if inputs else None)


def _by_output(
    found: dict[nn.Module, Any], base: type[nn.Module], module: nn.Module, inputs: tuple[Any, ...], output: Any
) -> None:
    try:
        expected = base.forward(module, *inputs)
        same = expected.shape == output.shape and torch.allclose(expected, output, rtol=1e-5, atol=1e-6)
    except Exception:  # the base class takes other arguments
        same = False
    found.setdefault(module, set()).add(base if same else None)
