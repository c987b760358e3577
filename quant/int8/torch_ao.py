"""The one door to torch.ao: its fake-quantize module and observers, nothing else of it.

torch.ao.quantization is on its way out of torch; torchao keeps the same parts under another name, and either will do.
Not used, because they are gone or wrong elsewhere: ``convert``, ``convert_fx``, ``torch.quint8`` and its kin.
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
