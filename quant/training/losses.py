"""What training minimizes, invariant to cyclic shifts of the keypoints where their start is a convention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from edgehrnet.models import Output

# A blob has the same size in cells on every map, so costs are summed, not averaged over a map's size. Times this, the
# sum is of the size of the other terms.
SCALE = 0.3 / 2048


@dataclass(frozen=True)
class Weights:
    """Factors of the loss's terms.

    ``peak``: of a heatmap's cell where a blob is at its top, on top of 1. A blob covers about 14 of thousands of
    cells: with 0, answering nothing is nearly optimal; the larger it is, the lower the odds at which a peak is drawn.
    """

    peak: float = 30.0
    offset: float = 0.02
    auxiliary: float = 0.3
    boundary: float = 0.1
    sdf: float = 0.05


def pairwise_heatmap_loss(logits: Tensor, targets: Tensor, peak: float) -> Tensor:
    """Return ``(B, K, K)``: the cross-entropy of channel i against target j, weighted, summed over cells, times SCALE.

    ``logits`` and ``targets`` ``(B, K, h, w)``, ``peak`` as of Weights. 0 where both agree: the targets' own entropy is
    taken off. Its gradient is the difference of the two, where a squared error's vanishes for peaks that are surely
    wrong. It is linear in the target, so that no ``(B, K, K, h, w)`` exists.
    """
    x, t = logits.flatten(2), targets.flatten(2)
    weight = 1 + peak * t
    crossed = torch.einsum("bic,bjc->bij", F.softplus(x), weight) - torch.einsum("bic,bjc->bij", x, weight * t)
    entropy = -(weight * (torch.xlogy(t, t) + torch.xlogy(1 - t, 1 - t))).sum(2)[:, None, :]
    return SCALE * (crossed - entropy)


def best_shift(cost: Tensor, cyclic: bool) -> Tensor:
    """Return ``(B, K)`` target indices: the cyclic shift of least summed cost ``(B, K, K)``, or no shift."""
    count = cost.shape[1]
    shifts = (torch.arange(count)[None, :] + torch.arange(count)[:, None]).to(cost.device) % count
    if not cyclic:
        return shifts[0].expand(len(cost), -1)
    channels = torch.arange(count, device=cost.device)
    totals = cost[:, channels[None, :], shifts].sum(2)
    return shifts[totals.argmin(1)]


def keypoint_loss(
    output: Output, targets: Mapping[str, Tensor], *, cyclic: bool, weights: Weights
) -> dict[str, Tensor]:
    """Return the loss's weighted terms by name; their sum is what to minimize.

    ``targets``: ``heatmaps (B, K, h, w)``, ``offsets (B, K, 2, h, w)``, ``offset_weight (B, K, h, w)``, and where
    the network has them ``aux_p3``, ``aux_p4``, ``boundary``, ``sdf``; the last two with ``outline_weight (B,)``.
    """
    cost = pairwise_heatmap_loss(output.heatmaps.float(), targets["heatmaps"], weights.peak)
    with torch.no_grad():
        order = best_shift(cost, cyclic)
    terms = {"heatmaps": _at(cost, order)}
    if output.offsets is not None:
        terms["offsets"] = weights.offset * _offset_loss(output.offsets.float(), targets, order)
    for name in ("aux_p3", "aux_p4"):
        if name in output.extras:
            coarse = pairwise_heatmap_loss(output.extras[name].float(), targets[name], weights.peak)
            terms[name] = weights.auxiliary * _at(coarse, order)
    if "boundary" in output.extras:
        logits = output.extras["boundary"].float()
        costs = F.binary_cross_entropy_with_logits(logits, targets["boundary"], reduction="none")
        terms["boundary"] = weights.boundary * _where_outlined(costs, targets)
    if "sdf" in output.extras:
        costs = F.smooth_l1_loss(output.extras["sdf"].float(), targets["sdf"], reduction="none")
        terms["sdf"] = weights.sdf * _where_outlined(costs, targets)
    return terms


def _where_outlined(costs: Tensor, targets: Mapping[str, Tensor]) -> Tensor:
    """The mean of ``costs (B, 1, h, w)`` over the pictures whose outline is known."""
    weight = targets["outline_weight"]
    mean: Tensor = (costs.mean(dim=(1, 2, 3)) * weight).sum() / weight.sum().clamp(min=1)
    return mean


def _at(cost: Tensor, order: Tensor) -> Tensor:
    return cost.gather(2, order[:, :, None]).sum(dim=(1, 2)).mean()


def _offset_loss(offsets: Tensor, targets: Mapping[str, Tensor], order: Tensor) -> Tensor:
    rows = torch.arange(len(order), device=order.device)[:, None]
    wanted, weight = targets["offsets"][rows, order], targets["offset_weight"][rows, order]
    error = (offsets.reshape(wanted.shape) - wanted).abs().sum(2)
    total: Tensor = (error * weight).sum() / weight.sum().clamp(min=1)
    return total
