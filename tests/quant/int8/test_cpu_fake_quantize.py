"""The short way on a CPU has the values and gradients of torch's kernels."""

import pytest
import torch

from quant.int8.cpu_fake_quantize import CpuFakeQuantize, fake_quantize
from quant.int8.torch_ao import FakeQuantize, MovingAverageMinMaxObserver, MovingAveragePerChannelMinMaxObserver


def gradients(function, x):
    x = x.clone().requires_grad_()
    y = function(x)
    y.backward(torch.linspace(-1, 1, y.numel()).view(y.shape))
    return y.detach(), x.grad


@pytest.mark.parametrize(("zero_point", "first", "last"), [(14, 0, 255), (0, -128, 127), (255, 0, 255)])
def test_tensors_with_ties_and_clipped_values(zero_point, first, last):
    scale = 0.25
    whole = torch.arange(-300, 300) * scale
    x = torch.cat([whole, whole + scale / 2, torch.randn(1000, generator=torch.Generator().manual_seed(0)) * 40])
    pair = torch.tensor([scale]), torch.tensor([zero_point], dtype=torch.int32)
    y, dx = gradients(lambda x: fake_quantize(x, *pair, first, last), x)
    wanted, wanted_dx = gradients(lambda x: torch.fake_quantize_per_tensor_affine(x, *pair, first, last), x)
    assert torch.equal(y, wanted)
    assert torch.equal(dx, wanted_dx)
    assert 0 < (dx == 0).sum() < dx.numel()


@pytest.mark.parametrize("kind", ["maps", "weights"])
def test_a_module_trains_and_observes_like_that_of_torch(kind):
    options = {"observer": MovingAverageMinMaxObserver, "quant_min": 0, "quant_max": 255, "dtype": torch.uint8,
               "qscheme": torch.per_tensor_affine}  # fmt: skip
    if kind == "weights":
        options = {"observer": MovingAveragePerChannelMinMaxObserver, "quant_min": -127, "quant_max": 127,
                   "dtype": torch.int8, "qscheme": torch.per_channel_symmetric, "ch_axis": 0}  # fmt: skip
    ours, theirs = CpuFakeQuantize(**options), FakeQuantize(**options)
    generator = torch.Generator().manual_seed(0)
    for step in range(4):
        x = torch.randn(3, 5, 4, 6, generator=generator).to(memory_format=torch.channels_last)
        if step == 2:
            ours.disable_observer()
            theirs.disable_observer()
        y, dx = gradients(ours, (1 + step) * x)
        wanted, wanted_dx = gradients(theirs, (1 + step) * x)
        assert torch.equal(y, wanted)
        assert torch.equal(dx, wanted_dx)
        assert y.stride() == wanted.stride()
    state, wanted_state = ours.state_dict(), theirs.state_dict()
    assert state.keys() == wanted_state.keys()
    assert all(torch.equal(state[name], wanted_state[name]) for name in state)


def test_other_dtypes_take_the_way_of_torch():
    quantizer = CpuFakeQuantize(observer=MovingAverageMinMaxObserver, quant_min=0, quant_max=255, dtype=torch.uint8)
    x = torch.rand(8, dtype=torch.bfloat16)
    assert quantizer(x).dtype == FakeQuantize.forward(quantizer, x).dtype
