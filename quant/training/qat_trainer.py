"""Quantization-aware training: the training loop of float networks, with fake-quantize modules in the network.

In order: the activation swap, if any, and a recovery in float; calibration; training with ranges that follow the
network; then with fixed ranges; then with fixed BN statistics too, as the network will be folded. The averaged
weights are what is kept; their ranges are calibrated afresh for every target at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from edgehrnet.errors import InputError, nearest
from edgehrnet.models import KeypointNetwork, Output, create
from edgehrnet.models.checkpoints import build_model, load_checkpoint
from edgehrnet.models.checkpoints.ranges import RangeTable
from edgehrnet.models.deploy.frozen import plain_state
from edgehrnet.spec import ModelSpec
from quant.int8.calibration import METHODS, network_inputs, observe, range_table
from quant.int8.fake_quantize import copy_quantizers, insert, set_ranges, stop_observers
from quant.int8.placement import place
from quant.int8.scheme import SCHEMES, Int8Scheme
from quant.training.processes import World
from quant.training.settings import TrainSettings
from quant.training.trainer import Trainer


@dataclass(frozen=True)
class QatSettings(TrainSettings):
    """One run of quantization-aware training, from the checkpoint ``init``, whose network it takes.

    ``target``, ``weight_bits``: the engine whose rounding is trained for, and the bits of its weights. ``recovery``:
    steps in float before the quantizers are switched on; ``observers``, ``statistics``: shares of the steps after
    that, at which ranges and BN statistics are fixed. ``distillation``: weight of the squared distance to the float
    network's heatmaps. ``learned``: ranges are trained (LSQ). ``calibration``, ``method``: pictures and method of the
    first ranges.
    """

    steps: int = 400
    learning_rate: float = 1e-4
    canonical: float = 0.0
    ema: float = 0.99
    target: str = "openvino"
    weight_bits: int = 8
    recovery: int = 0
    observers: float = 0.3
    statistics: float = 0.5
    distillation: float = 0.0
    learned: bool = False
    calibration: int = 100
    method: str = "histogram"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.init is None:
            raise InputError("QAT starts from a float checkpoint; pass one")
        for name, accepted in (("target", SCHEMES), ("method", METHODS)):
            value = getattr(self, name)
            if value not in accepted:
                raise InputError(f"{name}={value!r}; {nearest(value, accepted)}")
        if not 0 <= self.recovery < self.steps:
            raise InputError(f"recovery={self.recovery}: from 0 to less than steps={self.steps}")
        for name in ("observers", "statistics"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name}={getattr(self, name)}: a share of the steps, from 0 to 1")

    @property
    def scheme(self) -> Int8Scheme:
        """What is trained for."""
        return SCHEMES[self.target].replace(weight_bits=self.weight_bits)

    def at(self, share: float) -> int:
        """Return the step at this share of those after the recovery."""
        return self.recovery + round(share * (self.steps - self.recovery))


class QatTrainer(Trainer):
    """One QAT run in one folder; see Trainer. ``ema.pt`` holds plain float weights, no ranges yet."""

    settings: QatSettings

    def __init__(self, settings: QatSettings, out: Path, world: World | None = None) -> None:
        super().__init__(settings, out, world)
        self.teacher: KeypointNetwork | None = None
        if settings.distillation:
            assert settings.init is not None
            self.teacher = build_model(load_checkpoint(settings.init)).requires_grad_(False).to(self.device)

    def _make_spec(self) -> ModelSpec:
        assert self.settings.init is not None
        spec = ModelSpec.from_dict(load_checkpoint(self.settings.init).spec)
        return spec.replace(input_size=self.settings.largest_size)

    def _make_network(self) -> KeypointNetwork:
        assert self.settings.init is not None
        keypoints = load_checkpoint(self.settings.init).keypoints
        if keypoints != len(self.data.spec.keypoints):
            raise InputError(
                f"{self.settings.init} finds {keypoints} keypoints, {self.settings.data} has "
                f"{len(self.data.spec.keypoints)}"
            )
        if (self.spec.crop is None) != (self.data.spec.crop is None):
            looks = "whole pictures" if self.spec.crop is None else "crops of boxes"
            raise InputError(f"{self.settings.init} looks at {looks}, which {self.settings.data} is not labeled for")
        network = super()._make_network()
        scheme = self.settings.scheme
        self.placement = place(network, scheme)
        insert(network, self.placement, scheme, learned=self.settings.learned)
        return network

    def _begin_step(self) -> None:
        settings = self.settings
        if self.step == settings.recovery:
            set_ranges(self.network, self._calibrated())
            self.network.train()
        if self.step == settings.at(settings.observers):
            stop_observers(self.network)
        if self.step >= settings.at(settings.statistics):
            for module in self.network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()

    def _end_step(self) -> None:
        copy_quantizers(self.network, self.ema.network)

    def _extra_loss(self, image: Tensor, output: Output) -> dict[str, Tensor]:
        if self.teacher is None:
            return {}
        with torch.no_grad():
            wanted = self._heights(self.teacher(image))
        difference = self._heights(output) - wanted
        return {"distillation": self.settings.distillation * difference.square().sum(dim=(1, 2, 3)).mean()}

    def _heights(self, output: Output) -> Tensor:
        maps = output.heatmaps.float()
        return maps.sigmoid() if self.spec.heatmap_values == "logits" else maps

    def _calibrated(self) -> RangeTable:
        """Ranges of the network as it is now; every process computes the same."""
        settings = self.settings
        images = network_inputs(self.data.calibration(settings.calibration, settings.seed), self.spec)
        plain = create(settings.model, keypoints=len(self.spec.keypoints), **settings.options)
        plain.load_state_dict(plain_state(self.network))
        seen = observe(plain, self.placement.sites, images, self.spec, settings.method)
        return range_table(seen, self.placement, settings.scheme, self.spec, settings.method)
