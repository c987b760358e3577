"""The choices that all blocks of one network share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn


def _sigmoid(inplace: bool) -> nn.Module:  # noqa: ARG001
    """torch has no such module that works in place."""
    return nn.Sigmoid()


ACTIVATIONS: dict[str, Callable[[bool], nn.Module]] = {
    "silu": nn.SiLU,
    "hardswish": nn.Hardswish,
    "relu": nn.ReLU,
    "sigmoid": _sigmoid,
}
DOWNS = ("dw", "avgpool", "blur")
LINEAR = "linear"


@dataclass(frozen=True)
class Style:
    """The choices that all blocks of one network share.

    Attributes:
        activation: a key of `ACTIVATIONS`, or `LINEAR` for none.
        inplace: overwrite tensors that no backward reads: the BN output below an activation, and the
            first term of a sum. Autograd keeps its own copy of an activation's input, so the gain is
            in inference and in transient memory.
        down: how `blocks.Down` halves the resolution, one of `DOWNS`.
    """

    activation: str = "silu"
    inplace: bool = True
    down: str = "dw"

    @property
    def linear(self) -> Style:
        """The same style without an activation.

        >>> Style("hardswish").linear.activation
        'linear'
        """
        return replace(self, activation=LINEAR)

    @property
    def sigmoid(self) -> Style:
        """The same style with a sigmoid, as gates end."""
        return replace(self, activation="sigmoid")

    def make_activation(self) -> nn.Module:
        """A new module of the activation, the identity where there is none."""
        return nn.Identity() if self.activation == LINEAR else ACTIVATIONS[self.activation](self.inplace)
