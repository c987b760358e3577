"""Return the feature maps of any layer of a network for one picture, with forward hooks."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from edgehrnet.errors import InputError
from edgehrnet.models.inspection.components import named_tensors
from edgehrnet.models.layers.base import KeypointNetwork

SHOWN = 8  # names in an error message


def feature_maps(net: KeypointNetwork, x: Tensor, layers: Sequence[str] | None = None) -> dict[str, Tensor]:
    """Run a network in eval mode without gradients, and return the outputs of layers.

    Args:
        net: The network. Its mode and its hooks are not changed.
        x: Input ``[B, C, H, W]``, see `deploy.export_module.network_input`.
        layers: Names of modules, as in ``net.named_modules()``. None selects the layers of `overview`.

    Returns:
        Copies of the maps by name, in the order of ``layers``. A layer with several outputs has one entry for each,
        such as ``stage2[0]`` for the first branch, ``fpn.p5`` or ``heads.offsets``. If a layer runs several times, its
        last output counts.

    Raises:
        InputError: The network does not accept the input, or has no such layer, or never runs it.

    >>> from edgehrnet.models import create
    >>> maps = feature_maps(create("edgehrnet18"), torch.zeros(1, 4, 64, 96), ["stage2", "fpn.smooth5"])
    >>> {name: tuple(value.shape[1:]) for name, value in maps.items()}
    {'stage2[0]': (32, 16, 24), 'stage2[1]': (64, 8, 12), 'fpn.smooth5': (128, 2, 3)}
    """
    names = [name for rows in overview(net).values() for name in rows] if layers is None else layers
    return {name: value for maps in maps_by_layer(net, x, names).values() for name, value in maps.items()}


def maps_by_layer(net: KeypointNetwork, x: Tensor, names: Sequence[str]) -> dict[str, dict[str, Tensor]]:
    """Return the same maps as `feature_maps`, grouped by layer."""
    modules = dict(net.named_modules())
    for name in names:
        if name not in modules or not name:
            raise InputError(f"the network has no layer {name!r}; {_near(name, modules)}")
    found: dict[str, dict[str, Tensor]] = {}
    hooks = [modules[name].register_forward_hook(_keeper(found, name)) for name in dict.fromkeys(names)]
    training = [module for module in net.modules() if module.training]
    try:
        with torch.no_grad():
            net.eval()(x)
    finally:
        for hook in hooks:
            hook.remove()
        for module in training:
            module.training = True
    for name in names:
        if name not in found:
            raise InputError(f"layer {name!r} never runs, it only contains others; {_near(name, modules)}")
    return {name: found[name] for name in names}


def overview(net: nn.Module) -> dict[str, list[str]]:
    """Return the names of the main layers by heading, with each stage before its last fusion and after it.

    >>> from edgehrnet.models import create
    >>> rows = overview(create("litehrnet18"))
    >>> list(rows)[:3], rows["stage2, branches"], rows["stage2, fused"]
    (['stem', 'stage2, branches', 'stage2, fused'], ['stage2.hr_modules.1.blocks.1'], ['stage2'])
    """
    rows: dict[str, list[str]] = {}
    for name, child in net.named_children():
        modules = getattr(child, "hr_modules", None)
        if isinstance(modules, nn.ModuleList):
            last = f"{name}.hr_modules.{len(modules) - 1}"
            children = dict(modules[-1].named_children())
            # A module has either separate branches, or blocks that each process all branches.
            before = (
                [f"{last}.branches.{index}" for index in range(len(list(children["branches"].children())))]
                if "branches" in children
                else [f"{last}.blocks.{len(list(children['blocks'].children())) - 1}"]
            )
            rows[f"{name}, branches"], rows[f"{name}, fused"] = before, [name]
        else:
            rows[name] = [name]
    return rows


def _keeper(found: dict[str, dict[str, Tensor]], name: str) -> Callable[..., None]:
    def keep(_module: nn.Module, _inputs: tuple[Any, ...], output: Any) -> None:
        # A copy, because the next layer may overwrite the map.
        found[name] = {name + inner: value.detach().clone() for inner, value in named_tensors(output).items()}

    return keep


def _near(name: str, modules: dict[str, nn.Module]) -> str:
    """Suggest children of the longest valid prefix of ``name``, closest match first."""
    known, unknown = name, ""
    while known not in modules:
        known, _, unknown = known.rpartition(".")
    within = [f"{known}.{child}".lstrip(".") for child, _ in modules[known].named_children()]
    wanted = f"{known}.{unknown}".lstrip(".")
    within.sort(key=lambda child: -difflib.SequenceMatcher(None, wanted, child).ratio())
    rest = ", ..." if len(within) > SHOWN else ""
    return f"{known or 'the network'} has {', '.join(within[:SHOWN]) or 'no layers inside'}{rest}"
