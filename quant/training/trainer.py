"""Train a network: learning-rate schedule, averaged weights, mixed precision, several processes, resuming.

A step depends on the settings and its index only, since pictures are chosen by index. A resumed run therefore
continues with the pictures that the interrupted one would have used, also in another number of processes.
"""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from edgehrnet.decoding import OFFSET_METHODS
from edgehrnet.errors import EdgeHRNetError, InputError, ModelFileError
from edgehrnet.models import KeypointNetwork, Output
from edgehrnet.models.checkpoints import save_checkpoint
from edgehrnet.models.deploy.export_module import network_input
from edgehrnet.models.deploy.frozen import plain_state
from quant.data.batches import SampleHeads, Samples, batches
from quant.data.codecs import CODECS, usual_codec
from quant.scoring.torch_model import validate
from quant.training.averaging import Ema
from quant.training.log_file import add_to_log, cut_log
from quant.training.losses import keypoint_loss
from quant.training.parts import Parts, float_parts
from quant.training.pose_losses import pose_loss
from quant.training.processes import World, open_device
from quant.training.run_state import check_shares, newest_state
from quant.training.settings import TrainSettings
from runtimes.writing import finish_writing, new_files, write_file

AVERAGED = 50
"""Steps over which the logged loss is averaged."""
LOG_EVERY, LOG_LINES = 20, 50
"""Most steps between lines of the log, and the least number of lines of a run with as many steps."""
REDUCED = {"bf16": torch.bfloat16, "fp16": torch.float16}


class DivergedError(EdgeHRNetError, ArithmeticError):
    """The loss became NaN or infinite. The weights are those of the previous step."""


