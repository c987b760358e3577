"""Fuse maps of one shape: add or weight them, after optional attention gates."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgehrnet.models.layers.blocks import Add, ConvBNAct
from edgehrnet.models.layers.style import Style

FUSES = ("add", "weighted")
GATES = ("none", "se", "coord")


class Weighted(nn.Module):
    """Fast normalized fusion (Tan et al., EfficientDet, CVPR 2020, section 3.3) with softplus instead of ReLU.

    ``sum_i a_i x_i`` with ``a_i = softplus(w_i) / (sum_j softplus(w_j) + 1e-4)``. Every w_i is initialized to 1.
    Softplus keeps all weights positive and all gradients nonzero.

    >>> Weighted(2, inplace=True)(torch.zeros(3), torch.ones(3)).detach().round(decimals=3)
    tensor([0.5000, 0.5000, 0.5000])
    """

    EPSILON = 1e-4

    def __init__(self, inputs: int, inplace: bool) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(inputs))
        self.add = Add(inplace)

    def normalized_weights(self) -> Tensor:
        """Return the weights of the inputs, ``[inputs]`` in (0, 1). They are constant after training."""
        positive = F.softplus(self.weights)
        return positive / (positive.sum() + self.EPSILON)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return the weighted sum of maps of one shape without changing them."""
        weights = self.normalized_weights()
        y: Tensor = self.add(*(weights[i] * x for i, x in enumerate(inputs)))
        return y


class SqueezeExcitation(nn.Module):
    """Squeeze-and-excitation gate (Hu et al., CVPR 2018): ``x * sigmoid(W2 relu(W1 mean(x)))``."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(8, channels // reduction)
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.expand = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, C, H, W]`` to the same shape without changing ``x``."""
        squeezed = x.mean(dim=(2, 3), keepdim=True)
        gate = torch.sigmoid(self.expand(F.relu(self.reduce(squeezed))))
        return x * gate


class CoordinateAttention(nn.Module):
    """Coordinate attention (Hou et al., CVPR 2021): one gate per row and one per column, ``x * g_h * g_w``.

    The means over the columns and over the rows pass through one shared 1x1 convolution to C/32 channels (at least 8)
    with BN and hardswish. Then each passes through a 1x1 convolution of its own with a sigmoid.
    """

    def __init__(self, channels: int, reduction: int = 32, inplace: bool = True) -> None:
        super().__init__()
        hidden = max(8, channels // reduction)
        self.shared = ConvBNAct(channels, hidden, 1, Style("hardswish", inplace))
        self.rows = nn.Conv2d(hidden, channels, 1)
        self.columns = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, C, H, W]`` to the same shape without changing ``x``."""
        height, width = x.shape[2], x.shape[3]
        # A mean over one axis gives the same values as adaptive pooling to (H, 1), and exports as one ReduceMean.
        rows = x.mean(dim=3, keepdim=True)
        columns = x.mean(dim=2, keepdim=True).transpose(2, 3)
        shared = self.shared(torch.cat([rows, columns], dim=2))
        rows, columns = torch.split(shared, [height, width], dim=2)
        return x * torch.sigmoid(self.rows(rows)) * torch.sigmoid(self.columns(columns.transpose(2, 3)))


def make_gate(kind: str, channels: int, inplace: bool) -> nn.Module:
    """Return the gate that ``kind`` names, one of `GATES`. ``none`` is the identity."""
    if kind == "se":
        return SqueezeExcitation(channels)
    if kind == "coord":
        return CoordinateAttention(channels, inplace=inplace)
    return nn.Identity()


class Fuse(nn.Module):
    """Gate each of two maps ``[B, C, H, W]``, then add them or take their weighted sum.

    Args:
        channels: Channels C of both inputs and of the output.
        kind: One of `FUSES`.
        gate: One of `GATES`.
        inplace: Allow overwriting the first map, see `Add`.
    """

    def __init__(self, channels: int, kind: str, gate: str, inplace: bool) -> None:
        super().__init__()
        self.gates = nn.ModuleList(make_gate(gate, channels, inplace) for _ in range(2))
        self.combine: Add | Weighted = Weighted(2, inplace) if kind == "weighted" else Add(inplace)

    def forward(self, fresh: Tensor, other: Tensor) -> Tensor:
        """Fuse two maps ``[B, C, H, W]`` into one of the same shape."""
        y: Tensor = self.combine(self.gates[0](fresh), self.gates[1](other))
        return y


class Concatenate(nn.Module):
    """Concatenate two maps along the channels."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Concatenate two maps ``[B, C, H, W]`` to ``[B, 2C, H, W]``."""
        return torch.cat([first, second], dim=1)
