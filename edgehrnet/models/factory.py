"""Build a network from its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any

from edgehrnet.errors import UnknownKeywordError, nearest
from edgehrnet.models.layers.base import KeypointNetwork
from edgehrnet.models.networks.edgehrnet18 import EdgeHRNet
from edgehrnet.models.networks.hrnet import HRNETS, HRNet
from edgehrnet.models.networks.litehrnet import LITE_HRNETS, LiteHRNet
from edgehrnet.models.networks.options import Options
from edgehrnet.models.networks.shared import PublishedOptions
from edgehrnet.models.variants import VARIANTS, find_variant


@dataclass(frozen=True)
class _Family:
    """Networks that share one class and one set of options."""

    options: type[Any]
    """Dataclass of the options."""

    build: Callable[[str, int, Any], KeypointNetwork]
    """Function of the variant's name, the number of keypoints and the options."""

    @property
    def option_names(self) -> list[str]:
        return [field.name for field in fields(self.options)]


FAMILIES: Mapping[str, _Family] = MappingProxyType(
    {
        "edgehrnet": _Family(Options, lambda _, k, options: EdgeHRNet(k, options)),
        "hrnet": _Family(PublishedOptions, lambda name, k, options: HRNet(HRNETS[name], k, options)),
        "litehrnet": _Family(PublishedOptions, lambda name, k, options: LiteHRNet(LITE_HRNETS[name], k, options)),
    }
)


def available() -> list[str]:
    """Return the names that `create` accepts."""
    return list(VARIANTS)


def create(name: str, *, keypoints: int = 17, **options: Any) -> KeypointNetwork:
    """Build a network with freshly initialized weights, float32 on the CPU, in training mode.

    The network maps ``[B, C, H, W]`` float to `Output`, with H and W divisible by 32. EdgeHRNet has C = 4: RGB in
    0..1 and a mask. All other networks have C = 3: RGB in 0..1, minus the mean and divided by the standard deviation
    in their variant's spec.

    Args:
        name: One of `available`.
        keypoints: Number K of keypoints, at least 1.
        **options: Options of the network, which take precedence over those of the variant. EdgeHRNet has the fields of
            `Options`. All other networks have the fields of `networks.shared.PublishedOptions`.

    Returns:
        The network.

    Raises:
        InputError: The name is unknown, or an option has a value that is not accepted.
        UnknownKeywordError: The network has no option of this name. The error is also a TypeError.

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
