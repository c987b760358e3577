"""The torch networks of the package, by name.

>>> available()
['edgehrnet18', 'edgehrnet18_hs']
"""

from __future__ import annotations

from typing import Any

from edgehrnet.errors import InputError, UnknownKeywordError, nearest
from edgehrnet.models.edgehrnet18 import EdgeHRNet
from edgehrnet.models.options import Options, option_names
from edgehrnet.models.output import Output
from edgehrnet.models.variants import VARIANTS

__all__ = ["EdgeHRNet", "Options", "Output", "available", "create"]


def available() -> list[str]:
    """The names `create` accepts."""
    return list(VARIANTS)


def create(name: str, *, keypoints: int = 17, **options: Any) -> EdgeHRNet:
    """Build a network in training mode, freshly initialised, float32 on the CPU.

    Args:
        name: one of `available`.
        keypoints: K, the number of heatmaps, at least 1.
        options: see `edgehrnet.models.options.Options`; they go over the variant's own.

    Returns:
        A module from ``[B, 4, H, W]`` float (RGB in 0..1 and the mask; H and W divisible by 32) to `Output`.

    Raises:
        InputError: an unknown name, or a value that an option does not accept.
        UnknownKeywordError: an option that does not exist (also a TypeError).

    >>> net = create("edgehrnet18", keypoints=4, fuse="weighted")
    >>> create("edgehrnet18", fusee="add")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    edgehrnet.errors.UnknownKeywordError: edgehrnet18 has no option 'fusee': did you mean 'fuse'? ...
    """
    if name not in VARIANTS:
        raise InputError(f"unknown network {name!r}: {nearest(str(name), VARIANTS)}")
    for option in options:
        if option not in option_names():
            raise UnknownKeywordError(
                f"{name} has no option {option!r}: {nearest(option, ['keypoints', *option_names()])}"
            )
    chosen: dict[str, Any] = {**VARIANTS[name].options, **options}
    return EdgeHRNet(keypoints, Options(**chosen))
