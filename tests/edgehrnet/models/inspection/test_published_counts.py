"""Parameters and MACs of the published networks.

The expected numbers were counted on the published code, each convolution once.
"""

import pytest

from edgehrnet.models import available
from edgehrnet.models.inspection.counting import Cost, count
from edgehrnet.models.layers.blocks import ConvBNAct

# Name, K, (height, width), parameters, MACs or None. All networks at one size, and one of each kind at three.
TABLE = [
    ("litehrnet18", 17, (256, 192), 1_130_769, 198_626_688),
    ("litehrnet18", 17, (384, 288), 1_130_769, 446_778_048),
    ("litehrnet18", 16, (256, 256), 1_130_728, 264_636_544),
    ("litehrnet30", 17, (256, 192), 1_763_717, 309_451_488),
    ("naive_litehrnet18", 17, (256, 192), 760_365, 185_517_888),
    ("naive_litehrnet18", 17, (384, 288), 760_365, 417_415_248),
    ("naive_litehrnet18", 16, (256, 256), 760_334, 247_234_304),
    ("wider_naive_litehrnet18", 17, (256, 192), 1_318_625, 302_331_648),
    ("naive_litehrnet30", 17, (256, 192), 1_196_955, 294_576_288),
    ("naive_litehrnet30", 16, (256, 192), 1_196_924, None),
    ("wider_naive_litehrnet30", 17, (256, 192), 2_077_145, 490_827_648),
    ("wider_naive_litehrnet30", 16, (256, 192), 2_077_104, None),
    ("hrnet_w32", 17, (256, 192), 28_536_113, 7_645_003_776),
    ("hrnet_w32", 17, (384, 288), 28_536_113, 17_201_258_496),
    ("hrnet_w32", 16, (256, 256), 28_536_080, 10_193_207_296),
    ("hrnet_w48", 17, (256, 192), 63_595_745, 15_691_825_152),
    ("hrnet_w18", 17, (256, 192), 9_318_215, 3_188_385_792),
    ("hrnet_w16", 17, (256, 192), 7_445_889, 2_748_628_992),
    ("hrnet_w18_small_v1", 17, (256, 192), 1_478_209, 592_478_208),
    ("hrnet_w18_small_v2", 17, (256, 192), 3_861_043, 1_562_565_120),
    ("hrnetv2_w18", 98, (256, 256), 9_662_528, 4_693_650_432),
    ("hrnetv2_w18", 68, (256, 256), 9_654_398, None),
    ("hrnetv2_w18", 19, (256, 256), 9_641_119, None),
]
ENTRIES = {
    **dict.fromkeys(("hrnet_w16", "hrnet_w18", "hrnet_w32", "hrnet_w48"), 1754),
    "litehrnet18": 1418,
    "litehrnet30": 2360,
    **dict.fromkeys(("naive_litehrnet18", "wider_naive_litehrnet18"), 1610),
    **dict.fromkeys(("naive_litehrnet30", "wider_naive_litehrnet30"), 2696),
}
CONVOLUTIONS = {"litehrnet18": 301, "litehrnet30": 506, "naive_litehrnet18": 269, "wider_naive_litehrnet18": 269}
STATISTICS = {
    "litehrnet18": 32_400,
    "litehrnet30": 52_208,
    "naive_litehrnet18": 27_776,
    "wider_naive_litehrnet18": 36_896,
}


def test_every_published_network_is_in_the_table():
    rows = {row[0] for row in TABLE}
    assert rows | {"edgehrnet18", "edgehrnet18_hs"} == set(available())


@pytest.mark.parametrize(("name", "keypoints", "size", "parameters", "macs"), TABLE)
def test_parameters_and_macs(weightless, name, keypoints, size, parameters, macs):
    net = weightless(name) if keypoints == 17 else weightless(name, keypoints=keypoints)
    if macs is None:
        assert sum(p.numel() for p in net.parameters()) == parameters
    else:
        assert count(net, size)["total"] == Cost(parameters, macs)


@pytest.mark.parametrize("name", ENTRIES)
def test_state_has_the_published_number_of_entries(weightless, name):
    net = weightless(name)
    assert len(net.state_dict()) == ENTRIES[name]
    if name in CONVOLUTIONS:
        units = [m for m in net.modules() if isinstance(m, ConvBNAct)]
        assert len(units) + 1 == CONVOLUTIONS[name]  # including the last layer
        statistics = [b.numel() for n, b in net.named_buffers() if n.endswith(("running_mean", "running_var"))]
        assert sum(statistics) == STATISTICS[name]


def test_offsets_add_two_channels_per_keypoint(weightless):
    plain, combined = (
        count(net, (256, 192)) for net in (weightless("hrnet_w32"), weightless("hrnet_w32", offsets=True))
    )
    assert combined["head"] == Cost(3 * plain["head"].parameters, 3 * plain["head"].macs)
    assert combined["stage4"] == plain["stage4"]
