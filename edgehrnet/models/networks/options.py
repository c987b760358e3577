"""The options of EdgeHRNet, checked when they are given."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from edgehrnet.errors import InputError, nearest
from edgehrnet.models.layers.fpn import METHODS
from edgehrnet.models.layers.fusion import FUSES, GATES
from edgehrnet.models.layers.style import DOWNS, Style

CHOICES: dict[str, tuple[str, ...]] = {
    "fuse": FUSES,
    "gate": GATES,
    "fpn": METHODS,
    "down": DOWNS,
    "activation": ("silu", "hardswish"),
}


@dataclass(frozen=True)
class Options:
    """What can be chosen about an EdgeHRNet.

    Attributes:
        fuse: ``add`` or ``weighted`` (learned, normalized) sums in the LiteFPN.
        gate: ``none``, ``se`` or ``coord`` attention on each input of such a sum.
        fpn: method ``A`` (last sum as all others) or ``B`` (3x3 on the concatenation).
        down: ``dw`` (depthwise stride 2), ``avgpool`` or ``blur`` (low-pass before the stride).
        activation: ``silu`` or ``hardswish``.
        hidden_heads: a hidden 3x3 128 -> 64 in every head.
        boundary: one more head, ``extras["boundary"]``.
        sdf: one more head, ``extras["sdf"]``.
        pyramid: return ``p3_td``, ``p4_td`` and ``p5`` in the extras.
        auxiliary: heatmap heads on P3_td and P4_td, ``extras["aux_p3"]`` and ``["aux_p4"]``.
        modules: how many high-resolution modules stages 2, 3 and 4 have, each at least one.
        inplace: overwrite tensors where autograd allows it.
        checkpointing: while training, keep only the ends of stages 2 to 4 and recompute the rest.

    Raises:
        InputError: a value is not one of the accepted ones.
    """

    fuse: str = "add"
    gate: str = "none"
    fpn: str = "A"
    down: str = "dw"
    activation: str = "silu"
    hidden_heads: bool = False
    boundary: bool = False
    sdf: bool = False
    pyramid: bool = False
    auxiliary: bool = False
    modules: tuple[int, int, int] = (1, 1, 1)
    inplace: bool = True
    checkpointing: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in CHOICES:
                _check_choice(field.name, value, CHOICES[field.name])
            elif field.name != "modules" and not isinstance(value, bool):
                raise InputError(f"{field.name} is True or False, not {value!r}")
        # A list is what JSON makes of the tuple in a checkpoint.
        object.__setattr__(self, "modules", _modules(self.modules))

    @property
    def style(self) -> Style:
        """The choices shared by all blocks."""
        return Style(self.activation, self.inplace, self.down)

    @property
    def extra_outputs(self) -> tuple[str, ...]:
        """The names that ``Output.extras`` holds, in order.

        >>> Options(pyramid=True, sdf=True).extra_outputs
        ('sdf', 'p3_td', 'p4_td', 'p5')
        """
        given = {
            "boundary": ("boundary",),
            "sdf": ("sdf",),
            "pyramid": ("p3_td", "p4_td", "p5"),
            "auxiliary": ("aux_p3", "aux_p4"),
        }
        return tuple(name for option, names in given.items() if getattr(self, option) for name in names)


def option_names() -> list[str]:
    """The names of all options, in order of declaration.

    >>> option_names()[:3]
    ['fuse', 'gate', 'fpn']
    """
    return [field.name for field in fields(Options)]


def _check_choice(name: str, value: object, accepted: tuple[str, ...]) -> None:
    if value not in accepted:
        raise InputError(f"{name}={value!r} is not known: {nearest(str(value), accepted)}")


def _modules(value: object) -> tuple[int, int, int]:
    counts = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else ()
    whole = all(isinstance(count, int) and not isinstance(count, bool) and count >= 1 for count in counts)
    if len(counts) != 3 or not whole:
        raise InputError(f"modules={value!r}: stages 2, 3, 4 need a whole number of at least 1 each")
    return counts
