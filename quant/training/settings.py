"""What one training run is told, checked when it is told."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch

from edgehrnet.errors import InputError, nearest
from edgehrnet.picture.letterbox import check_input_size
from quant.data.codecs import CODECS
from quant.training.losses import Weights
from quant.training.pose_losses import POSE_LOSSES

AMP_TYPES = {"none": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class TrainSettings:
    """One training run; written beside its results, so that the run can be repeated.

    ``data``, ``fold``: see quant.data.opening.open_data.
    ``sizes``: input (height, width), taken in turn by the batches. ``warmup``: share of the steps in which the
    learning rate rises. ``canonical``: share of the steps before the loss may choose the best cyclic shift; until
    then the labels' own order breaks the symmetry between the channels. ``augment``: vary labeled
    pictures. ``codec``: how keypoints are drawn and decoded, see quant.data.codecs; ``loss``: see
    quant.training.pose_losses; None for what is usual for the network. ``init``: a checkpoint to start from.
    """

    data: str = "synthetic:document-corners"
    fold: tuple[int, int] | None = None
    model: str = "edgehrnet18"
    options: dict[str, Any] = field(default_factory=dict)
    steps: int = 4000
    batch: int = 16
    sizes: tuple[tuple[int, int], ...] = ((128, 256),)
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    warmup: float = 0.05
    canonical: float = 0.25
    ema: float = 0.998
    amp: str = "none"
    device: str = "cpu"
    workers: int = 1
    seed: int = 0
    validate_every: int = 500
    validate_count: int = 200
    augment: bool = True
    codec: str | None = None
    loss: str | None = None
    init: str | None = None
    weights: Weights = field(default_factory=Weights)

    def __post_init__(self) -> None:
        for size in self.sizes:
            check_input_size(size)
        if self.amp not in AMP_TYPES:
            raise InputError(f"amp={self.amp!r}; accepted: {', '.join(AMP_TYPES)}")
        least = {"steps": 1, "batch": 2, "validate_every": 1, "validate_count": 1, "workers": 0}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise InputError(f"{name}={getattr(self, name)}: at least {low}")
        for name, known in (("codec", CODECS), ("loss", POSE_LOSSES)):
            value = getattr(self, name)
            if value is not None and value not in known:
                raise InputError(f"{name}={value!r}; {nearest(value, known)}")
        try:
            torch.device(self.device)
        except RuntimeError as error:
            raise InputError(f"device={self.device!r}: {str(error).splitlines()[0]}") from None

    @property
    def largest_size(self) -> tuple[int, int]:
        """The input size of most pixels, the first of equals: what is validated and what the checkpoint is for."""
        return max(self.sizes, key=lambda size: size[0] * size[1])

    def learning_rate_at(self, step: int) -> float:
        """Linear warm-up, then half a cosine down to one percent (SGDR's shape, Loshchilov 2017)."""
        rising = max(1, round(self.warmup * self.steps))
        if step < rising:
            return self.learning_rate * (step + 1) / rising
        progress = (step - rising) / max(1, self.steps - rising)
        return self.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * progress)))
