"""The compiled INT8 graph shows what another activation saves at each site."""

import dataclasses

import pytest
import torch
from torch import nn

from edgehrnet.errors import InputError
from edgehrnet.models import KeypointNetwork, Output
from edgehrnet.models.checkpoints import Checkpoint
from edgehrnet.models.checkpoints.ranges import RangeTable
from edgehrnet.models.layers.activations import activation_sites
from edgehrnet.models.layers.blocks import ConvBNAct
from edgehrnet.models.layers.heads import Head
from edgehrnet.models.layers.style import Style
from edgehrnet.spec import ModelSpec
from quant.speed.gains import measure_gains, slower_sites, with_activations

SPEC = ModelSpec("tiny", ("a", "b"), input_size=(64, 64), decode="argmax",
                 outputs=(("heatmaps", "NCHW"), ("hf", "NHWC")))  # fmt: skip

RANGES = RangeTable("openvino", "uint8", 8, "identity", {}, ())


class Tiny(KeypointNetwork):
    """Two convolutions with a SiLU, a ReLU on its own, and a head."""

    def __init__(self):
        super().__init__(2, 4, gives_offsets=False)
        self.first = ConvBNAct(4, 16, 3, Style(), stride=2)
        self.second = ConvBNAct(16, 16, 3, Style(), stride=2)
        self.relu = nn.ReLU()
        self.head = Head(16, 2, Style(), hidden=False)

    def forward(self, x):
        hf = self.relu(self.second(self.first(x)))
        return Output(hf, self.head(hf), None, {})


@pytest.fixture(scope="module")
def checkpoint():
    torch.manual_seed(0)
    network = Tiny().eval()
    return Checkpoint("tiny", 2, {}, network.state_dict(), SPEC.to_dict(), {}, network=network)


def test_each_site_gets_the_time_of_its_layers(checkpoint):
    images = [torch.full((1, 64, 64, 4), 128, dtype=torch.uint8)]
    gains = measure_gains(checkpoint, "hardswish", images, runs=3)
    assert list(gains.sites) == ["first.act", "second.act"]
    assert gains.before > 0
    assert gains.after > 0
    # Layers take microseconds here, and the engine counts whole ones. So no sign is known, but a site is found if its
    # convolution takes any time, and saves no more than everything takes.
    assert any(gains.sites.values())
    assert all(abs(ms) <= gains.before + gains.after for ms in gains.sites.values())


def test_only_slower_activations_are_sites(checkpoint):
    changed = with_activations(checkpoint, {"first": "hardswish"})
    assert slower_sites(changed, "hardswish") == ["second.act"]
    assert slower_sites(changed, "relu") == ["first.act", "second.act"]
    assert activation_sites(checkpoint.network)["first.act"] == "silu"
    with pytest.raises(InputError, match="relu"):
        slower_sites(with_activations(checkpoint, {"first": "relu", "second": "relu"}), "relu")


def test_the_activations_join_those_of_the_checkpoint_and_its_ranges_go(small_checkpoint):
    first = with_activations(small_checkpoint, {"stem.conv1.act": "relu", "fpn": "relu"})
    both = with_activations(dataclasses.replace(first, quantization={"openvino": RANGES}), {"fpn": "hardswish"})
    assert both.options["activations"] == {"stem.conv1.act": "relu", "fpn": "hardswish"}
    assert both.quantization == {}
    assert small_checkpoint.options == {}
