"""Which corrections are chosen for a network whose channels have very different ranges, and for one that needs none."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import nn

from edgehrnet.models.checkpoints import build_model
from edgehrnet.spec import ModelSpec
from quant.int8.budget import multiply_accumulates
from quant.int8.choice import BIAS, CHANNELS, EQUALIZE, FLOAT, Search, applied, corrected, is_better, is_good
from quant.int8.choice_table import as_text
from quant.int8.degradation import Degradation
from quant.int8.scheme import SCHEMES
from quant.int8.tracing import as_checkpoint, traced

SIZE = (64, 64)
SPEC = ModelSpec("dots", ("dot",), input_size=SIZE, channels=3, decode="argmax", outputs=(("heatmaps", "NCHW"),))
WIDTH = 8
SCHEME = SCHEMES["openvino"]


def dots(count, seed):
    """Dark pictures with a bright dot."""
    rng = np.random.default_rng(seed)
    pictures = []
    for x, y in rng.integers(8, 48, (count, 2)):
        picture = rng.integers(0, 60, (*SIZE, 3), np.uint8)
        picture[y : y + 8, x : x + 8] = 250
        pictures.append(picture)
    return pictures


def finder(sigma, act=nn.ReLU):
    """A network that finds bright dots. Factors with this spread scale its channels, and the next layer undoes them."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, WIDTH, 3, 2, 1), act(), nn.Conv2d(WIDTH, WIDTH, 3, 2, 1, groups=WIDTH), act()]
    layers += [nn.Conv2d(WIDTH, WIDTH, 1), act(), nn.Conv2d(WIDTH, 1, 1)]
    network = nn.Sequential(*layers)
    with torch.no_grad():
        for layer in layers[::2]:
            layer.weight.copy_(torch.rand_like(layer.weight) / layer.weight[0].numel() * 2)
            layer.bias.zero_()
        layers[-1].weight.mul_(16)
        layers[-1].bias.fill_(-7)
        for first, second in zip(layers[0:4:2], layers[2:6:2], strict=True):
            scale = torch.exp(sigma * torch.randn(WIDTH))
            first.weight.mul_(scale[:, None, None, None])
            second.weight.div_(scale[:, None, None, None] if second.groups > 1 else scale[None, :, None, None])
    return as_checkpoint(traced(network, 1, size=SIZE), SPEC)


def search(checkpoint, pictures=None, **options):
    return Search(checkpoint, dots(6, 0), pictures or dots(6, 1), [SCHEME], "openvino", **options)


@pytest.fixture(scope="module")
def scaled():
    return search(finder(3.0)).run()


def test_scaled_channels_are_corrected(scaled):
    plain = scaled.tried[0]
    assert plain.corrections == ()
    assert not is_good(plain.degradation, 0.5)
    assert EQUALIZE in scaled.chosen.corrections
    assert scaled.chosen.degradation.sqnr_db > plain.degradation.sqnr_db + 6
    assert scaled.chosen.degradation.capped_px <= plain.degradation.capped_px
    assert {candidate.corrections[:2] for candidate in scaled.tried} >= {(), (BIAS,)}
    # The checkpoint is what was chosen.
    found = search(finder(3.0)).probe.degradation(scaled.checkpoint.table("openvino"), build_model(scaled.checkpoint))
    assert found == scaled.chosen.degradation


def test_the_choice_is_recorded_and_shown(scaled):
    record = scaled.checkpoint.training["ptq"]
    assert record["corrections"] == list(scaled.chosen.corrections)
    assert [entry["candidate"] for entry in record["tried"]] == [candidate.name for candidate in scaled.tried]
    assert record["tried"][0]["sqnr_db"] == round(scaled.tried[0].degradation.sqnr_db, 4)
    text = as_text(scaled, 6)
    (line,) = [line for line in text.splitlines() if line.endswith("chosen")]
    assert line.startswith(scaled.chosen.name)
    assert f"{scaled.chosen.degradation.sqnr_db:.1f}" in line


