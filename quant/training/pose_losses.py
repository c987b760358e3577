"""The losses of published top-down networks, on linear heatmaps.

All take heatmaps ``pred`` and ``target (B, K, h, w)`` and ``weight (B, K)``, 0 where a keypoint says nothing, and
return a scalar. Two implementations of the mean square differ by a factor and by what a weight does; both are here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from edgehrnet.decoding.refiners import offset_radius
from edgehrnet.models import Output

HARDEST = 8  # keypoints of a person that ohkm learns from
# What HRNet multiplies COCO's weights by, where it does: elbows and knees 1.2, wrists and ankles 1.5.
COCO_JOINT_WEIGHTS = (1.0,) * 7 + (1.2, 1.2, 1.5, 1.5, 1.0, 1.0, 1.2, 1.2, 1.5, 1.5)


def joints_mse(pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return half the mean of w^2 (p - t)^2. Source: Simple Baselines, Xiao, ECCV 2018, and HRNet.

    >>> float(joints_mse(torch.ones(1, 2, 4, 4), torch.zeros(1, 2, 4, 4), torch.tensor([[2.0, 0.0]])))
    1.0
    """
    return 0.5 * _squares(pred, target, weight**2).mean()


def joints_mse_mmpose(pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return the mean of w (p - t)^2, as MMPose has it.

    >>> float(joints_mse_mmpose(torch.ones(1, 2, 4, 4), torch.zeros(1, 2, 4, 4), torch.tensor([[2.0, 0.0]])))
    1.0
    """
    return _squares(pred, target, weight).mean()


def ohkm(pred: Tensor, target: Tensor, weight: Tensor, top: int = HARDEST) -> Tensor:
    """Return joints_mse over each sample's ``top`` worst keypoints alone, or over all if there are fewer.

    Online hard keypoint mining. Source: CPN, Chen, CVPR 2018.
    """
    each = 0.5 * _squares(pred, target, weight**2).mean(dim=(2, 3))
    return each.topk(min(top, each.shape[1]), dim=1).values.mean()


def adaptive_wing(
    pred: Tensor,
    target: Tensor,
    weight: Tensor,
    *,
    alpha: float = 2.1,
    omega: float = 14.0,
    epsilon: float = 1.0,
    theta: float = 0.5,
) -> Tensor:
    """Return the mean of a loss that is steeper near a blob's top than between the blobs; w p against w t.

    A logarithm to the power of ``alpha`` - t up to an error of ``theta``, a line from there on; ``omega`` is the
    height and ``epsilon`` the width of its bend. Source: Adaptive Wing loss, Wang, ICCV 2019.
    """
    factor = weight[:, :, None, None]
    wanted = target * factor
    error = (wanted - pred * factor).abs()
    power = alpha - wanted
    bend = (theta / epsilon) ** power
    slope = omega * power * bend / (theta / epsilon) / (1 + bend) / epsilon
    level = theta * slope - omega * torch.log1p(bend)
    # Of a power below 1, the slope at no error is infinite: torch.where would make its product with 0 no number.
    small = omega * torch.log1p((error.clamp(min=1e-12) / epsilon) ** power)
    return torch.where(error < theta, small, slope * error - level).mean()


def udp_offset_loss(pred: Tensor, target: Tensor, offsets: Tensor, target_offsets: Tensor, weight: Tensor) -> Tensor:
    """Return joints_mse of the discs, and of the offsets on them. Source: UDP, Huang, CVPR 2020.

    ``pred`` and ``target`` are discs; ``offsets`` ``(B, 2K, h, w)`` or as ``target_offsets`` ``(B, K, 2, h, w)``.
    """
    mask = (target * weight[:, :, None, None])[:, :, None]
    squares = (mask * (offsets.reshape(target_offsets.shape) - target_offsets)) ** 2
    return joints_mse(pred, target, weight) + 0.5 * squares.sum(dim=2).mean()


def _squares(pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    return weight[:, :, None, None] * (pred - target) ** 2


POSE_LOSSES: Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "mse": joints_mse,
    "ohkm": ohkm,
    "awing": adaptive_wing,
}


def pose_loss(output: Output, targets: Mapping[str, Tensor], loss: str) -> dict[str, Tensor]:
    """Return the terms to minimize by name, for linear heatmaps and perhaps UDP's offsets.

    ``targets``: ``heatmaps (B, K, h, w)``, ``weight (B, K)`` and, if the network answers offsets, ``offsets``
    ``(B, K, 2, h, w)``. ``loss``: a name in POSE_LOSSES; of a network with offsets, the heatmaps are discs, and the
    mean square is all that was published.
    """
    maps, weight = output.heatmaps.float(), targets["weight"]
    if output.offsets is None:
        return {"heatmaps": POSE_LOSSES[loss](maps, targets["heatmaps"], weight)}
    offsets = output.offsets.float() / offset_radius((maps.shape[2], maps.shape[3]))
    return {"heatmaps": udp_offset_loss(maps, targets["heatmaps"], offsets, targets["offsets"], weight)}
