"""Define and validate the settings of quantization-aware training."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgehrnet.errors import InputError, nearest
from quant.data.examples import DataSet
from quant.int8.calibration import METHODS
from quant.int8.scheme import SCHEMES, Int8Scheme
from quant.training.settings import TrainSettings


@dataclass(frozen=True)
class QatSettings(TrainSettings):
    """Settings of a run of quantization-aware training, which starts from the checkpoint ``init``.

    Raises:
        InputError: a value is not accepted.
    """

    steps: int = 400
    """Training steps, the recovery included."""
    batch: int = 8
    """Pictures in a batch of one process."""
    learning_rate: float = 1e-4
    """Largest learning rate."""
    canonical: float = 0.0
    """Share of the steps with a fixed order of the keypoints, see TrainSettings."""
    ema: float = 0.99
    """Decay of the averaged weights."""
    validate_every: int = 200
    """Steps between validations. The last step is always followed by one."""
    validate_count: int = 100
    """Largest number of examples that a validation scores."""
    target: str = "openvino"
    """Engine whose rounding is simulated."""
    weight_bits: int = 8
    """Bits of the weights."""
    recovery: int = 0
    """Steps in float before quantizers are switched on."""
    observers: float = 0.3
    """Share of the quantized steps after which ranges are fixed."""
    statistics: float = 0.5
    """Share of the quantized steps after which batch-norm statistics are fixed."""
    distillation: float = 0.0
    """Weight of the squared distance to the float network's heatmaps."""
    learned: bool = False
    """Whether ranges are trained (LSQ)."""
    calibration: int = 100
    """Pictures for the first ranges."""
    method: str = "histogram"
    """Calibration method for the first ranges."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.init is None:
            raise InputError("init=None: quantization-aware training needs a float checkpoint to start from")
        for name, accepted in (("target", SCHEMES), ("method", METHODS)):
            value = getattr(self, name)
            if value not in accepted:
                raise InputError(f"{name}={value!r}; {nearest(value, accepted)}")
        if not 0 <= self.recovery < self.steps:
            raise InputError(f"recovery={self.recovery} must be at least 0 and less than steps={self.steps}")
        for name in ("observers", "statistics"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name}={getattr(self, name)} is not a share of the steps, in 0..1")

    @property
    def scheme(self) -> Int8Scheme:
        """Quantization scheme of the target engine."""
        return SCHEMES[self.target].replace(weight_bits=self.weight_bits)

    def at(self, share: float) -> int:
        """Return the step at which this share of the quantized steps is done."""
        return self.recovery + round(share * (self.steps - self.recovery))


def steps_of(epochs: float, data: DataSet, batch: int) -> int:
    """Return the steps in which the training part is seen ``epochs`` times, with ``batch`` pictures in a step.

    Raises:
        InputError: the data set makes pictures without end.
    """
    if not len(data):
        raise InputError(f"--epochs {epochs:g}: {data.spec.name} has no end, and so no epochs; use --steps")
    return max(1, math.ceil(epochs * len(data) / batch))
