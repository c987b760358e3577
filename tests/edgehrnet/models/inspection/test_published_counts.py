"""Parameters, MACs and the README's FLOPs of the published networks, against the tables that they were published with.

The numbers were verified against the published code; MACs: each convolution once.
"""

import functools

import pytest
import torch

from edgehrnet.models import available, create
from edgehrnet.models.inspection.counting import Cost, count, torchstat
from edgehrnet.models.layers.blocks import ConvBNAct

# name, K, (height, width), parameters, MACs
TABLE = [
    ("litehrnet18", 17, (256, 192), 1_130_769, 198_626_688),
    ("litehrnet18", 17, (384, 288), 1_130_769, 446_778_048),
    ("litehrnet18", 16, (256, 256), 1_130_728, 264_636_544),
    ("litehrnet30", 17, (256, 192), 1_763_717, 309_451_488),
    ("litehrnet30", 17, (384, 288), 1_763_717, 696_046_848),
    ("litehrnet30", 16, (256, 256), 1_763_676, 412_379_744),
    ("naive_litehrnet18", 17, (256, 192), 760_365, 185_517_888),
    ("naive_litehrnet18", 17, (384, 288), 760_365, 417_415_248),
    ("naive_litehrnet18", 16, (256, 256), 760_334, 247_234_304),
    ("wider_naive_litehrnet18", 17, (256, 192), 1_318_625, 302_331_648),
    ("wider_naive_litehrnet18", 17, (384, 288), 1_318_625, 680_246_208),
    ("wider_naive_litehrnet18", 16, (256, 256), 1_318_584, 402_945_024),
    ("naive_litehrnet30", 17, (256, 192), 1_196_955, 294_576_288),
    ("naive_litehrnet30", 16, (256, 192), 1_196_924, None),
    ("wider_naive_litehrnet30", 17, (256, 192), 2_077_145, 490_827_648),
    ("wider_naive_litehrnet30", 16, (256, 192), 2_077_104, None),
    ("hrnet_w32", 17, (256, 192), 28_536_113, 7_645_003_776),
    ("hrnet_w32", 17, (384, 288), 28_536_113, 17_201_258_496),
    ("hrnet_w32", 16, (256, 256), 28_536_080, 10_193_207_296),
    ("hrnet_w48", 17, (256, 192), 63_595_745, 15_691_825_152),
    ("hrnet_w48", 17, (384, 288), 63_595_745, 35_306_606_592),
    ("hrnet_w48", 16, (256, 256), 63_595_696, 20_922_236_928),
    ("hrnet_w18", 17, (256, 192), 9_318_215, 3_188_385_792),
    ("hrnet_w18", 17, (384, 288), 9_318_215, 7_173_868_032),
    ("hrnet_w18", 16, (256, 256), 9_318_196, 4_251_107_328),
    ("hrnet_w16", 17, (256, 192), 7_445_889, 2_748_628_992),
    ("hrnet_w16", 17, (384, 288), 7_445_889, 6_184_415_232),
    ("hrnet_w18_small_v1", 17, (256, 192), 1_478_209, 592_478_208),
    ("hrnet_w18_small_v2", 17, (256, 192), 3_861_043, 1_562_565_120),
    ("hrnetv2_w18", 98, (256, 256), 9_662_528, 4_693_650_432),
    ("hrnetv2_w18", 68, (256, 256), 9_654_398, None),
    ("hrnetv2_w18", 19, (256, 256), 9_641_119, None),
]
# name, K, size, FLOPs as the README's rule has them, as the README prints them in M = 2^20
README = [
    ("litehrnet18", 17, (256, 192), 215_202_112, 205.2),
    ("litehrnet18", 17, (384, 288), 483_984_112, 461.6),
    ("litehrnet18", 16, (256, 256), 286_710_400, 273.4),
    ("litehrnet30", 17, (256, 192), 334_703_864, 319.2),
    ("litehrnet30", 17, (384, 288), 752_709_824, 717.8),
    ("litehrnet30", 16, (256, 256), 446_005_976, 425.3),
    ("naive_litehrnet18", 17, (256, 192), 204_217_152, 194.8),
    ("naive_litehrnet18", 16, (256, 256), 272_162_560, 259.6),
    ("wider_naive_litehrnet18", 17, (256, 192), 326_163_072, 311.1),
    ("wider_naive_litehrnet18", 16, (256, 256), 434_716_160, None),  # the README has 418.7 here, which nothing explains
    ("naive_litehrnet30", 17, (256, 192), 323_915_616, None),
    ("wider_naive_litehrnet30", 17, (256, 192), 528_831_936, None),
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


@functools.cache
def weightless(name, **options):
    with torch.device("meta"):
        return create(name, **options)


def test_every_published_network_is_in_a_table():
    rows = {row[0] for row in TABLE}
    assert rows | {"edgehrnet18", "edgehrnet18_hs"} == set(available())


@pytest.mark.parametrize(("name", "keypoints", "size", "parameters", "macs"), TABLE)
def test_parameters_and_macs(name, keypoints, size, parameters, macs):
    net = weightless(name, keypoints=keypoints)
    if macs is None:  # not in the table
        assert sum(p.numel() for p in net.parameters()) == parameters
    else:
        assert count(net, size)["total"] == Cost(parameters, macs)


@pytest.mark.parametrize(("name", "keypoints", "size", "flops", "printed"), README)
def test_flops_of_the_readme(name, keypoints, size, flops, printed):
    found = torchstat(weightless(name, keypoints=keypoints), size)
    assert found == flops
    assert printed is None or round(found / 2**20, 1) == printed


@pytest.mark.parametrize("name", ENTRIES)
def test_entries_of_the_state(name):
    net = weightless(name)
    assert len(net.state_dict()) == ENTRIES[name]
    if name in CONVOLUTIONS:
        units = [m for m in net.modules() if isinstance(m, ConvBNAct)]
        assert len(units) + 1 == CONVOLUTIONS[name]  # and the last layer
        statistics = [b.numel() for n, b in net.named_buffers() if n.endswith(("running_mean", "running_var"))]
        assert sum(statistics) == STATISTICS[name]


def test_offsets_are_two_more_channels_for_each_keypoint():
    plain, combined = (count(weightless("hrnet_w32", offsets=on), (256, 192)) for on in (False, True))
    assert combined["head"] == Cost(3 * plain["head"].parameters, 3 * plain["head"].macs)
    assert combined["stage4"] == plain["stage4"]