class Trainer:
    """A training run that writes into one folder.

    The folder holds ``last.pt`` to resume from, ``ema.pt`` with the averaged weights, ``settings.json``, and
    ``log.jsonl``. Each line of the log has the step, the seconds and the loss. Lines of validations have scores too.
    """

    def __init__(
        self, settings: TrainSettings, out: Path, world: World | None = None, parts: Parts | None = None
    ) -> None:
        """Prepare the run.

        Args:
            settings: settings of the run.
            out: folder to write into.
            world: this process. None for a single one on the settings' device.
            parts: data set, spec and network. None builds them from the settings.

        Raises:
            InputError: the settings do not fit together.
            DeviceError: the device is not present.
        """
        self.out, self.log, self.world = out, out / "log.jsonl", world or World(device=settings.device)
        self.device = open_device(self.world.device)
        parts = parts or float_parts(settings)
        self.data, self.spec = parts.data, parts.spec
        self.settings = settings if settings.sizes else dataclasses.replace(settings, sizes=(self.spec.input_size,))
        self.codec = CODECS[settings.codec or usual_codec(self.spec)]
        network = parts.network.to(self.device)
        self.network: KeypointNetwork = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.network.gives_offsets != (self.codec.decode in OFFSET_METHODS):
            raise InputError(
                f"codec {settings.codec!r} and {settings.model} do not agree on offsets; "
                "use another --codec, or --option offsets=true"
            )
        self.ema = Ema(self.network, settings.ema)
        self.trained: nn.Module = self.network
        if self.world.size > 1:
            # The small HRNets end in fusions that no head uses.
            self.trained = DistributedDataParallel(self.network, find_unused_parameters=True)
            self.trained.broadcast_buffers = False  # shared after each step instead; the argument is deprecated
        self.optimizer = torch.optim.AdamW(_parameter_groups(self.network, settings.weight_decay))
        self.scaler = torch.amp.GradScaler(enabled=settings.amp == "fp16" and self.device.type == "cuda")
        self.step = 0
        self.pictures = settings.batch * self.world.size  # in a step of all processes; a resumed run keeps it

    @property
    def batch(self) -> int:
        """Pictures in a batch of this process."""
        return self.pictures // self.world.size

    def resume(self, *, required: bool = True) -> None:
        """Continue from ``last.pt``.

        Args:
            required: whether to refuse a folder without a run. Otherwise the run starts from the beginning.

        Raises:
            InputError: the run was started with other settings, or its steps cannot be shared by these processes, or
                there is none.
            ModelFileError: the file is damaged, or of another kind.
        """
        state = newest_state(self.out, self.world)
        if state is None and required:
            raise InputError(f"there is no run to resume in {self.out}; leave out --resume to start one")
        try:
            if state is not None:
                self._take(state)
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
            if isinstance(error, EdgeHRNetError):
                raise
            path = self.out / "last.pt"
            raise ModelFileError(f"{path} holds no run of quant.train or quant.qat: {error!r}") from None
        if self.world.rank == 0:
            cut_log(self.log, self.step)

    def _take(self, state: dict[str, Any]) -> None:
        """Continue from the state that a run has saved."""
        before, now = json.loads(state["settings"]), json.loads(self._settings_json())
        changed = [key for key in now if now[key] != before.get(key) and key not in ("workers", "device")]
        if changed:
            raise InputError(f"cannot resume with a different {', '.join(changed)}; use the same, or another --out")
        self.pictures = self.settings.batch * state["processes"]
        check_shares(self.out, self.pictures, self.world.size)
        self.network.load_state_dict(state["network"])
        self.ema.network.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.step = state["step"]

    def run(self, *, progress: bool = True) -> dict[str, float | None]:
        """Train to the last step and return the scores of the last validation.

        Raises:
            InputError: the folder holds another run, which resume() would continue.
            DivergedError: the loss became NaN or infinite.
        """
        settings = self.settings
        scores: dict[str, float | None] = {}
        finish_writing(self.out)
        if self.step == 0 and (self.out / "last.pt").exists():
            raise InputError(f"{self.out} already holds a run; continue it with --resume, or use another --out")
        if self.world.rank == 0:
            self.out.mkdir(parents=True, exist_ok=True)
            write_file(self.out / "settings.json", self._settings_json() + "\n")
        recent: deque[dict[str, float]] = deque(maxlen=AVERAGED)
        every = max(1, min(LOG_EVERY, settings.steps // LOG_LINES))
        started = time.perf_counter()
        hidden = not progress or self.world.rank > 0
        with tqdm(total=settings.steps, initial=self.step, disable=hidden, unit="step") as bar:
            for batch in self.batches():
                recent.append(self.train_step(batch))
                bar.set_postfix(loss=f"{sum(_means(recent).values()):.3g}", refresh=False)
                bar.update()
                validated = self.step % settings.validate_every == 0 or self.step == settings.steps
                line = {"step": self.step, "seconds": round(time.perf_counter() - started, 1), "loss": _means(recent)}
                if self.world.rank == 0 and validated:
                    scores = self._validate()
                    add_to_log(self.log, {**line, **scores})
                    self._save(scores)
                elif self.world.rank == 0 and self.step % every == 0:
                    add_to_log(self.log, line)
                if validated:
                    self.world.gather(None)  # wait for process 0
        return scores

    def batches(self) -> Iterator[dict[str, Tensor]]:
        """Yield the batches of the steps that are left. See `Samples` for their content, and `batches` for errors."""
        settings, extras = self.settings, set(self.network.extra_outputs)
        heads = SampleHeads(auxiliary="aux_p3" in extras, outline=bool(extras & {"boundary", "sdf"}))
        samples = Samples(
            self.data,
            self.spec,
            self.step * self.batch,
            (settings.steps - self.step) * self.batch,
            batch=self.batch,
            sizes=settings.sizes,
            seed=settings.seed,
            heads=heads,
            codec=self.codec,
            rank=self.world.rank,
            world=self.world.size,
        )
        return batches(samples, settings.workers)

    def train_step(self, batch: dict[str, Tensor]) -> dict[str, float]:
        """Take one step of the optimizer and return the terms of the loss by name.

        Raises:
            DivergedError: the loss is NaN or infinite. The weights do not change.
        """
        settings = self.settings
        rate = settings.learning_rate_at(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        truth = {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}
        image = network_input(truth.pop("image"), self.spec.mean, self.spec.std)
        dtype = REDUCED.get(settings.amp)
        self.trained.train()
        self._begin_step()
        with torch.autocast(self.device.type, dtype) if dtype else nullcontext():
            output = self.trained(image)
        terms = self._terms(output, truth) | self._extra_terms(image, output)
        values = self.world.mean({name: float(term.detach()) for name, term in terms.items()})
        if not math.isfinite(sum(values.values())):
            raise DivergedError(f"the loss of step {self.step} is {values}; try a lower --learning-rate")
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(torch.stack(list(terms.values())).sum()).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.world.share_buffers(self.network)
        self.ema.update(self.network, self.step)
        self._end_step()
        self.step += 1
        return values

    def _begin_step(self) -> None:
        """Change the network before a step. It is in training mode."""

    def _end_step(self) -> None:
        """Change the averaged network after its update."""

    def _extra_terms(self, image: Tensor, output: Output) -> dict[str, Tensor]:  # noqa: ARG002
        """Return terms of the loss that need no labels."""
        return {}

    def _terms(self, output: Output, truth: dict[str, Tensor]) -> dict[str, Tensor]:
        settings = self.settings
        if settings.loss is not None or self.spec.heatmap_values != "logits":
            return pose_loss(output, truth, settings.loss or "mse")
        cyclic = self.spec.cyclic and self.step >= settings.canonical * settings.steps
        return keypoint_loss(output, truth, cyclic=cyclic, weights=settings.weights)

    def _validate(self) -> dict[str, float | None]:
        return validate(self.ema.network, self.data, self.settings.validate_count, self.spec, self.device).as_dict()

    def _save(self, scores: dict[str, float | None]) -> None:
        state = {
            "settings": self._settings_json(),
            "step": self.step,
            "processes": self.pictures // self.settings.batch,
            "network": self.network.state_dict(),
            "ema": self.ema.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }
        training = {"settings": json.loads(self._settings_json()), "step": self.step, "scores": scores}
        with new_files(self.out / "last.pt") as folder:
            torch.save(state, folder / "last.pt")
            save_checkpoint(
                folder / "ema.pt",
                self.settings.model,
                {"keypoints": len(self.spec.keypoints), **self.settings.options},
                plain_state(self.ema.network),
                self.spec.to_dict(),
                training,
                dtype=torch.float16,
            )

    def _settings_json(self) -> str:
        return json.dumps(dataclasses.asdict(self.settings), indent=1)


def _means(steps: Iterable[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each term of the loss over some steps."""
    columns: dict[str, list[float]] = {}
    for terms in steps:
        for name, value in terms.items():
            columns.setdefault(name, []).append(value)
    return {name: float(f"{statistics.fmean(values):.6g}") for name, values in columns.items()}


def _parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Decay convolution weights only, since smaller BatchNorm scales or biases regularize nothing."""
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]
