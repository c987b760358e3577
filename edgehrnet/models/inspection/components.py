"""Assign the modules of every network to components, and help to trace a network without computing values."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)

TRANSITION, FUSION, ACROSS = "transition", "fusion", "across branches"
# Pattern at the beginning of a module's name, and the component that the module belongs to. {} is the branch.
RULES: tuple[tuple[str, str], ...] = (
    (r"stage\d\.transition", TRANSITION),
    (r"stage\d\.hr_modules\.\d+\.branches\.(\d+)", "branch {}"),
    (r"stage\d\.hr_modules\.\d+\.blocks\.\d+\.(?:depthwise|spatial|units)\.(\d+)", "branch {}"),
    (r"stage\d\.hr_modules\.\d+\.blocks\.\d+", ACROSS),
    (r"stage\d\.hr_modules\.\d+\.fusion", FUSION),
)
_COMPILED = tuple((re.compile(rf"{pattern}(?:\.|$)"), title) for pattern, title in RULES)
# Each child of these modules is a component.
WITH_NAMED_CHILDREN = ("heads", "auxiliary")


class Component(NamedTuple):
    """A group of modules in a network, such as branch 2 of stage 3."""

    stage: str
    """Child of the network, such as ``stage3`` or ``stem``. Empty for a component that spans all stages."""

    name: str = ""
    """Name within the stage, such as ``branch 2``, counted from 1. Empty for a whole stage."""

    def __str__(self) -> str:
        """Return stage and name, separated by a space."""
        return f"{self.stage} {self.name}".strip()


def component_of(module: str) -> Component:
    """Return the component that a module belongs to, from the module's name in the network.

    The network itself, whose name is empty, belongs to ``Component("")``.

    >>> str(component_of("stage3.hr_modules.0.branches.1.0.expand")), str(component_of("heads.offsets.predict"))
    ('stage3 branch 2', 'heads offsets')
    >>> component_of("stage2.hr_modules.1"), component_of("stem.blocks.0")
    (Component(stage='stage2', name=''), Component(stage='stem', name=''))
    """
    stage, _, rest = module.partition(".")
    for pattern, title in _COMPILED:
        found = pattern.match(module)
        if found:
            return Component(stage, title.format(*(int(number) + 1 for number in found.groups())))
    return Component(stage, rest.partition(".")[0] if stage in WITH_NAMED_CHILDREN else "")


def named_tensors(value: Any) -> dict[str, Tensor]:
    """Return the tensors nested in a module's inputs or output, by the expression that selects each.

    >>> import torch
    >>> one = torch.zeros(1)
    >>> list(named_tensors(one)), list(named_tensors([one, one])), list(named_tensors({"offsets": one}))
    ([''], ['[0]', '[1]'], ['.offsets'])
    """
    if isinstance(value, Tensor):
        return {"": value}
    if isinstance(value, Mapping):
        items = [(f".{key}", item) for key, item in value.items()]
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        items = [(f".{field}", item) for field, item in zip(value._fields, value, strict=True)]
    elif isinstance(value, list | tuple):
        items = [(f"[{index}]", item) for index, item in enumerate(value)]
    else:
        return {}
    return {name + inner: tensor for name, item in items for inner, tensor in named_tensors(item).items()}


class _ShapeOnlyNorm(nn.Identity):
    """Replacement for a BN on the meta device, where torch's BN takes longer than all other modules together.

    Args:
        channels: Number of channels that the BN is for.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, ``[B, C, H, W]``.

        Raises:
            RuntimeError: C is not the number of channels of the BN.
        """
        if x.shape[1] != self.channels:
            raise RuntimeError(f"this BN has {self.channels} channels, but its input has {x.shape[1]}")
        return x


def meta_copy(net: Network) -> Network:
    """Return a copy of a network on the meta device in eval mode, which computes shapes but no values.

    Every BN is replaced by a module without parameters, which is faster.
    """
    meta = copy.deepcopy(net).to("meta").eval()
    for module in list(meta.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, _ShapeOnlyNorm(child.num_features))
    return meta
