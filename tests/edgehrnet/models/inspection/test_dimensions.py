"""Shapes that do not fit are reported with the layer, its input and the expected shape."""

import copy
from typing import Any

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
NETWORKS: dict[str, dict[str, Any]] = {
    "edgehrnet18": OPTIONS,
    "hrnet_w18_small_v1": {"offsets": True},
    "litehrnet18": {},
}


@pytest.mark.parametrize("name", NETWORKS)
def test_shapes_equal_those_of_a_forward_pass(name):
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


@pytest.fixture(scope="module")
def sound():
    return create("edgehrnet18")


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
    ("damage", "layer", "given", "expected"),
    [
        (strided, "stage3.transition.down.depthwise", "1x64x8x12", "1x64x4x6"),
        (widened, "stage3.hr_modules.0.branches.2.0.expand", "1x100x4x6", "128 channels"),
        (kept, "stage3.transition", "1x32x16x24 and 1x64x8x12", "4x6, half of branch 2"),
        (raised, "stage2.hr_modules.0.fusion.add.0", "1x32x32x48 and 1x32x16x24", "1x32x32x48"),
        (shrunk, "stage2.transition", "1x32x8x12", "16x24, 1/4 of the input"),
        (other_heads, "the network", "1x3x16x24 as heatmaps", "1x17x16x24"),
        (broken, "fpn.up4", "1x128x2x3", "'[7, -1]'"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_layer_with_wrong_shapes_is_named(sound, damage, layer, given, expected):
    net = copy.deepcopy(sound)
    damage(net)
    with pytest.raises(InputError) as caught:
        check_dimensions(net, SIZE)
    message = str(caught.value)
    assert message.startswith((f"{layer}, ", f"{layer} returned"))
    assert message.index(given) < message.index(expected, message.index(given) + len(given))


def test_size_that_is_not_divisible_by_32_is_refused(sound):
    with pytest.raises(InputError, match="60x96"):
        check_dimensions(sound, (60, 96))


def test_checking_does_not_change_the_network(sound):
    net = copy.deepcopy(sound).train()
    check_dimensions(net, SIZE)
    assert net.training
    assert next(net.parameters()).device.type == "cpu"
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


def test_norm_with_another_number_of_channels_is_named(sound):
    net = copy.deepcopy(sound)
    net.stem.conv2.bn = nn.BatchNorm2d(31)
    with pytest.raises(InputError, match=r"^stem\.conv2\.bn, .*1x32x16x24.*31.*32$"):
        check_dimensions(net, SIZE)