def test_a_good_network_stays_as_it_is():
    checkpoint = finder(0.0)
    found = search(checkpoint).run()
    assert [candidate.name for candidate in found.tried] == ["plain"]
    assert all(torch.equal(value, checkpoint.state[name]) for name, value in found.checkpoint.state.items())
    assert found.sites == ()


def test_float_sites_are_within_the_budget():
    # With a sigmoid, nothing can be equalized.
    checkpoint = finder(3.0, nn.Sigmoid)
    without, within = (search(checkpoint, float_budget=share) for share in (0.0, 0.7))
    # The signal is tiny, so no rounding is good enough.
    without.good_px = within.good_px = -1.0
    found = within.run()
    assert not any(FLOAT in candidate.corrections for candidate in without.run().tried)
    last = found.tried[-1]
    assert last.corrections[-1] == FLOAT
    assert last.degradation.sqnr_db > found.tried[0].degradation.sqnr_db
    macs, total = multiply_accumulates(build_model(checkpoint), SPEC)
    table = found.checkpoint.table("openvino")
    left = set(macs) - set(table.convolutions) - {"graph.6"}
    assert bool(left) == (found.chosen is last)
    assert sum(macs[name] for name in left) <= 0.7 * total
    assert total == sum(macs.values())
    assert macs["graph.0"] == 32 * 32 * WIDTH * 27


def test_ranges_for_each_channel_are_tried_and_chosen():
    # With a Hardswish, nothing can be equalized.
    found = search(finder(2.0, nn.Hardswish), float_budget=0.0).run()
    assert found.chosen.corrections[:1] == (CHANNELS,)
    before, chosen = found.tried[-2], found.chosen
    assert chosen.degradation.sqnr_db > before.degradation.sqnr_db + 3
    assert list(found.checkpoint.table("openvino").channels) == ["graph.0"]
    assert found.checkpoint.training["ptq"]["corrections"] == list(chosen.corrections)
    assert applied(found.checkpoint, found.checkpoint.table("openvino")) == chosen.corrections
    assert applied(found.checkpoint, found.plain.table("openvino")) == chosen.corrections[1:]


def test_without_keypoints_the_heatmaps_decide():
    blank = [np.full((*SIZE, 3), value, np.uint8) for value in (20, 60)]
    found = search(finder(3.0), blank).run()
    assert all(math.isnan(candidate.degradation.capped_px) for candidate in found.tried)
    assert found.chosen.degradation.sqnr_db > found.tried[0].degradation.sqnr_db + 1
    assert found.checkpoint.training["ptq"]["tried"][0]["capped_px"] is None
    assert " - " in as_text(found, 2)


def test_corrections_by_name_are_recorded_too():
    options = {"corrections": [BIAS, EQUALIZE], "method": "minmax"}
    images = [torch.from_numpy(picture[None]) for picture in dots(2, 0)]
    found = corrected(finder(3.0), images, [SCHEME], "openvino", **options)
    assert found.training["ptq"] == {"corrections": [EQUALIZE, BIAS]}
    plain = finder(3.0).state
    assert not torch.equal(found.state["graph.0.conv.weight"], plain["graph.0.conv.weight"])


OLD = Degradation(1.0, 1.0, 2.0, 1.0, 80.0, 20.0)


@pytest.mark.parametrize(
    ("px", "db", "better"),
    [
        (0.85, 20.0, True),
        (0.85, 19.5, True),
        (0.85, 18.5, False),
        (0.95, 20.9, False),
        (1.05, 21.5, True),
        (1.15, 25.0, False),
        (math.nan, 21.5, True),
        (math.nan, 20.5, False),
    ],
)
def test_only_what_is_clearly_better_replaces_the_best(px, db, better):
    assert is_better(dataclasses.replace(OLD, capped_px=px, sqnr_db=db), OLD) == better
