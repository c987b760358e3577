"""The losses of published networks, against their definitions and published values."""

import pytest
import torch

from edgehrnet.models import Output
from quant.training.pose_losses import (
    POSE_LOSSES,
    adaptive_wing,
    joints_mse,
    ohkm,
    pose_loss,
    udp_offset_loss,
)


def maps(seed=0, batch=2, count=5):
    generator = torch.Generator().manual_seed(seed)
    pred, truth = torch.rand(2, batch, count, 6, 4, generator=generator)
    weight = torch.tensor([1.0, 0.0, 1.2, 1.5, 1.0]).expand(batch, count)
    return pred, truth, weight


def published_mse(pred, truth, weight):
    """Loop of the official code: half the mean square of each weighted keypoint, then the mean over keypoints."""
    count = pred.shape[1]
    factor = weight[:, :, None, None]
    each = [0.5 * torch.nn.functional.mse_loss((pred * factor)[:, k], (truth * factor)[:, k]) for k in range(count)]
    return sum(each) / count


def test_pose_loss_takes_offsets_in_cells():
    pred, discs, weight = maps()
    wanted = torch.randn(2, 5, 2, 6, 4, generator=torch.Generator().manual_seed(1))
    radius = 0.0546875 * 6
    output = Output(torch.zeros(1), pred, radius * wanted.flatten(1, 2), {})
    given = {"heatmaps": discs, "weight": weight, "offsets": wanted}
    (term,) = pose_loss(output, given, "mse").values()
    torch.testing.assert_close(term, joints_mse(pred, discs, weight))
    (term,) = pose_loss(output._replace(offsets=None), given, "ohkm").values()
    torch.testing.assert_close(term, ohkm(pred, discs, weight))


def test_the_mean_square_is_the_published_one():
    pred, truth, weight = maps()
    torch.testing.assert_close(joints_mse(pred, truth, weight), published_mse(pred, truth, weight))


@pytest.mark.parametrize("top", [1, 3, 5])
def test_ohkm_is_the_mean_of_the_largest_errors(top):
    pred, truth, weight = maps()
    expected = []
    for sample in range(2):
        each = [
            0.5 * ((pred[sample, k] - truth[sample, k]) ** 2 * weight[sample, k] ** 2).mean() for k in range(5)
        ]  # fmt: skip
        expected.append(sum(sorted(each, reverse=True)[:top]) / top)
    torch.testing.assert_close(ohkm(pred, truth, weight, top), sum(expected) / 2)


def test_ohkm_of_all_keypoints_is_the_mean_square():
    pred, truth, weight = maps()
    torch.testing.assert_close(ohkm(pred, truth, weight), joints_mse(pred, truth, weight))


def one(value):
    return torch.full((1, 1, 1, 1), value, dtype=torch.float64)


@pytest.mark.parametrize(
    ("truth", "pred", "loss"),
    [(1.0, 0.8, 2.20126), (1.0, 0.3, 7.320028), (0.0, 0.2, 0.468812), (0.0, 0.7, 5.159519), (1.0, 1.0, 0.0)],
)
def test_adaptive_wing_equals_the_published_values(truth, pred, loss):
    # The published values have six digits.
    assert float(adaptive_wing(one(pred), one(truth), torch.ones(1, 1))) == pytest.approx(loss, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("alpha", [1.1, 2.1, 3.0])
def test_adaptive_wing_has_no_step_where_its_parts_meet(alpha):
    for truth in (0.0, 0.4, 1.0):
        below, above = one(truth + 0.5 - 1e-9), one(truth + 0.5 + 1e-9)
        values = [float(adaptive_wing(p, one(truth), torch.ones(1, 1), alpha=alpha)) for p in (below, above)]
        assert values[0] == pytest.approx(values[1], abs=1e-6)


@pytest.mark.parametrize("name", POSE_LOSSES)
def test_gradients_are_finite_and_unweighted_keypoints_have_none(name):
    pred, truth, weight = maps()
    pred[:, 3] = truth[:, 3]
    pred.requires_grad_()
    POSE_LOSSES[name](pred, truth, weight).backward()
    assert pred.grad.isfinite().all()
    assert not pred.grad[:, 1].any()
    assert pred.grad[:, 0].any()


def test_the_udp_offset_loss_is_the_published_one():
    generator = torch.Generator().manual_seed(4)
    pred, _, weight = maps()
    discs = (torch.rand(2, 5, 6, 4, generator=generator) > 0.5).float()
    offsets, wanted = torch.randn(2, 2, 5, 2, 6, 4, generator=generator)
    mse = torch.nn.functional.mse_loss
    total = torch.zeros(())
    for k in range(5):
        factor = weight[:, k, None, None]
        mask = discs[:, k] * factor
        total += 0.5 * mse(pred[:, k] * factor, mask)
        for axis in (0, 1):
            total += 0.5 * mse(mask * offsets[:, k, axis], mask * wanted[:, k, axis])
    loss = udp_offset_loss(pred, discs, offsets.flatten(1, 2), wanted, weight)
    torch.testing.assert_close(loss, total / 5)
    torch.testing.assert_close(udp_offset_loss(pred, discs, offsets, wanted, weight), loss)
    assert float(udp_offset_loss(discs, discs, wanted, wanted, weight)) == 0
