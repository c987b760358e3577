"""Compute the training loss of networks with logits.

Where the first keypoint is a convention, as for the corners of a sheet, the loss is invariant to cyclic shifts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from edgehrnet.models import Output

SCALE = 0.3 / 2048
"""Factor of the heatmap loss, which makes it about as large as the other terms.

The loss is summed over cells, not averaged: a keypoint covers the same number of cells on maps of any size.
"""


@dataclass(frozen=True)
class Weights:
    """Factors of the loss's terms."""

    peak: float = 5.0
    """Extra weight of a heatmap cell at a keypoint, relative to the background's weight of 1.

    A keypoint covers about 14 of thousands of cells. With 0, a blank heatmap is nearly optimal. With a large factor,
    peaks appear where a keypoint is unlikely: the loss is least at a peak value of (1 + w) q / (1 + w q) for
    probability q. For q = 0.1 that is 0.4 with w = 5, and 0.78 with w = 30. The shipped models were trained with 5.
    """
    offset: float = 0.02
    """Factor of the offsets."""
    auxiliary: float = 0.3
    """Factor of the heatmaps at strides 8 and 16."""
    boundary: float = 0.1
    """Factor of the outline."""
    sdf: float = 0.05
    """Factor of the signed distance field."""


def pairwise_heatmap_loss(logits: Tensor, truth: Tensor, peak: float) -> Tensor:
    """Return the weighted cross-entropy of every channel against every ground-truth heatmap.

    It is summed over cells and multiplied by SCALE. The entropy of the ground truth is subtracted, so the loss is 0
    where both agree. The gradient is their difference, and does not vanish for confident wrong peaks as that of a
    squared error does. The loss is linear in the ground truth, so no ``(B, K, K, h, w)`` tensor is needed.

    Args:
        logits: ``(B, K, h, w)``.
        truth: ground-truth heatmaps ``(B, K, h, w)`` in 0..1.
        peak: see `Weights`.

    Returns:
        ``(B, K, K)``, channel i against ground truth j.
    """
    x, t = logits.flatten(2), truth.flatten(2)
    weight = 1 + peak * t
    crossed = torch.einsum("bic,bjc->bij", F.softplus(x), weight) - torch.einsum("bic,bjc->bij", x, weight * t)
    entropy = -(weight * (torch.xlogy(t, t) + torch.xlogy(1 - t, 1 - t))).sum(2)[:, None, :]
    return SCALE * (crossed - entropy)


def best_shift(cost: Tensor, cyclic: bool) -> Tensor:
    """Return the ground-truth index ``(B, K)`` of each channel.

    With ``cyclic``, it is the cyclic shift with the least total cost ``(B, K, K)``. Otherwise nothing is shifted.
    """
    count = cost.shape[1]
    shifts = (torch.arange(count)[None, :] + torch.arange(count)[:, None]).to(cost.device) % count
    if not cyclic:
        return shifts[0].expand(len(cost), -1)
    channels = torch.arange(count, device=cost.device)
    totals = cost[:, channels[None, :], shifts].sum(2)
    return shifts[totals.argmin(1)]


def keypoint_loss(output: Output, truth: Mapping[str, Tensor], *, cyclic: bool, weights: Weights) -> dict[str, Tensor]:
    """Return the weighted terms of the loss by name. Their sum is to be minimized.

    Args:
        output: what the network computed.
        truth: ``heatmaps (B, K, h, w)``, ``offsets (B, K, 2, h, w)`` and ``offset_weight (B, K, h, w)``. If the
            network has these heads, also ``aux_p3``, ``aux_p4``, ``boundary`` and ``sdf``, the last two with
            ``outline_weight (B,)``.
        cyclic: whether to take the best cyclic shift of the keypoints.
        weights: factors of the terms.
    """
    cost = pairwise_heatmap_loss(output.heatmaps.float(), truth["heatmaps"], weights.peak)
    with torch.no_grad():
        order = best_shift(cost, cyclic)
    terms = {"heatmaps": _at(cost, order)}
    if output.offsets is not None:
        terms["offsets"] = weights.offset * _offset_loss(output.offsets.float(), truth, order)
    for name in ("aux_p3", "aux_p4"):
        if name in output.extras:
            coarse = pairwise_heatmap_loss(output.extras[name].float(), truth[name], weights.peak)
            terms[name] = weights.auxiliary * _at(coarse, order)
    if "boundary" in output.extras:
        logits = output.extras["boundary"].float()
        costs = F.binary_cross_entropy_with_logits(logits, truth["boundary"], reduction="none")
        terms["boundary"] = weights.boundary * _where_outlined(costs, truth)
    if "sdf" in output.extras:
        costs = F.smooth_l1_loss(output.extras["sdf"].float(), truth["sdf"], reduction="none")
        terms["sdf"] = weights.sdf * _where_outlined(costs, truth)
    return terms


def _where_outlined(costs: Tensor, truth: Mapping[str, Tensor]) -> Tensor:
    """Average ``costs (B, 1, h, w)`` over the pictures whose outline is known."""
    weight = truth["outline_weight"]
    mean: Tensor = (costs.mean(dim=(1, 2, 3)) * weight).sum() / weight.sum().clamp(min=1)
    return mean


def _at(cost: Tensor, order: Tensor) -> Tensor:
    return cost.gather(2, order[:, :, None]).sum(dim=(1, 2)).mean()


def _offset_loss(offsets: Tensor, truth: Mapping[str, Tensor], order: Tensor) -> Tensor:
    rows = torch.arange(len(order), device=order.device)[:, None]
    wanted, weight = truth["offsets"][rows, order], truth["offset_weight"][rows, order]
    error = (offsets.reshape(wanted.shape) - wanted).abs().sum(2)
    total: Tensor = (error * weight).sum() / weight.sum().clamp(min=1)
    return total
