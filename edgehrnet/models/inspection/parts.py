"""How networks of every family fall into stages and branches, and what a module returned, tensor by tensor."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)

TRANSITION, FUSION, ACROSS = "transition", "fusion", "across branches"
# How the names of the modules begin that do something for the part of this name; {} is the number of the branch.
RULES: tuple[tuple[str, str], ...] = (
    (r"stage\d\.transition", TRANSITION),
    (r"stage\d\.hr_modules\.\d+\.branches\.(\d+)", "branch {}"),
    (r"stage\d\.hr_modules\.\d+\.blocks\.\d+\.(?:depthwise|spatial|units)\.(\d+)", "branch {}"),
    (r"stage\d\.hr_modules\.\d+\.blocks\.\d+", ACROSS),
    (r"stage\d\.hr_modules\.\d+\.fusion", FUSION),
)
_COMPILED = tuple((re.compile(rf"{pattern}(?:\.|$)"), title) for pattern, title in RULES)
# Heads are told apart by name, whatever else is in them.
WITH_NAMED_CHILDREN = ("heads", "auxiliary")


class Part(NamedTuple):
    """A place in a network: the child of the network, and what within it; branches are numbered from 1."""

    stage: str
    name: str = ""

    def __str__(self) -> str:
        """Both in words."""
        return f"{self.stage} {self.name}".strip()


def part_of(module: str) -> Part:
    """Return where a module belongs, by its name in the network; the network itself belongs to ``Part("")``.

    >>> str(part_of("stage3.hr_modules.0.branches.1.0.expand")), str(part_of("heads.offsets.predict"))
    ('stage3 branch 2', 'heads offsets')
    >>> part_of("stage2.hr_modules.1"), part_of("stem.blocks.0")
    (Part(stage='stage2', name=''), Part(stage='stem', name=''))
    """
    stage, _, rest = module.partition(".")
    for pattern, title in _COMPILED:
        found = pattern.match(module)
        if found:
            return Part(stage, title.format(*(int(number) + 1 for number in found.groups())))
    return Part(stage, rest.partition(".")[0] if stage in WITH_NAMED_CHILDREN else "")


def named_tensors(value: Any) -> dict[str, Tensor]:
    """Return the tensors in what a module takes or returns, by how Python reaches them.

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


class _Unscaled(nn.Identity):
    """Stands in for a BN where there is no data, for which torch would take longer than for all else."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` -> the same; RuntimeError unless C is that of the BN."""
        if x.shape[1] != self.channels:
            raise RuntimeError(f"this BN is for {self.channels} channels, not {x.shape[1]}")
        return x


def shadow(net: Network) -> Network:
    """Return a copy of a network in eval mode without its data, which computes shapes and nothing else.

    Every BN is replaced by something that keeps the shape, so that the parameters are not all there.
    """
    meta = copy.deepcopy(net).to("meta").eval()
    for module in list(meta.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, _Unscaled(child.num_features))
    return meta
