"""The loss of networks with logits: its definition, cyclic shifts, heads and weights."""

import pytest
import torch

from edgehrnet.models import Output
from quant.training.losses import SCALE, Weights, best_shift, keypoint_loss, pairwise_heatmap_loss

PEAK = 7.0


def random_maps(batch=2, count=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, count, 6, 8, generator=generator)
    truth = torch.rand(batch, count, 6, 8, generator=generator)
    return logits, truth


def test_a_keypoint_costs_the_same_on_maps_of_any_size():
    small, large = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 64, 32)
    small[..., 4, 4] = large[..., 40, 9] = 1
    blank = torch.full((1, 1, 1, 1), -40.0)
    costs = [pairwise_heatmap_loss(blank.expand_as(t), t, PEAK) for t in (small, large)]
    torch.testing.assert_close(*costs)


def test_the_pairwise_loss_is_a_weighted_relative_entropy():
    logits, truth = random_maps()
    cost = pairwise_heatmap_loss(logits, truth, PEAK)
    for i in range(4):
        for j in range(4):
            p, t = logits[:, i].sigmoid(), truth[:, j]
            excess = t * (t / p).log() + (1 - t) * ((1 - t) / (1 - p)).log()
            torch.testing.assert_close(cost[:, i, j], SCALE * (excess * (1 + PEAK * t)).sum(dim=(1, 2)))


def test_the_gradient_of_a_confident_wrong_peak_does_not_vanish():
    logits = torch.tensor([0.0, 12.0]).reshape(1, 2, 1, 1).requires_grad_()
    cost = pairwise_heatmap_loss(logits, torch.zeros(1, 2, 1, 1), PEAK)
    (pull,) = torch.autograd.grad(cost.diagonal(dim1=1, dim2=2).sum(), logits)
    torch.testing.assert_close(pull.flatten(), SCALE * torch.tensor([0.5, 1.0]), atol=SCALE * 1e-4, rtol=0)


@pytest.mark.parametrize("shift", range(4))
def test_the_best_cyclic_shift_is_found(shift):
    _, truth = random_maps()
    logits = torch.logit(truth.clamp(1e-4, 1 - 1e-4)).roll(shift, dims=1)
    order = best_shift(pairwise_heatmap_loss(logits, truth, PEAK), cyclic=True)
    torch.testing.assert_close(truth.gather(1, order[:, :, None, None].expand_as(truth)), logits.sigmoid(),
                               atol=2e-4, rtol=0)  # fmt: skip
    fixed = best_shift(pairwise_heatmap_loss(logits, truth, PEAK), cyclic=False)
    assert fixed.tolist() == [[0, 1, 2, 3]] * 2


def output(logits, offsets, **extras):
    return Output(torch.zeros(1), logits, offsets, extras)


def sample(seed=0):
    logits, heatmaps = random_maps(seed=seed)
    generator = torch.Generator().manual_seed(seed + 1)
    offsets = torch.randn(2, 4, 2, 6, 8, generator=generator)
    weight = (torch.rand(2, 4, 6, 8, generator=generator) > 0.7).float()
    return logits, {"heatmaps": heatmaps, "offsets": offsets * weight[:, :, None], "offset_weight": weight}


def test_the_loss_is_invariant_to_cyclic_shifts_of_the_labels():
    logits, truth = sample()
    predicted = output(logits, torch.randn(2, 8, 6, 8, generator=torch.Generator().manual_seed(9)))
    before = keypoint_loss(predicted, truth, cyclic=True, weights=Weights())
    shifted = {name: value.roll(1, dims=1) for name, value in truth.items()}
    after = keypoint_loss(predicted, shifted, cyclic=True, weights=Weights())
    for name, value in before.items():
        torch.testing.assert_close(after[name], value)
    fixed = keypoint_loss(predicted, shifted, cyclic=False, weights=Weights())
    assert fixed["heatmaps"] > after["heatmaps"]


def test_the_loss_of_the_ground_truth_is_zero():
    _, truth = sample()
    truth["heatmaps"] = (truth["heatmaps"] > 0.9).float()
    logits = (truth["heatmaps"] * 2 - 1) * 40
    terms = keypoint_loss(output(logits, truth["offsets"].flatten(1, 2)), truth, cyclic=False, weights=Weights())
    for value in terms.values():
        assert float(value) == pytest.approx(0, abs=1e-6)


def test_every_extra_head_has_a_term_and_a_gradient():
    logits, truth = sample()
    truth |= {"boundary": torch.rand(2, 1, 6, 8), "sdf": torch.randn(2, 1, 6, 8), "aux_p3": truth["heatmaps"]}
    truth["outline_weight"] = torch.ones(2)
    extras = {
        "boundary": torch.zeros(2, 1, 6, 8, requires_grad=True),
        "sdf": torch.zeros(2, 1, 6, 8, requires_grad=True),
        "aux_p3": torch.zeros(2, 4, 6, 8, requires_grad=True),
    }
    terms = keypoint_loss(output(logits, torch.zeros(2, 8, 6, 8), **extras), truth, cyclic=True, weights=Weights())
    assert set(terms) == {"heatmaps", "offsets", "boundary", "sdf", "aux_p3"}
    torch.stack(list(terms.values())).sum().backward()
    assert all(extra.grad is not None and extra.grad.any() for extra in extras.values())


def test_an_unknown_outline_has_no_loss():
    logits, truth = sample()
    truth |= {"boundary": torch.rand(2, 1, 6, 8), "sdf": torch.randn(2, 1, 6, 8)}
    answered = output(logits, torch.zeros(2, 8, 6, 8), **{n: torch.randn(2, 1, 6, 8) for n in ("boundary", "sdf")})

    def costs(*known):
        given = {**truth, "outline_weight": torch.tensor(known)}
        terms = keypoint_loss(answered, given, cyclic=True, weights=Weights())
        return torch.stack([terms["boundary"], terms["sdf"]])

    torch.testing.assert_close(costs(1.0, 1.0), (costs(1.0, 0.0) + costs(0.0, 1.0)) / 2)
    assert (costs(1.0, 0.0) != costs(0.0, 1.0)).all()
    assert costs(0.0, 0.0).tolist() == [0, 0]


def test_pictures_without_keypoints_have_no_offset_loss():
    logits, truth = sample()
    truth["offset_weight"].zero_()
    terms = keypoint_loss(output(logits, torch.ones(2, 8, 6, 8)), truth, cyclic=True, weights=Weights())
    assert float(terms["offsets"]) == 0
