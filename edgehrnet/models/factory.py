"""A network from its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from edgehrnet.errors import UnknownKeywordError, nearest
from edgehrnet.models.layers.base import KeypointNetwork
from edgehrnet.models.networks.edgehrnet18 import EdgeHRNet
from edgehrnet.models.networks.hrnet import HRNETS, HRNet, HRNetOptions
from edgehrnet.models.networks.litehrnet import LITE_HRNETS, LiteHRNet
from edgehrnet.models.networks.options import Options
from edgehrnet.models.networks.shared import PublishedOptions
from edgehrnet.models.variants import VARIANTS, find_variant


@dataclass(frozen=True)
class _Family:
    """How the networks of one family are made: their options, and a builder of (variant's name, K, options)."""

    options: type[Any]
    build: Callable[[str, int, Any], KeypointNetwork]

    @property
    def option_names(self) -> list[str]:
        return [field.name for field in fields(self.options)]


FAMILIES: Mapping[str, _Family] = MappingProxyType(
    {
        "edgehrnet": _Family(Options, lambda _, k, options: EdgeHRNet(k, options)),
        "hrnet": _Family(HRNetOptions, lambda name, k, options: HRNet(HRNETS[name], k, options)),
        "litehrnet": _Family(PublishedOptions, lambda name, k, options: LiteHRNet(LITE_HRNETS[name], k, options)),
    }
)


def available() -> list[str]:
    """The names `create` accepts."""
    return list(VARIANTS)


def create(name: str, *, keypoints: int = 17, **options: Any) -> KeypointNetwork:
    """Build a network in training mode, freshly initialized, float32 on the CPU.

    Args:
        name: one of `available`.
        keypoints: K, the number of heatmaps, at least 1.
        options: of EdgeHRNet, see `edgehrnet.models.networks.options.Options`; of the others, `hrnet.HRNetOptions` and
            `published_network.PublishedOptions`. They go over the variant's own.

    Returns:
        A module from ``[B, C, H, W]`` float to `Output`; H and W divisible by 32. EdgeHRNet: C = 4, RGB in 0..1 and
        the mask. The others: C = 3, RGB in 0..1, less the mean and divided by the deviation of their variant's spec.

    Raises:
        InputError: an unknown name, or a value that an option does not accept.
        UnknownKeywordError: an option that the network does not have (also a TypeError).

    >>> net = create("edgehrnet18", keypoints=4, fuse="weighted")
    >>> create("edgehrnet18", fusee="add")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    edgehrnet.errors.UnknownKeywordError: edgehrnet18 has no option 'fusee': did you mean 'fuse'? ...
    """
    variant = find_variant(name)
    family = FAMILIES[variant.family]
    for option in options:
        if option not in family.option_names:
            known = ["keypoints", *family.option_names]
            raise UnknownKeywordError(f"{name} has no option {option!r}: {nearest(option, known)}")
    return family.build(name, keypoints, family.options(**{**variant.options, **options}))
