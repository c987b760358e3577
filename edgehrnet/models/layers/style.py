"""Hold the choices that all blocks of one network share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import nn


def _sigmoid(inplace: bool) -> nn.Module:  # noqa: ARG001
    """Return a sigmoid. PyTorch has no in-place module for it."""
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
    """Choices that all blocks of one network share."""

    activation: str = "silu"
    """A key of `ACTIVATIONS`, or `LINEAR` for none."""

    inplace: bool = True
    """Overwrite tensors that no backward pass needs: the BN output before an activation, the first term of a sum.

    Autograd keeps a copy of an activation's input, so this saves inference time and transient memory only.
    """

    down: str = "dw"
    """One of `DOWNS`: the way in which `blocks.Down` halves the resolution."""

    @property
    def linear(self) -> Style:
        """This style without an activation.

        >>> Style("hardswish").linear.activation
        'linear'
        """
        return replace(self, activation=LINEAR)

    @property
    def sigmoid(self) -> Style:
        """This style with a sigmoid as its activation, for gates."""
        return replace(self, activation="sigmoid")

    def make_activation(self) -> nn.Module:
        """Return a new activation module, the identity for `LINEAR`."""
        return nn.Identity() if self.activation == LINEAR else ACTIVATIONS[self.activation](self.inplace)
