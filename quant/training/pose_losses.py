"""Compute the losses of published top-down networks, whose heatmaps are linear.

All functions take heatmaps ``pred`` and ``truth`` ``(B, K, h, w)`` and ``weight`` ``(B, K)``, 0 for keypoints to
ignore, and return a scalar.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from edgehrnet.decoding.refiners import offset_radius
from edgehrnet.models import Output

HARDEST = 8
"""Keypoints of an instance that `ohkm` learns from."""


def joints_mse(pred: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Return half the mean of w^2 (p - t)^2. Source: Simple Baselines, Xiao, ECCV 2018, and HRNet.

    >>> float(joints_mse(torch.ones(1, 2, 4, 4), torch.zeros(1, 2, 4, 4), torch.tensor([[2.0, 0.0]])))
    1.0
    """
    return 0.5 * _squares(pred, truth, weight).mean()


def ohkm(pred: Tensor, truth: Tensor, weight: Tensor, top: int = HARDEST) -> Tensor:
    """Return `joints_mse` over the ``top`` keypoints of each sample with the largest error, or over all if fewer.

    This is online hard keypoint mining. Source: CPN, Chen, CVPR 2018.
    """
    each = 0.5 * _squares(pred, truth, weight).mean(dim=(2, 3))
    return each.topk(min(top, each.shape[1]), dim=1).values.mean()


def adaptive_wing(
    pred: Tensor,
    truth: Tensor,
    weight: Tensor,
    *,
    alpha: float = 2.1,
    omega: float = 14.0,
    epsilon: float = 1.0,
    theta: float = 0.5,
) -> Tensor:
    """Return the mean Adaptive Wing loss of w p against w t, steeper near a peak than on the background.

    Source: Adaptive Wing loss, Wang, ICCV 2019.

    Args:
        pred: predicted heatmaps ``(B, K, h, w)``.
        truth: ground-truth heatmaps ``(B, K, h, w)``.
        weight: ``(B, K)``.
        alpha: exponent of the error, from which the ground truth t is subtracted.
        omega: height of the logarithmic part.
        epsilon: width of the logarithmic part.
        theta: error from which the loss is linear.
    """
    factor = weight[:, :, None, None]
    wanted = truth * factor
    error = (wanted - pred * factor).abs()
    power = alpha - wanted
    bend = (theta / epsilon) ** power
    slope = omega * power * bend / (theta / epsilon) / (1 + bend) / epsilon
    level = theta * slope - omega * torch.log1p(bend)
    # With a power below 1, the slope at error 0 is infinite, and torch.where would multiply it by 0 and give NaN.
    small = omega * torch.log1p((error.clamp(min=1e-12) / epsilon) ** power)
    return torch.where(error < theta, small, slope * error - level).mean()


def udp_offset_loss(pred: Tensor, truth: Tensor, offsets: Tensor, true_offsets: Tensor, weight: Tensor) -> Tensor:
    """Return `joints_mse` of the discs and of the offsets inside the discs. Source: UDP, Huang, CVPR 2020.

    Args:
        pred: predicted discs ``(B, K, h, w)``.
        truth: ground-truth discs ``(B, K, h, w)``.
        offsets: predicted offsets ``(B, 2K, h, w)`` or ``(B, K, 2, h, w)``.
        true_offsets: ground-truth offsets ``(B, K, 2, h, w)``.
        weight: ``(B, K)``.
    """
    mask = (truth * weight[:, :, None, None])[:, :, None]
    squares = (mask * (offsets.reshape(true_offsets.shape) - true_offsets)) ** 2
    return joints_mse(pred, truth, weight) + 0.5 * squares.sum(dim=2).mean()


def _squares(pred: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    return (weight**2)[:, :, None, None] * (pred - truth) ** 2


POSE_LOSSES: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "mse": joints_mse,
    "ohkm": ohkm,
    "awing": adaptive_wing,
}


def pose_loss(output: Output, truth: Mapping[str, Tensor], loss: str) -> dict[str, Tensor]:
    """Return the terms of the loss by name, for networks with linear heatmaps.

    Args:
        output: what the network computed.
        truth: ``heatmaps (B, K, h, w)``, ``weight (B, K)`` and, for a network with offsets, ``offsets
            (B, K, 2, h, w)``.
        loss: a name in POSE_LOSSES. A network with offsets ignores it: its heatmaps are discs, and only the mean
            square was published for them.
    """
    maps, weight = output.heatmaps.float(), truth["weight"]
    if output.offsets is None:
        return {"heatmaps": POSE_LOSSES[loss](maps, truth["heatmaps"], weight)}
    offsets = output.offsets.float() / offset_radius((maps.shape[2], maps.shape[3]))
    return {"heatmaps": udp_offset_loss(maps, truth["heatmaps"], offsets, truth["offsets"], weight)}
