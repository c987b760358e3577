"""Ranges for each channel of what depthwise convolutions read, in torch."""

import numpy as np
import pytest
import torch
from torch import nn

from edgehrnet.models.checkpoints import build_model
from edgehrnet.models.deploy.folding import fold_batchnorm
from edgehrnet.models.deploy.frozen import QuantizeDequantizeChannels, freeze
from edgehrnet.spec import ModelSpec
from quant.int8.calibration import METHODS
from quant.int8.channel_ranges import channelwise, channelwise_sites
from quant.int8.pipeline import calibrate
from quant.int8.ranking import without
from quant.int8.scheme import SCHEMES
from quant.int8.tracing import as_checkpoint, traced

SPEC = ModelSpec("dots", ("dot",), input_size=(32, 32), channels=3, outputs=(("heatmaps", "NCHW"),))
FACTORS = (0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
SITE = "graph.first"  # only a depthwise convolution reads its tensor


class Depthwise(nn.Module):
    """A depthwise convolution that alone reads its input, and one whose input is also added to its output."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        wide = len(FACTORS)
        self.first = nn.Conv2d(3, wide, 4, 4)
        self.depthwise = nn.Conv2d(wide, wide, 3, 1, 1, groups=wide)
        self.between = nn.Conv2d(wide, wide, 1)
        self.residual = nn.Conv2d(wide, wide, 3, 1, 1, groups=wide)
        self.head = nn.Conv2d(wide, 1, 1)
        with torch.no_grad():
            self.first.weight.mul_(torch.tensor(FACTORS)[:, None, None, None])
            self.depthwise.weight.div_(torch.tensor(FACTORS)[:, None, None, None])

    def forward(self, x):
        x = self.between(self.depthwise(self.first(x)))
        return self.head(x + self.residual(x))


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [torch.from_numpy(rng.integers(0, 256, (1, 32, 32, 3), np.uint8)) for _ in range(3)]


@pytest.fixture(scope="module")
def calibrated(images):
    checkpoint = as_checkpoint(traced(Depthwise(), 1, size=SPEC.input_size), SPEC)
    return calibrate(checkpoint, images, tuple(SCHEMES.values()))


def test_only_openvino_has_them_and_only_where_nothing_else_reads(calibrated, images):
    assert {name: channelwise_sites(calibrated, scheme) for name, scheme in SCHEMES.items()} == {
        "openvino": [SITE],
        "onnx": [],
        "tensorrt": [],
    }
    found = channelwise(calibrated, images, tuple(SCHEMES.values()))
    assert list(found.table("openvino").channels) == [SITE]
    for target in ("onnx", "tensorrt"):
        assert found.table(target) == calibrated.table(target)
    assert found.table("openvino").sites == calibrated.table("openvino").sites


@pytest.mark.parametrize("method", METHODS)
def test_each_channel_has_its_own_step(calibrated, images, method):
    table = channelwise(calibrated, images, [SCHEMES["openvino"]], method).table("openvino")
    scales, zeros = table.channels[SITE]
    whole = table.sites[SITE][0]
    assert len(scales) == len(zeros) == len(FACTORS)
    assert scales[-1] == pytest.approx(whole, rel=0.6)
    assert scales[3] < whole / 20
    assert min(scales) == pytest.approx(whole / 128)  # no finer, in case that other pictures have larger values


def test_less_noise_than_with_one_range(calibrated, images):
    wide = channelwise(calibrated, images, [SCHEMES["openvino"]])
    network = build_model(calibrated)
    x = images[0].permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        exact = fold_batchnorm(network)(x).heatmaps
        noise = [
            float((freeze(network, found.table("openvino"))(x).heatmaps - exact).square().mean())
            for found in (calibrated, wide)
        ]
    assert noise[1] < noise[0] / 2


def test_values_are_rounded_to_the_grid_of_their_channel():
    scales, zeros = (0.5, 0.25), (10, 0)
    module = QuantizeDequantizeChannels(scales, zeros, "uint8")
    x = np.array([-9.0, -0.3, 0.3, 0.6, 70.0], np.float32)
    # np.rint rounds ties to even, as torch does.
    wanted = [s * (np.clip(np.rint(x / s) + z, 0, 255) - z) for s, z in zip(scales, zeros, strict=True)]
    found = module(torch.from_numpy(x)[None, None, None].expand(1, 2, 1, 5))
    np.testing.assert_allclose(found[0, :, 0], np.stack(wanted), rtol=1e-6)


def test_a_site_in_float_has_none(calibrated, images):
    table = channelwise(calibrated, images, [SCHEMES["openvino"]]).table("openvino")
    left = without(table, [SITE], {SITE: ("graph.depthwise",)})
    assert left.channels == {}
    assert SITE not in left.sites
