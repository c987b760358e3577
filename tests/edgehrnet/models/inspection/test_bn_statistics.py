"""What looks wrong in BN statistics is found in the layer where it is, and nothing else is."""

import math

import pytest
import torch
from torch import nn

from edgehrnet.models import create
from edgehrnet.models.deploy.folding import fold_batchnorm
from edgehrnet.models.inspection.bn_statistics import CHECKS, bn_findings


@pytest.fixture
def net():
    """Two layers with plausible statistics."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.BatchNorm2d(8), nn.BatchNorm2d(8))
    for layer in layers:
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.1, 2.0)
    return layers


def test_plausible_statistics_have_no_findings(net):
    assert bn_findings(net) == []


@pytest.mark.parametrize(
    ("statistic", "value", "told", "worst"),
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
def test_each_check_finds_its_channels(net, statistic, value, told, worst):
    with torch.no_grad():
        getattr(net[1], statistic)[[2, 5]] = value
    [found] = bn_findings(net)
    assert (found.layer, found.statistic, found.channels, found.of) == ("1", told, 2, 8)
    if worst is not None:
        assert found.worst == pytest.approx(worst, nan_ok=True)
    assert len(found.meaning) > 20


def test_the_worst_is_the_one_farthest_off(net):
    with torch.no_grad():
        net[0].weight[:3] = torch.tensor([1e-5, 1e-9, 1e-6])
        net[1].running_var[:2] = 1.0
        net[1].running_mean[:2] = torch.tensor([40.0, -90.0])
    scale, mean = bn_findings(net)
    assert scale.worst == pytest.approx(1e-9)
    assert mean.worst == pytest.approx(90, rel=1e-4)


def test_every_check_is_tried_above():
    assert len(CHECKS) == len({check.statistic for check in CHECKS}) == 9


def test_a_new_network_is_one_finding():
    net = create("litehrnet18")
    [found] = bn_findings(net)
    assert found.layer == "*"
    assert found.channels == found.of == sum(m.num_features for m in net.modules() if isinstance(m, nn.BatchNorm2d))


def test_a_layer_that_was_left_out_of_training_is_none(net):
    # Means of 0 and variances of 1 are possible; all of them at once are not.
    net.append(nn.BatchNorm2d(4))
    assert bn_findings(net) == []


def test_a_folded_network_has_nothing_to_look_at():
    assert bn_findings(fold_batchnorm(create("edgehrnet18", keypoints=2))) == []
