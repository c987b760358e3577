"""Sites are ranked by what they save for what they cost, and exchanged in that order."""

import dataclasses
from pathlib import Path

import pytest

from edgehrnet import sample_picture
from edgehrnet.models.checkpoints import build_model, load_checkpoint
from edgehrnet.models.layers.activations import activation_sites
from edgehrnet.picture.sources import read_image
from edgehrnet.spec import ModelSpec
from quant.data.opening import open_data
from quant.int8.degradation import Probe
from quant.scoring.metrics import score
from quant.speed.gains import Gains
from quant.speed.tables import point_table, site_table
from quant.speed.trade_off import Point, Site, choose, exchanged, prefixes, rank_sites, trade_off

CHECKPOINT = Path(__file__).parents[3] / "checkpoints" / "document-corners.pt"
CHEAP, DEAR, SLOW = "stage4.hr_modules.0.fusion.smooth.3.act", "stem.conv1.act", "stem.conv2.act"
SCORE = score([1.0], 1)
GAINS = Gains(10.0, 8.0, {DEAR: 0.5, CHEAP: 0.5, SLOW: -0.1})


@pytest.fixture(scope="module")
def probe():
    checkpoint = load_checkpoint(CHECKPOINT)
    spec = ModelSpec.from_dict(checkpoint.spec).replace(input_size=(128, 256))
    return Probe(build_model(checkpoint), [read_image(sample_picture())], spec)


@pytest.fixture(scope="module")
def ranked(probe):
    return rank_sites(probe, GAINS, "hardswish")


def test_of_equal_gains_the_smaller_drift_is_first_and_a_loss_of_time_is_left_out(ranked):
    assert [site.name for site in ranked] == [CHEAP, DEAR]
    assert 0 < ranked[0].drift_px < ranked[1].drift_px
    assert CHEAP in site_table(ranked)


def test_the_trade_off_starts_with_the_network_as_it_is(probe, ranked):
    data = open_data("synthetic:document-corners")
    points = trade_off(probe, GAINS, ranked, "hardswish", data, points=2, pictures=2)
    assert [point.sites for point in points] == [(), (CHEAP,), (CHEAP, DEAR)]
    assert [point.ms for point in points] == [10.0, 9.5, 9.0]
    assert points[0].drift_px == 0 < points[1].drift_px < points[2].drift_px
    lines = point_table(points, GAINS, points[1]).splitlines()
    assert [line.endswith("chosen") for line in lines] == [False, False, True, False]


def test_the_fastest_point_within_the_budget_is_chosen():
    slow, middle, fast = (Point((), ms, px, SCORE) for ms, px in ((10.0, 0.0), (8.0, 1.0), (7.0, 3.0)))
    points = [slow, middle, fast]
    assert choose(points, 1.0) is middle
    assert choose(points, 0.5) is slow
    assert choose(points, 99.0) is fast
    assert choose([dataclasses.replace(slow, drift_px=1.0)], 0.5).ms == 10.0


def test_steps_save_about_the_same():
    ranked = [Site(name, ms, 1.0) for name, ms in zip("abcdef", (4, 1, 1, 1, 1, 4), strict=True)]
    assert [len(step) for step in prefixes(ranked, 3)] == [1, 5, 6]
    assert [len(step) for step in prefixes(ranked, 100)] == [1, 2, 3, 4, 5, 6]
    assert prefixes([], 3) == []


def test_a_copy_is_exchanged():
    network = build_model(load_checkpoint(CHECKPOINT))
    changed = exchanged(network, [DEAR], "relu")
    assert activation_sites(changed)[DEAR] == "relu"
    assert activation_sites(network)[DEAR] == "silu"
