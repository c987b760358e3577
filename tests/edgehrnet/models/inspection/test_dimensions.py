"""Shapes that do not fit are told by layer, with what it was given and what was expected."""

import pytest
import torch
from torch import nn

from edgehrnet.errors import InputError
from edgehrnet.models import create
from edgehrnet.models.inspection.dimensions import check_dimensions
from edgehrnet.models.layers.blocks import ConvBNAct
from edgehrnet.models.layers.style import Style

SIZE = (64, 96)
OPTIONS = {"gate": "coord", "fuse": "weighted", "fpn": "B", "down": "blur", "pyramid": True, "auxiliary": True}
NETWORKS = {
    "edgehrnet18": OPTIONS,
    "hrnet_w18_small_v1": {"offsets": True},
    "litehrnet18": {},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks_fit_and_shapes_are_those_of_a_run(name):
    net = create(name, **NETWORKS[name]).eval()
    shapes = check_dimensions(net, SIZE)
    with torch.no_grad():
        output = net(torch.zeros(1, net.in_channels, *SIZE))
    assert shapes[".heatmaps"] == tuple(output.heatmaps.shape)
    assert shapes[".hf"] == tuple(output.hf.shape)
    assert shapes["stage3[2]"][2:] == (4, 6)
    assert (".offsets" in shapes) == net.gives_offsets
    for extra, value in output.extras.items():
        assert shapes[f".extras.{extra}"] == tuple(value.shape)


def strided(net):
    net.stage3.transition.down.depthwise.conv.stride = (1, 1)


def widened(net):
    net.stage3.transition.down.pointwise = ConvBNAct(64, 100, 1, Style())


def kept(net):
    net.stage3.transition.down = ConvBNAct(64, 128, 3, Style())


def raised(net):
    net.stage2.hr_modules[0].fusion.paths["A12"].resize = nn.Upsample(scale_factor=4)


def shrunk(net):
    net.stem.blocks.append(nn.AvgPool2d(2))


def other_heads(net):
    net.heads = create("edgehrnet18", keypoints=3).heads


def broken(net):
    net.fpn.up4.forward = lambda x: x.reshape(7, -1)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (strided, "stage3.transition.down.depthwise, given 1x64x8x12: gave 1x64x8x12, expected 1x64x4x6, of stride 2"),
        (widened, "stage3.hr_modules.0.branches.2.0.expand, given 1x100x4x6: expected one map of 128 channels"),
        (
            kept,
            "stage3.transition, given 1x32x16x24 and 1x64x8x12: gave 1x128x8x12 as branch 3 of 3, expected 4x6, "
            "half of branch 2",
        ),
        (
            raised,
            "stage2.hr_modules.0.fusion.add.0, given 1x32x32x48 and 1x32x16x24: expected terms of one shape, "
            "1x32x32x48 as the first",
        ),
        (
            shrunk,
            "stage2.transition, given 1x32x8x12: gave 1x32x8x12 as branch 1 of 2, expected 16x24, 1/4 of the input",
        ),
        (other_heads, "the network gave 1x3x16x24 as heatmaps, expected 1x17x16x24"),
        (broken, "fpn.up4, given 1x128x2x3: shape '[7, -1]' is invalid for input of size 768"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_layer_is_named(damage, told):
    net = create("edgehrnet18")
    damage(net)
    with pytest.raises(InputError) as caught:
        check_dimensions(net, SIZE)
    assert str(caught.value) == told


def test_a_size_that_is_refused():
    with pytest.raises(InputError, match="nearest are 32x96 and 64x96"):
        check_dimensions(create("edgehrnet18"), (60, 96))


def test_the_network_stays_as_it_is():
    net = create("edgehrnet18").train()
    check_dimensions(net, SIZE)
    assert net.training
    assert next(net.parameters()).device.type == "cpu"
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_a_normalization_for_other_channels():
    net = create("edgehrnet18")
    net.stem.conv2.bn = nn.BatchNorm2d(31)
    with pytest.raises(InputError, match=r"^stem.conv2.bn, given 1x32x16x24: this BN is for 31 channels, not 32$"):
        check_dimensions(net, SIZE)
