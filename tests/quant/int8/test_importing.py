"""A network of another project is copied as plain layers in float32, whatever it is wrapped in."""

import copy

import pytest
import torch
from torch import distributed, nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm
from torch.optim.swa_utils import AveragedModel

from edgehrnet.errors import InputError
from quant.int8.importing import plain_copy, unwrapped
from quant.int8.placement import place
from quant.int8.scheme import SCHEMES
from quant.int8.tracing import check_quantizable, traced

OPENVINO = SCHEMES["openvino"]


class Wrapped(nn.Conv2d):
    """A subclass that computes the same as its base."""

    def forward(self, x):
        return super().forward(x) if x.numel() else x


class Same(nn.Conv2d):
    """A subclass that pads as TensorFlow does, on the right and below."""

    def forward(self, x):
        return super().forward(nn.functional.pad(x, (0, 1, 0, 1)))


class NormAct(nn.BatchNorm2d):
    """A BatchNorm with an activation inside."""

    def forward(self, x):
        return nn.functional.relu(super().forward(x))


class Norm(nn.BatchNorm2d):
    """A BatchNorm by another name."""


def network(conv=nn.Conv2d, norm=nn.BatchNorm2d, **options):
    """Two convolutions with norms, and a head."""
    torch.manual_seed(0)
    layers = [conv(3, 8, 3, **options), norm(8), nn.ReLU(), conv(8, 8, 3, **options), norm(8), nn.ReLU()]
    made = nn.Sequential(*layers, nn.Conv2d(8, 2, 1))
    for part in made:
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.running_mean = torch.rand(8) - 0.5
            part.running_var = torch.rand(8) + 0.5
    return made.eval()


def heatmaps(module, size=(64, 64)):
    """The traced network's heatmaps and the original's, for the same input."""
    found = traced(module, 2, size=size)
    x = torch.randn(1, 3, *size)
    with torch.no_grad():
        return found(x).heatmaps, copy.deepcopy(module).float()(x), place(found, OPENVINO).convolutions


class Positions(nn.Module):
    """A network with a learned number for each place."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 2, 1)
        self.position = nn.Parameter(torch.randn(1, 4, 64, 32))

    def forward(self, x):
        return self.head(self.conv(x) + self.position)


def test_network_runs_at_its_own_size():
    found, expected, convolutions = heatmaps(Positions(), (64, 32))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert convolutions == ("graph.conv",)
    with pytest.raises(InputError, match=r"\[1, 3, 64, 64\]"):
        traced(Positions(), 2)


def test_float16_weights_become_float32():
    module = Positions().half()
    found, expected, _ = heatmaps(module, (64, 32))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert module.conv.weight.dtype == torch.float16


@pytest.mark.parametrize(
    ("conv", "norm"), [(Wrapped, nn.BatchNorm2d), (nn.Conv2d, Norm), (Same, NormAct), (nn.Conv2d, nn.SyncBatchNorm)]
)
def test_subclasses_are_what_they_are(conv, norm):
    module = network(conv, norm, padding=1)
    if conv is Same:
        module = network(conv, norm)
    found, expected, convolutions = heatmaps(module)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert convolutions == ("graph.0", "graph.3")
    assert traced(module, 2).left == [] or conv is Same
    assert type(module[1]) is norm


def test_asymmetric_padding_stays_outside_of_the_unit():
    copied = plain_copy(network(Same), torch.randn(1, 3, 64, 64))
    assert type(copied.get_submodule("0")) is Same


def pruned(conv):
    prune.l1_unstructured(conv, "weight", 0.5)


WEIGHTS = (parametrizations.weight_norm, parametrizations.spectral_norm, weight_norm, spectral_norm, pruned)


@pytest.mark.parametrize("wrap", WEIGHTS)
@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("used", [False, True])
def test_computed_weights_are_baked(wrap, used):
    module = network(padding=1)
    wrap(module[0])
    wrap(module[3])
    module.eval()
    if used:  # torch cannot copy the weights that a hook computed with a gradient
        module(torch.randn(1, 3, 64, 64))
    names = list(module.state_dict())
    with torch.no_grad():
        x = torch.randn(1, 3, 64, 64)
        expected = module(x)
        found = traced(module, 2)
        torch.testing.assert_close(found(x).heatmaps, expected, atol=1e-5, rtol=0)
    assert len(place(found, OPENVINO).convolutions) == 2
    assert list(module.state_dict()) == names
    assert not [name for name in found.state_dict() if "orig" in name or "parametrizations" in name]


class Compiled(Positions):
    """A network with a compiled forward pass."""

    @torch.compile(backend="eager")
    def forward(self, x):
        return self.head(self.conv(x))


def test_compiled_forward_is_taken_off():
    module = Compiled()
    inside = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), module)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(traced(module, 2)(x).heatmaps, module.head(module.conv(x)), atol=1e-5, rtol=0)
    assert len(place(traced(inside, 2), OPENVINO).convolutions) == 2


def compiled(module):
    return torch.compile(module, backend="eager")


@pytest.mark.parametrize("wrap", [nn.DataParallel, compiled, AveragedModel, lambda m: nn.DataParallel(compiled(m))])
def test_wrappers_are_taken_off(wrap):
    module = network(padding=1)
    assert unwrapped(wrap(module)).state_dict().keys() == module.state_dict().keys()
    inner = nn.Sequential(wrap(module[:6]), module[6])
    found = traced(inner, 2)
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(found(x).heatmaps, module(x), atol=1e-5, rtol=0)
    assert place(found, OPENVINO).convolutions == ("graph.0.0", "graph.0.3")


def test_distributed_training_is_taken_off():
    module = network(padding=1)
    store = distributed.HashStore()  # type: ignore[attr-defined]
    distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        found = traced(nn.parallel.DistributedDataParallel(module), 2)
    finally:
        distributed.destroy_process_group()
    assert place(found, OPENVINO).convolutions == ("graph.0", "graph.3")


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_torchscript_is_refused():
    with pytest.raises(InputError, match="TorchScript"):
        traced(torch.jit.trace(network(), torch.randn(1, 3, 64, 64)), 2)


def test_nothing_quantized_is_an_error():
    only = nn.Sequential(nn.Conv2d(3, 8, 3, padding=2, dilation=2), nn.ConvTranspose2d(8, 2, 2, 2))
    with pytest.raises(InputError, match=r"graph\.0 \(Conv2d\) is dilated.*graph\.1"):
        check_quantizable(traced(only, 2), OPENVINO)
    check_quantizable(traced(network(), 2), OPENVINO)
