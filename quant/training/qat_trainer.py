"""Train with fake-quantize modules in the network (quantization-aware training).

A run has these phases:

1. Recovery in float, if the activation was exchanged.
2. Calibration, then training with ranges that follow the network.
3. Training with fixed ranges.
4. Training with fixed ranges and fixed batch-norm statistics, as in the folded network.

The averaged weights are kept. At the end, their ranges are calibrated again for every target engine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from edgehrnet.models import Output, create
from edgehrnet.models.checkpoints import Checkpoint, build_model, load_checkpoint
from edgehrnet.models.checkpoints.ranges import RangeTable
from edgehrnet.models.deploy.frozen import plain_state
from edgehrnet.spec import ModelSpec
from quant.int8.calibration import network_inputs, observe, range_table
from quant.int8.fake_quantize import copy_quantizers, insert, learned_table, set_ranges, stop_observers
from quant.int8.pipeline import calibrate
from quant.int8.placement import place
from quant.int8.scheme import Int8Scheme
from quant.training.distillation import Teacher
from quant.training.parts import parts_of_checkpoint
from quant.training.processes import World
from quant.training.qat_settings import QatSettings
from quant.training.trainer import Trainer


class QatTrainer(Trainer):
    """A run of quantization-aware training in one folder. ``ema.pt`` holds plain float weights, without ranges."""

    settings: QatSettings

    def __init__(self, settings: QatSettings, out: Path, checkpoint: Checkpoint, world: World | None = None) -> None:
        """Prepare the run.

        Args:
            settings: settings of the run.
            out: folder to write into.
            checkpoint: content of ``settings.init``.
            world: this process. None for a single one on the settings' device.

        Raises:
            InputError: checkpoint, data and settings do not fit together.
            DeviceError: the device is not present.
        """
        parts = parts_of_checkpoint(settings, checkpoint)
        self.placement = place(parts.network, settings.scheme)
        insert(parts.network, self.placement, settings.scheme, learned=settings.learned)
        super().__init__(settings, out, world, parts)
        self.teacher: Teacher | None = None
        if settings.distillation:
            self.teacher = Teacher(build_model(checkpoint).to(self.device), self.spec, settings.distillation)

    def calibrated(
        self, pictures: Iterable[NDArray[np.uint8]], schemes: Collection[Int8Scheme], method: str
    ) -> Checkpoint:
        """Return the averaged weights of ``ema.pt`` with INT8 ranges for every scheme.

        Learned ranges are kept for the target engine they were learned for.

        Args:
            pictures: calibration pictures ``(H, W, 3)`` u8 RGB.
            schemes: quantization schemes.
            method: calibration method.
        """
        trained = load_checkpoint(self.out / "ema.pt")
        images = network_inputs(pictures, ModelSpec.from_dict(trained.spec))
        done = calibrate(trained, images, schemes, method=method, progress=True)
        if not self.settings.learned:
            return done
        target = self.settings.target
        learned = learned_table(self.ema.network, done.table(target))
        return dataclasses.replace(done, quantization={**done.quantization, target: learned})

    def _begin_step(self) -> None:
        settings = self.settings
        if self.step == settings.recovery:
            set_ranges(self.network, self.world.broadcast(self._ranges()))
            self.network.train()
        if self.step == settings.at(settings.observers):
            stop_observers(self.network)
        if self.step >= settings.at(settings.statistics):
            for module in self.network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()

    def _end_step(self) -> None:
        copy_quantizers(self.network, self.ema.network)

    def _extra_terms(self, image: Tensor, output: Output) -> dict[str, Tensor]:
        return {} if self.teacher is None else self.teacher.terms(image, output)

    def _ranges(self) -> RangeTable:
        """Calibrate the current network."""
        settings = self.settings
        images = network_inputs(self.data.calibration(settings.calibration, settings.seed), self.spec)
        plain = create(settings.model, keypoints=len(self.spec.keypoints), **settings.options)
        plain.load_state_dict(plain_state(self.network))
        seen = observe(plain, self.placement.sites, images, self.spec, settings.method)
        return range_table(seen, self.placement, settings.scheme, self.spec, settings.method)
