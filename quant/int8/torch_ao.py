"""Import the fake-quantize module and the observers of torch.ao, the only parts of it that this package uses.

No other module imports torch.ao. torch.ao.quantization is deprecated in torch, and torchao has the same classes under
another name, so either of the two is used. The rest of torch.ao, such as ``convert``, ``convert_fx`` and
``torch.quint8``, is not used.
"""

from __future__ import annotations

try:
    from torch.ao.quantization.fake_quantize import FakeQuantize
    from torch.ao.quantization.observer import (
        HistogramObserver,
        MinMaxObserver,
        MovingAverageMinMaxObserver,
        MovingAveragePerChannelMinMaxObserver,
    )
except ImportError:
    from torchao.quantization.pt2e.fake_quantize import FakeQuantize
    from torchao.quantization.pt2e.observer import (
        HistogramObserver,
        MinMaxObserver,
        MovingAverageMinMaxObserver,
        MovingAveragePerChannelMinMaxObserver,
    )

__all__ = [
    "FakeQuantize",
    "HistogramObserver",
    "MinMaxObserver",
    "MovingAverageMinMaxObserver",
    "MovingAveragePerChannelMinMaxObserver",
]
