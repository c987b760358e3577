"""A forward pass that looks at sizes is recorded; one that looks at values is refused with its line."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from edgehrnet.errors import InputError
from quant.int8.placement import place
from quant.int8.scheme import SCHEMES
from quant.int8.tracing import traced

OPENVINO = SCHEMES["openvino"]


class Net(nn.Module):
    """Layers for a forward pass."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.down = nn.Conv2d(3, 4, 3, 1, 1), nn.Conv2d(4, 4, 3, 2, 1)
        self.attention = nn.MultiheadAttention(4, 1, batch_first=True)
        self.head = nn.Conv2d(4, 2, 1)


class Checks(Net):
    """Asserts and tests of shapes."""

    def forward(self, x):
        assert x.shape[1] == 3
        torch._assert(x.ndim == 4, "four dimensions")
        y = self.stem(x)
        z = self.down(y)
        if z.shape[-2:] != y.shape[-2:]:
            z = F.interpolate(z, size=y.shape[-2:])
        if x.numel() == 0 or x.size(0) < 1 or x.dim() != 4 or x.dtype == torch.float16:
            raise ValueError(x.shape)
        return self.head(y + z)


class Flags(Net):
    """Arguments with defaults."""

    def forward(self, x, flip=False, *, mask=None, **others):
        y = self.stem(x.flip(3) if flip else x)
        return self.head(y if mask is None else y * mask)


class Padded(Net):
    """Padding to a multiple, as layers that imitate TensorFlow compute it, and a loop over a size."""

    def forward(self, x):
        height, width = x.size()[-2:]
        y = self.down(self.stem(F.pad(x, [0, -width % 48, 0, max(0, 65 - height)])))
        b, c, h, w = y.shape
        grid = torch.arange(h * w).reshape(1, 1, h, w) / (h * w)
        rows = [y[:, :, i] for i in range(h)]
        zeros = torch.zeros(b, c, len(rows), w, dtype=self.head.weight.dtype)
        return self.head(torch.stack(rows, 2).view(b, c, h, w) + grid + zeros)


class Tokens(Net):
    """Attention over places."""

    def forward(self, x):
        y = self.down(self.stem(x))
        b, c, h, w = y.shape
        if h * w > 4096:
            raise ValueError(h)
        rows = y.flatten(2).permute(0, 2, 1)
        rows = rows + self.attention(rows, rows, rows)[0]
        return self.head(rows.permute(0, 2, 1).reshape(b, c, h, w))


class Overwritten(Net):
    """A sum and activations in place, whose results are read by another name."""

    def forward(self, x):
        y = self.stem(x)
        z = y
        y += self.stem(x)
        F.relu(z, inplace=True)
        z.mul_(2.0)
        z[:, 0] = 0
        return self.head(y)


class Asks(Net):
    """Questions about types, and asserts about values."""

    def forward(self, x):
        assert x.abs().max() < 100, "scale the picture"
        y = self.stem(x)
        y = y * 2 if isinstance(y, torch.Tensor) else y[0]
        return self.head(y.to(self.stem.weight.dtype))


@pytest.mark.parametrize("kind", [Checks, Flags, Padded, Tokens, Overwritten, Asks])
def test_shapes_and_flags_are_followed(kind):
    module = kind().eval()
    found = traced(module, 2)
    for count in (1, 3):
        x = torch.randn(count, 3, 64, 64)
        with torch.no_grad():
            torch.testing.assert_close(found(x).heatmaps, module(x), atol=1e-5, rtol=0)
    assert "graph.stem" in place(found, OPENVINO).convolutions


class Values(Net):
    """A branch on a value."""

    def forward(self, x):
        y = self.stem(x)
        assert x.shape[1] == 3
        if y.sum() > 0:
            y = -y
        return self.head(y)


def test_a_branch_on_values_is_named_with_its_line():
    with pytest.raises(InputError, match=r"Values.*test_symbolic\.py line \d+: if y\.sum\(\) > 0:"):
        traced(Values(), 2)


class Noisy(Net):
    """Random numbers."""

    def forward(self, x):
        return self.head(self.stem(x) + torch.randn(4, 1, 1))


class Alternating(Net):
    """A network that depends on the batch size."""

    def forward(self, x):
        return self.head(self.stem(x) * len(x))


@pytest.mark.parametrize("kind", [Noisy, Alternating])
def test_a_copy_that_computes_something_else_is_refused(kind):
    with pytest.raises(InputError, match=kind.__name__):
        traced(kind(), 2)
