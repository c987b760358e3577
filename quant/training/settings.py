"""Define and validate the settings of a training run."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from edgehrnet.errors import InputError, nearest
from edgehrnet.picture.letterbox import check_input_size
from quant.data.codecs import CODECS
from quant.data.opening import CropChoice
from quant.training.losses import Weights
from quant.training.pose_losses import POSE_LOSSES

AMP_TYPES = ("none", "bf16", "fp16")


@dataclass(frozen=True)
class TrainSettings:
    """Settings of a training run. They are stored with its results, so that the run can be repeated.

    Raises:
        InputError: a value is not accepted.
    """

    data: str = "synthetic:document-corners"
    """Data set, see quant.data.opening.open_data."""
    fold: tuple[int, int] | None = None
    """(k, n) uses every n-th labeled picture for validation, beginning with the k-th, counted from 0."""
    validation: str | None = None
    """Labels of the validation set. None takes it from ``data``."""
    images: str | None = None
    """Folder of the pictures. None looks for them beside the labels."""
    flip_pairs: tuple[tuple[str, str], ...] | None = None
    """Names of keypoints to swap in a mirrored picture, in addition to those recognized by their names."""
    crop: CropChoice = "auto"
    """Crops of boxes (hrnet or udp), None for whole pictures, or ``auto`` for what the labels suggest."""
    model: str = "edgehrnet18"
    """Name of the network, see edgehrnet.models.available."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of the network."""
    init: str | None = None
    """Checkpoint to start from. None starts from random weights."""
    sizes: tuple[tuple[int, int], ...] = ()
    """Input sizes (height, width), used in turn by the batches. Empty for the usual size of the network."""
    steps: int = 4000
    """Training steps."""
    batch: int = 16
    """Pictures in a batch of one process."""
    learning_rate: float = 2e-3
    """Largest learning rate."""
    weight_decay: float = 1e-4
    """AdamW's weight decay. It is applied to convolution weights only."""
    warmup: float = 0.05
    """Share of the steps in which the learning rate rises."""
    canonical: float = 0.25
    """Share of the steps with a fixed order of the keypoints, for data sets with a cyclic order.

    Later, the loss chooses the best cyclic shift. From the first step, the channels would have no reason to differ.
    """
    ema: float = 0.998
    """Decay of the averaged weights."""
    amp: str = "none"
    """Mixed precision: none, bf16 or fp16."""
    device: str = "cpu"
    """Torch device."""
    workers: int = 1
    """Processes that prepare pictures. With 0, the training process prepares them."""
    seed: int = 0
    """Seed of the weights and of the pictures."""
    validate_every: int = 500
    """Steps between validations. The last step is always followed by one."""
    validate_count: int = 200
    """Largest number of examples that a validation scores."""
    augment: bool = True
    """Whether labeled pictures are augmented."""
    codec: str | None = None
    """Encoding of keypoints, see quant.data.codecs. None for the network's usual."""
    loss: str | None = None
    """Loss of linear heatmaps, see quant.training.pose_losses. None for the network's usual."""
    weights: Weights = field(default_factory=Weights)
    """Factors of the terms of the loss, for networks with logits."""

    def __post_init__(self) -> None:
        for size in self.sizes:
            check_input_size(size)
        if self.amp not in AMP_TYPES:
            raise InputError(f"amp={self.amp!r} is not accepted; use {', '.join(AMP_TYPES)}")
        least = {"steps": 1, "batch": 2, "validate_every": 1, "validate_count": 1, "workers": 0}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise InputError(f"{name}={getattr(self, name)} is not accepted; it must be at least {low}")
        for name, known in (("codec", CODECS), ("loss", POSE_LOSSES)):
            value = getattr(self, name)
            if value is not None and value not in known:
                raise InputError(f"{name}={value!r}; {nearest(value, known)}")

    @property
    def largest_size(self) -> tuple[int, int]:
        """Input size (height, width) with the most pixels, for validation and for the checkpoint."""
        return max(self.sizes, key=lambda size: size[0] * size[1])

    def learning_rate_at(self, step: int) -> float:
        """Return the learning rate of a step: a linear warm-up, then half a cosine down to one percent.

        The shape is that of SGDR (Loshchilov 2017).
        """
        rising = max(1, round(self.warmup * self.steps))
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        progress = (step - rising) / max(1, self.steps - rising)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
