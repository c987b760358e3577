"""Suspicious BN statistics are found in their layer, and nothing else is."""

import math

import pytest
import torch
from torch import nn

from edgehrnet.models import create
from edgehrnet.models.deploy.folding import fold_batchnorm
from edgehrnet.models.inspection.bn_statistics import CHECKS, bn_anomalies


@pytest.fixture
def net():
    """Two layers with plausible statistics."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.BatchNorm2d(8), nn.BatchNorm2d(8))
    for layer in layers:
        nn.init.normal_(layer.get_buffer("running_mean"))
        nn.init.uniform_(layer.get_buffer("running_var"), 0.1, 2.0)
    return layers


def test_plausible_statistics_have_no_anomalies(net):
    assert bn_anomalies(net) == []


@pytest.mark.parametrize(
    ("statistic", "value", "expected", "worst"),
    [
        ("running_mean", math.nan, "mean is not finite", math.nan),
        ("running_var", math.inf, "variance is not finite", math.inf),
        ("weight", math.nan, "scale is not finite", math.nan),
        ("bias", -math.inf, "shift is not finite", -math.inf),
        ("running_var", -0.5, "variance is below 0", -0.5),
        ("running_var", 0.0, "variance is 0", 0.0),
        ("running_var", 2e-6, "variance is below 1e-05", 2e-6),
        ("running_mean", -500.0, "mean is over 30 deviations from 0", None),
        ("weight", -1e-7, "scale is below 0.0001", 1e-7),
    ],
)
def test_each_check_finds_its_channels(net, statistic, value, expected, worst):
    with torch.no_grad():
        getattr(net[1], statistic)[[2, 5]] = value
    [found] = bn_anomalies(net)
    assert (found.layer, found.statistic, found.affected, found.channels) == ("1", expected, 2, 8)
    if worst is not None:
        assert found.worst == pytest.approx(worst, nan_ok=True)
    assert found.cause


def test_worst_is_the_most_extreme_value(net):
    with torch.no_grad():
        net[0].weight[:3] = torch.tensor([1e-5, 1e-9, 1e-6])
        net[1].running_var[:2] = 1.0
        net[1].running_mean[:2] = torch.tensor([40.0, -90.0])
    scale, mean = bn_anomalies(net)
    assert scale.worst == pytest.approx(1e-9)
    assert mean.worst == pytest.approx(90, rel=1e-4)


def test_every_check_has_a_case_above():
    assert len(CHECKS) == len({check.statistic for check in CHECKS}) == 9


def test_untrained_network_has_one_anomaly():
    net = create("edgehrnet18", keypoints=2)
    [found] = bn_anomalies(net)
    assert found.layer == "*"
    assert (
        found.affected == found.channels == sum(m.num_features for m in net.modules() if isinstance(m, nn.BatchNorm2d))
    )


def test_one_untrained_layer_among_trained_ones_is_not_an_anomaly(net):
    # Initial statistics are suspicious only if all layers have them.
    net.append(nn.BatchNorm2d(4))
    assert bn_anomalies(net) == []


def test_folded_network_has_no_anomalies():
    assert bn_anomalies(fold_batchnorm(create("edgehrnet18", keypoints=2))) == []
