"""Convolutions and BatchNorms that are called as functions become units where their weights are constant."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from quant.int8.left_float import LeftFloat
from quant.int8.placement import place
from quant.int8.scheme import SCHEMES
from quant.int8.tracing import left_float, traced

OPENVINO = SCHEMES["openvino"]


class Standardized(nn.Conv2d):
    """A convolution with standardized weights."""

    def forward(self, x):
        mean = self.weight.mean(dim=(1, 2, 3), keepdim=True)
        return F.conv2d(x, (self.weight - mean) / self.weight.std(), self.bias, self.stride, padding=1)


class Functional(nn.Module):
    """Weights as parameters, with convolutions and a norm as functions."""

    mean: torch.Tensor
    var: torch.Tensor

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.weight, self.scale = nn.Parameter(torch.randn(8, 3, 3, 3)), nn.Parameter(torch.rand(8))
        self.register_buffer("mean", torch.rand(8))
        self.register_buffer("var", torch.rand(8) + 0.5)
        self.standard, self.head = Standardized(8, 8, 3, 2), nn.Conv2d(8, 2, 1)
        self.inner = nn.Sequential(Standardized(8, 8, 3))

    def forward(self, x):
        y = F.conv2d(x, self.weight, stride=2, padding=1)
        y = F.relu(F.batch_norm(y, self.mean, self.var, self.scale, None, False, eps=1e-3))
        y = F.conv2d(y, self.standard.weight[:, :4], padding=1, groups=2) + y
        return self.head(self.inner(self.standard(y)))


class Dynamic(nn.Module):
    """Layers that multiply and cannot be units: weights from the picture, attention, a transposed convolution."""

    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 2, 1)
        self.up = nn.ConvTranspose2d(4, 4, 2, 2)

    def forward(self, x):
        y = self.stem(x)
        rows = y.flatten(2)
        y = ((rows @ rows.transpose(1, 2)).softmax(-1) @ rows).reshape(y.shape)
        weight = y.mean(dim=(0, 2, 3)).reshape(1, 4, 1, 1).expand(4, 4, 1, 1)
        y = F.conv2d(y, weight)
        return self.head(F.conv_transpose2d(self.up(y), self.up.weight, stride=2))


def test_functions_become_units():
    module = Functional().eval()
    found, x = traced(module, 2), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(found(x).heatmaps, module(x), atol=1e-4, rtol=1e-4)
    units = {"graph.conv2d", "graph.conv2d1", "graph.standard", "graph.inner.0"}
    assert set(place(found, OPENVINO).convolutions) == units
    assert found.left == []
    # Output cells, times weights per cell: two convolutions at half size, one of them in two groups.
    assert found.macs["graph.conv2d"] == 32 * 32 * 8 * 3 * 9
    assert found.macs["graph.conv2d1"] == 32 * 32 * 8 * 4 * 9
    assert found.macs["graph.standard"] == 16 * 16 * 8 * 8 * 9


class Grid(nn.Module):
    """A convolution that reads coordinates beside features, in a network whose names look like those of fx."""

    grid: torch.Tensor

    def __init__(self, *, buffer):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.stem_1 = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.both, self.head = nn.Conv2d(6, 4, 3, padding=1), nn.Conv2d(4, 2, 1)
        self.buffer = buffer
        self.register_buffer("grid", torch.rand(1, 2, 64, 64))

    def forward(self, x):
        b, _, h, w = x.shape
        lines = torch.linspace(0, 1, h)[:, None] * torch.linspace(-1, 1, w)
        grid = self.grid if self.buffer else torch.stack([lines, lines])[None]
        y = self.stem_1(self.stem(x)) + self.stem(-x)
        return self.head(self.both(torch.cat([y, grid.expand(b, -1, -1, -1)], dim=1)))


@pytest.mark.parametrize("buffer", [False, True])
def test_a_convolution_that_reads_a_constant_stays_in_float(buffer):
    module = Grid(buffer=buffer).eval()
    found, x = traced(module, 2), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(found(x).heatmaps, module(x), atol=1e-5, rtol=1e-5)
    placement = place(found, OPENVINO)
    assert len(placement.convolutions) == 3
    reasons = {part.name: part.reason for part in left_float(found, placement)}
    assert reasons.keys() == {"graph.both", "graph.head"}
    assert "constant" in reasons["graph.both"]


def test_what_stays_in_float_is_listed_with_macs():
    module = Dynamic().eval()
    found = traced(module, 2)
    listed = {part.name: part for part in left_float(found, place(found, OPENVINO))}
    cells = 32 * 32
    assert listed.pop("graph.conv2d") == LeftFloat(
        "graph.conv2d", "conv2d", "its weights depend on the picture", cells * 4 * 4
    )
    assert listed.pop("graph.up") == LeftFloat(
        "graph.up", "ConvTranspose2d", "only Conv2d is quantized", cells * 4 * 4 * 4
    )
    assert listed.pop("graph.head").macs == 128 * 128 * 4 * 2
    assert {part.kind for part in listed.values()} == {"matmul", "conv_transpose2d"}
    assert sorted(part.macs for part in listed.values()) == [cells * 4 * 4] * 2 + [64 * 64 * 4 * 4 * 4]
