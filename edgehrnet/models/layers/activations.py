"""Exchange the activation of single modules of a network."""

from __future__ import annotations

from collections.abc import Mapping

from torch import nn

from edgehrnet.errors import InputError, nearest
from edgehrnet.models.layers.style import ACTIVATIONS

KINDS: Mapping[str, type[nn.Module]] = {"silu": nn.SiLU, "hardswish": nn.Hardswish, "relu": nn.ReLU}
"""Activations that can take each other's place, by name."""


def activation_sites(network: nn.Module) -> dict[str, str]:
    """Return the name of each activation module with a key of `KINDS`, in the order of the network's modules.

    Sigmoids are gates, whose values are factors, and no other activation can take their place.

    >>> activation_sites(nn.Sequential(nn.SiLU(), nn.Sigmoid(), nn.ReLU()))
    {'0': 'silu', '2': 'relu'}
    """
    names = {kind: name for name, kind in KINDS.items()}
    return {site: names[type(module)] for site, module in network.named_modules() if type(module) in names}


def exchange_activations(network: nn.Module, activations: Mapping[str, str]) -> None:
    """Replace activation modules of a network in place.

    Args:
        network: The network.
        activations: New activation, a key of `KINDS`, by the name of an activation module, such as ``stem.conv1.act``,
            or of a module with activations in it, such as ``stem``. Later entries take precedence.

    Raises:
        InputError: The network has no activation of this name.
    """
    sites = activation_sites(network)
    for place, name in activations.items():
        chosen = [site for site in sites if f"{site}.".startswith(f"{place}.")]
        if not chosen:
            raise InputError(f"activations: the network has no activation in {place!r}: {nearest(place, sites)}")
        for site in chosen:
            inplace = network.get_submodule(site).inplace
            network.set_submodule(site, ACTIVATIONS[name](bool(inplace)))


def checked_activations(value: object) -> dict[str, str]:
    """Return the option ``activations`` of a network after checking it.

    Raises:
        InputError: It is not a mapping of names to keys of `KINDS`.
    """
    if not isinstance(value, Mapping) or not all(isinstance(place, str) and place for place in value):
        raise InputError(
            f"activations={value!r}: must be activations by the name of a module, such as {{'stem': 'hardswish'}}"
        )
    for place, name in value.items():
        if not isinstance(name, str) or name not in KINDS:
            raise InputError(f"activations: {name!r} at {place!r} is not known: {nearest(str(name), KINDS)}")
    return dict(value)
