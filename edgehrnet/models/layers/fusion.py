"""Fusing maps of one shape: add or learned weights, behind optional attention gates."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgehrnet.models.layers.blocks import Add, ConvBNAct
from edgehrnet.models.layers.style import Style

FUSES = ("add", "weighted")
GATES = ("none", "se", "coord")


class Weighted(nn.Module):
    """Fast normalized fusion (Tan et al., EfficientDet, 2020) with softplus in place of ReLU.

    ``sum_i a_i x_i`` with ``a_i = softplus(w_i) / (sum_j softplus(w_j) + 1e-4)``, w_i = 1 at the start.
    Softplus keeps every weight positive and its gradient alive.

    >>> Weighted(2, inplace=True)(torch.zeros(3), torch.ones(3)).detach().round(decimals=3)
    tensor([0.5000, 0.5000, 0.5000])
    """

    EPSILON = 1e-4

    def __init__(self, inputs: int, inplace: bool) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.ones(inputs))
        self.add = Add(inplace)

    def normalized_weights(self) -> Tensor:
        """The weights applied to the inputs, ``[inputs]`` in (0, 1): constants once training is over."""
        positive = F.softplus(self.weights)
        return positive / (positive.sum() + self.EPSILON)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Maps of one shape -> their weighted sum; the inputs are left unchanged."""
        weights = self.normalized_weights()
        y: Tensor = self.add(*(weights[i] * x for i, x in enumerate(inputs)))
        return y


class SqueezeExcitation(nn.Module):
    """Channel gate (Hu et al., CVPR 2018): ``x * sigmoid(W2 relu(W1 mean(x)))``; shape kept."""

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(8, channels // reduction)
        self.reduce = nn.Conv2d(channels, hidden, 1)
        self.expand = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` -> the same shape; ``x`` is left unchanged."""
        squeezed = x.mean(dim=(2, 3), keepdim=True)
        gate = torch.sigmoid(self.expand(F.relu(self.reduce(squeezed))))
        return x * gate


class CoordinateAttention(nn.Module):
    """Gate per row and per column (Hou et al., CVPR 2021); shape kept.

    ``x * g_h * g_w``: the means over the columns and over the rows pass one shared 1x1 C -> C/32
    (at least 8) + BN + hardswish together, then a 1x1 + sigmoid each.
    """

    def __init__(self, channels: int, reduction: int = 32, inplace: bool = True) -> None:
        super().__init__()
        hidden = max(8, channels // reduction)
        self.shared = ConvBNAct(channels, hidden, 1, Style("hardswish", inplace))
        self.rows = nn.Conv2d(hidden, channels, 1)
        self.columns = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` -> the same shape; ``x`` is left unchanged."""
        height, width = x.shape[2], x.shape[3]
        # Means over one axis rather than adaptive pooling to (H, 1): the same numbers, one ReduceMean
        # in an exported graph.
        rows = x.mean(dim=3, keepdim=True)
        columns = x.mean(dim=2, keepdim=True).transpose(2, 3)
        shared = self.shared(torch.cat([rows, columns], dim=2))
        rows, columns = torch.split(shared, [height, width], dim=2)
        return x * torch.sigmoid(self.rows(rows)) * torch.sigmoid(self.columns(columns.transpose(2, 3)))


def make_gate(kind: str, channels: int, inplace: bool) -> nn.Module:
    """The gate named by ``kind``, one of `GATES`; ``none`` is the identity."""
    if kind == "se":
        return SqueezeExcitation(channels)
    if kind == "coord":
        return CoordinateAttention(channels, inplace=inplace)
    return nn.Identity()


class Fuse(nn.Module):
    """Gate each of two maps ``[B, C, H, W]``, then add them or take their weighted sum.

    Args:
        channels: C of both inputs and of the output.
        kind: one of `FUSES`.
        gate: one of `GATES`.
        inplace: the first map may be overwritten: pass the fresh one first (see `Add`).
    """

    def __init__(self, channels: int, kind: str, gate: str, inplace: bool) -> None:
        super().__init__()
        self.gates = nn.ModuleList(make_gate(gate, channels, inplace) for _ in range(2))
        self.combine: Add | Weighted = Weighted(2, inplace) if kind == "weighted" else Add(inplace)

    def forward(self, fresh: Tensor, other: Tensor) -> Tensor:
        """Two maps ``[B, C, H, W]`` -> one of the same shape."""
        y: Tensor = self.combine(self.gates[0](fresh), self.gates[1](other))
        return y


class Concatenate(nn.Module):
    """Stack two maps along the channels: ``[B, C, H, W]`` twice -> ``[B, 2C, H, W]``."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """Two maps ``[B, C, H, W]`` -> ``[B, 2C, H, W]``."""
        return torch.cat([first, second], dim=1)
