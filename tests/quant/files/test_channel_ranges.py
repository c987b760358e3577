"""OpenVINO runs depthwise convolutions on integers if each channel of their input has its own range."""

import dataclasses

import numpy as np
import openvino as ov
import pytest
import torch
from torch import nn

from edgehrnet.cli import main
from edgehrnet.spec import ModelSpec
from quant.files.model_file import export_file
from quant.int8.calibration import network_inputs
from quant.int8.choice import CHANNELS, corrected
from quant.int8.scheme import SCHEMES
from quant.int8.tracing import as_checkpoint, traced

SPEC = ModelSpec("dots", ("dot",), input_size=(64, 64), channels=3, decode="argmax", outputs=(("heatmaps", "NCHW"),))
WIDE = 16


class Blocks(nn.Module):
    """Depthwise convolutions after a convolution without activation, a ReLU and a Hardswish."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, WIDE, 3, 2, 1), nn.ReLU()]
        for stride, act in ((2, nn.Identity()), (1, nn.ReLU()), (1, nn.Hardswish())):
            depthwise = nn.Conv2d(WIDE, WIDE, 3, stride, 1, groups=WIDE)
            layers += [nn.Conv2d(WIDE, WIDE, 1), act, depthwise, nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(WIDE, 1, 1))
        with torch.no_grad():
            for first, second in ((2, 4), (6, 8), (10, 12)):
                factors = torch.exp(torch.randn(WIDE))[:, None, None, None]
                layers[first].get_parameter("weight").mul_(factors)
                layers[first].get_parameter("bias").mul_(factors.flatten())
                layers[second].get_parameter("weight").div_(factors)

    def forward(self, x):
        return 40 * self.layers(x)


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(0)
    found = []
    for x, y in rng.integers(0, 48, (8, 2)):
        picture = rng.integers(0, 60, (64, 64, 3), np.uint8)
        picture[y : y + 16, x : x + 16] += 190
        found.append(picture)
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory, pictures):
    checkpoint = as_checkpoint(traced(Blocks(), 1, size=SPEC.input_size), SPEC)
    images, path = network_inputs(pictures, SPEC), tmp_path_factory.mktemp("channels") / "dots.xml"
    found = corrected(checkpoint, images, [SCHEMES["openvino"]], "openvino", [CHANNELS])
    return path, found, export_file(found, path, precision="int8", pictures=pictures)


def test_the_engine_runs_them_on_integers_and_computes_what_torch_does(built):
    _, checkpoint, certificate = built
    assert len(checkpoint.table("openvino").channels) == 3
    assert certificate.convolutions_int8 == certificate.convolutions_expected == 8
    # Rounding flips alone: another grid than that of torch would be as far away as the quantization error.
    assert certificate.distance < 0.5
    assert certificate.parity == pytest.approx(1, abs=0.05)
    assert certificate.corrections == (CHANNELS,)


def test_the_file_has_a_range_for_each_channel(built):
    model = ov.Core().read_model(built[0])
    sizes = [
        op.input_value(1).get_node().output(0).shape for op in model.get_ops() if "FakeQuantize" in op.get_type_name()
    ]
    assert sum(np.prod(size) == WIDE for size in sizes) == 3


def test_it_is_finer_than_one_range_for_all(built, pictures, tmp_path):
    _, checkpoint, certificate = built
    table = dataclasses.replace(checkpoint.table("openvino"), channels={})
    plain = dataclasses.replace(checkpoint, quantization={"openvino": table})
    other = export_file(plain, tmp_path / "plain.xml", precision="int8", pictures=pictures)
    assert other.corrections == ()
    assert other.sqnr_db is not None
    assert certificate.sqnr_db > other.sqnr_db + 1


def test_info_names_the_corrections(built, capsys):
    main(["info", str(built[0])])
    assert CHANNELS in capsys.readouterr().out
