"""Define and validate the options of EdgeHRNet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields

from edgehrnet.errors import InputError, nearest
from edgehrnet.models.layers.activations import checked_activations
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
    """Options of an EdgeHRNet.

    Six of them are experiments from the design of the network, and no shipped model changes them: `fuse`, `gate`,
    `fpn`, `down`, `hidden_heads` and `modules`. `pyramid` only returns more maps.

    Raises:
        InputError: An option has a value that is not accepted.
    """

    fuse: str = "add"
    """Fusion in the LiteFPN: ``add``, or ``weighted`` for learned and normalized weights. An experiment."""

    gate: str = "none"
    """Attention on each input of such a fusion: ``none``, ``se`` or ``coord``. An experiment."""

    fpn: str = "A"
    """Last fusion of the LiteFPN: ``A`` for the same as all others, ``B`` for a 3x3 convolution on the concatenation.

    An experiment.
    """

    down: str = "dw"
    """Downsampling: ``dw`` (depthwise, with stride 2), ``avgpool`` or ``blur`` (low-pass filter, then ``dw``).

    An experiment.
    """

    activation: str = "silu"
    """``silu`` or ``hardswish``."""

    activations: dict[str, str] = field(default_factory=dict)
    """Other activation of some modules: ``silu``, ``hardswish`` or ``relu`` by the name of the module.

    See `exchange_activations` in `edgehrnet.models.layers.activations`. ``python -m quant.speedup`` chooses them.
    """

    hidden_heads: bool = False
    """Add a hidden 3x3 convolution from 128 to 64 channels to every head. An experiment."""

    boundary: bool = False
    """Add a head for the boundary, ``extras["boundary"]``."""

    sdf: bool = False
    """Add a head for the signed distance field, ``extras["sdf"]``."""

    pyramid: bool = False
    """Return the pyramid levels ``p3_td``, ``p4_td`` and ``p5`` in the extras. No shipped model does."""

    auxiliary: bool = False
    """Add heatmap heads on ``p3_td`` and ``p4_td`` for training, ``extras["aux_p3"]`` and ``extras["aux_p4"]``."""

    modules: tuple[int, int, int] = (1, 1, 1)
    """Number of high-resolution modules in stages 2, 3 and 4, at least 1 each. An experiment."""

    inplace: bool = True
    """Overwrite tensors where autograd allows it."""

    checkpointing: bool = False
    """Gradient checkpointing: store only the inputs of stages 2 to 4 in training, and recompute the rest."""

    def __post_init__(self) -> None:
        for option in fields(self):
            value = getattr(self, option.name)
            if option.name in CHOICES:
                _check_choice(option.name, value, CHOICES[option.name])
            elif option.name not in ("modules", "activations") and not isinstance(value, bool):
                raise InputError(f"{option.name}={value!r}: must be True or False")
        object.__setattr__(self, "activations", checked_activations(self.activations))
        # In a checkpoint, JSON has turned the tuple into a list.
        object.__setattr__(self, "modules", _modules(self.modules))

    @property
    def style(self) -> Style:
        """Choices shared by all blocks."""
        return Style(self.activation, self.inplace, self.down)

    @property
    def extra_outputs(self) -> tuple[str, ...]:
        """Names in ``Output.extras``, in order.

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


def _check_choice(name: str, value: object, accepted: tuple[str, ...]) -> None:
    if value not in accepted:
        raise InputError(f"{name}={value!r} is not known: {nearest(str(value), accepted)}")


def _modules(value: object) -> tuple[int, int, int]:
    """Return the number of modules per stage as a tuple, after checking it."""
    counts = tuple(value) if isinstance(value, Iterable) and not isinstance(value, str) else ()
    whole = all(isinstance(count, int) and not isinstance(count, bool) and count >= 1 for count in counts)
    if len(counts) != 3 or not whole:
        raise InputError(f"modules={value!r}: must be three whole numbers of at least 1, for stages 2, 3 and 4")
    return counts
