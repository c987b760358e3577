"""The heatmaps are found among the outputs of a network, and the rest is not computed."""

from collections import OrderedDict, namedtuple
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from edgehrnet.errors import InputError
from quant.int8.placement import place
from quant.int8.scheme import SCHEMES
from quant.int8.tracing import traced

OPENVINO = SCHEMES["openvino"]
Pair = namedtuple("Pair", ["heatmaps", "features"])


@dataclass
class Answer:
    """Outputs by name."""

    heatmaps: torch.Tensor
    features: torch.Tensor


class Stages(nn.Module):
    """Two stages of heatmaps and the features between them, packed by a function."""

    def __init__(self, pack):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.pack = nn.Conv2d(3, 8, 3, padding=1), pack
        self.first, self.act = nn.Conv2d(8, 2, 1), nn.ReLU(inplace=True)
        self.middle, self.second = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 2, 1)

    def forward(self, x):
        y = self.stem(x)
        z = self.middle(y)
        return self.pack(self.act(self.first(y)), self.second(z), z)


def same(found, module, pick):
    """Compare the traced network's heatmaps with one output of the original."""
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(found(x).heatmaps, pick(module(x)), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("pack", "pick"),
    [
        (lambda a, b, z: [b], lambda out: out[0]),
        (lambda a, b, z: {"heatmaps": b}, lambda out: out["heatmaps"]),
        (lambda a, b, z: (z, {"inner": [b, z]}), lambda out: out[1]["inner"][0]),
        (lambda a, b, z: Pair(b, z), lambda out: out.heatmaps),
        (lambda a, b, z: Answer(b, z), lambda out: out.heatmaps),
        (lambda a, b, z: torch.cat([a, b], 1).split(2, 1), lambda out: out[1]),
    ],
)
def test_one_tensor_of_heatmaps_is_unwrapped(pack, pick):
    module = Stages(pack)
    found = traced(module, 2)
    same(found, module, pick)
    assert found.head_convolutions <= {"graph.second"}
    assert bool(found.head_convolutions) == ("split" not in pack.__code__.co_names)


def test_stages_in_one_tensor_are_separated():
    module = Stages(lambda a, b, z: torch.stack([a, b], 1))
    found = traced(module, 2)
    same(found, module, lambda out: out[:, 1])
    assert found.head_convolutions == {"graph.second"}
    same(traced(module, 2, output="0"), module, lambda out: out[:, 0])
    kept = Stages(lambda a, b, z: torch.cat([a, b], 1).unflatten(1, (2, 2)))
    same(traced(kept, 2), kept, lambda out: out[:, 1])


def test_functions_that_arrange_values_leave_the_head_in_float():
    module = Stages(lambda a, b, z: b.permute(0, 1, 2, 3).contiguous())
    found = traced(module, 2)
    assert found.head_convolutions == {"graph.second"}
    assert found(torch.zeros(1, 3, 64, 64)).hf.shape == (1, 8, 64, 64)


def test_of_several_the_last_is_taken_and_named():
    module = Stages(lambda a, b, z: [a, b, z])
    found = traced(module, 2)
    same(found, module, lambda out: out[1])
    assert "heatmaps are 1" in found.note
    assert "[1, 8, 64, 64]" in found.note
    # The first stage is not in the file, although its activation overwrites a tensor.
    assert place(found, OPENVINO).convolutions == ("graph.stem", "graph.middle")
    assert found.macs.keys() == {"graph.stem", "graph.middle", "graph.second"}


@pytest.mark.parametrize(
    ("pack", "output", "pick"),
    [
        (lambda a, b, z: [a, b], "0", lambda out: out[0]),
        (lambda a, b, z: OrderedDict(early=a, late=b), "early", lambda out: out["early"]),
        (lambda a, b, z: OrderedDict(early=a, late=b), "0", lambda out: out["early"]),
        (lambda a, b, z: {"stages": [a, b], "x": a}, "stages", lambda out: out["stages"][1]),
        (lambda a, b, z: {"stages": [a, b]}, "stages.0", lambda out: out["stages"][0]),
    ],
)
def test_output_is_chosen(pack, output, pick):
    module = Stages(pack)
    same(traced(module, 2, output=output), module, pick)


@pytest.mark.parametrize(
    ("pack", "output", "message"),
    [
        (lambda a, b, z: [a, b], "2", "'2'.*0 .1, 2, 64, 64., 1 .1, 2, 64, 64."),
        (lambda a, b, z: {"early": a, "z": z}, "heatmaps", "'heatmaps'.*early"),
        (lambda a, b, z: {"early": a, "z": z}, "z", r"\[B, 2, h, w\]"),
        (lambda a, b, z: [z, z], None, r"\[1, 8, 64, 64\]"),
        (lambda a, b, z: [], None, "no tensor"),
        (lambda a, b, z: None, None, "no tensor"),
    ],
)
def test_wrong_outputs_are_named(pack, output, message):
    with pytest.raises(InputError, match=message):
        traced(Stages(pack), 2, output=output)
