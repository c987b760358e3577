"""The training loop: seeds, EMA, cosine schedule, mixed precision, several processes, resume.

Everything that happens at step s depends on the settings and on s alone (pictures are drawn from their number), so
an interrupted run goes on with the very pictures it would have seen.
"""

from __future__ import annotations

import copy
import json
import math
import statistics
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from tqdm import tqdm

from edgehrnet.decoding import OFFSET_METHODS
from edgehrnet.errors import EdgeHRNetError, InputError
from edgehrnet.models import KeypointNetwork, Output, create
from edgehrnet.models.checkpoints import load_checkpoint, save_checkpoint
from edgehrnet.models.deploy.export_module import network_input
from edgehrnet.models.deploy.frozen import plain_state
from edgehrnet.models.variants import find_variant
from edgehrnet.spec import ModelSpec
from quant.data.batches import SampleHeads, Samples
from quant.data.codecs import CODECS, usual_codec, with_codec
from quant.data.opening import open_data
from quant.scoring.torch_model import validate
from quant.training.losses import keypoint_loss
from quant.training.pose_losses import pose_loss
from quant.training.processes import World
from quant.training.settings import AMP_TYPES, TrainSettings


class DivergedError(EdgeHRNetError, ArithmeticError):
    """The loss is no number any more; the weights are those of the step before."""


class Ema:
    """A slow copy of a network: each float tensor is a running mean of the trained one (Polyak averaging)."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.network = copy.deepcopy(network).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Follow the network; early on faster, so that the random start is soon forgotten."""
        rate = 1 - min(self.decay, (1 + step) / (10 + step))
        for slow, fast in zip(self.network.state_dict().values(), network.state_dict().values(), strict=True):
            if slow.dtype.is_floating_point:
                slow.lerp_(fast, rate)
            else:
                slow.copy_(fast)


class Trainer:
    """One run in one folder: ``last.pt`` to resume from, ``ema.pt`` to use, ``log.jsonl``, ``settings.json``."""

    def __init__(self, settings: TrainSettings, out: Path, world: World | None = None) -> None:
        self.settings, self.out = settings, out
        self.world = world or World(device=settings.device)
        torch.manual_seed(settings.seed)
        self.device = torch.device(self.world.device)
        self.data = open_data(settings.data, settings.fold, augmented=settings.augment)
        self.spec = self._make_spec()
        self.codec = CODECS[settings.codec or usual_codec(self.spec)]
        network = self._make_network().to(self.device)
        self.network: KeypointNetwork = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.network.gives_offsets != (self.codec.decode in OFFSET_METHODS):
            raise InputError(
                f"codec {settings.codec!r} and {settings.model} do not agree on offsets; "
                "choose another codec, or --option offsets=true"
            )
        self.ema = Ema(self.network, settings.ema)
        self.trained: nn.Module = self.network
        if self.world.size > 1:
            # The small HRNets end in fusions that no head reads.
            self.trained = DistributedDataParallel(self.network, find_unused_parameters=True)
        self.optimizer = torch.optim.AdamW(_parameter_groups(self.network, settings.weight_decay))
        self.scaler = torch.amp.GradScaler(enabled=settings.amp == "fp16" and self.device.type == "cuda")
        self.step = 0

    def resume(self) -> None:
        """Go on from ``last.pt``; InputError if the settings are not the ones it was started with."""
        path = self.out / "last.pt"
        if not path.is_file():
            raise InputError(f"nothing to resume in {self.out}: start without --resume")
        state = torch.load(path, map_location=self.device, weights_only=True)
        before, now = json.loads(state["settings"]), json.loads(self._settings_json())
        if state["processes"] != self.world.size:
            raise InputError(f"{self.out} was trained by {state['processes']} processes; resume with as many")
        changed = [key for key in now if now[key] != before.get(key) and key not in ("workers", "device")]
        if changed:
            raise InputError(f"cannot resume with other {', '.join(changed)}; start a new --out")
        self.network.load_state_dict(state["network"])
        self.ema.network.load_state_dict(state["ema"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.step = state["step"]

    def run(self, *, progress: bool = True) -> dict[str, float | None]:
        """Train to the last step; return the last validation's scores.

        Raises InputError if the folder holds another run, which resume() would go on with.
        """
        settings = self.settings
        scores: dict[str, float | None] = {}
        if self.step == 0 and (self.out / "last.pt").exists():
            raise InputError(f"{self.out} holds a run already: go on with --resume, or choose another --out")
        if self.world.rank == 0:
            self.out.mkdir(parents=True, exist_ok=True)
            (self.out / "settings.json").write_text(self._settings_json() + "\n")
        bar = tqdm(total=settings.steps, initial=self.step, disable=not progress or self.world.rank > 0, unit="step")
        recent: deque[dict[str, float]] = deque(maxlen=50)
        started = time.perf_counter()
        for batch in self._batches():
            terms = self._train_step(batch)
            recent.append(terms)
            bar.set_postfix(loss=f"{sum(_means(recent).values()):.4f}", refresh=False)
            bar.update()
            last = self.step == settings.steps
            if self.world.rank == 0 and (self.step % settings.validate_every == 0 or last):
                scores = self._validate()
                seconds = round(time.perf_counter() - started, 1)
                self._log({"step": self.step, "seconds": seconds, "loss": _means(recent), **scores})
                self._save(scores)
        bar.close()
        return scores

    def _make_network(self) -> KeypointNetwork:
        settings = self.settings
        network = create(settings.model, keypoints=len(self.spec.keypoints), **settings.options)
        if settings.init is not None:
            start_from(network, settings.init)
        return network

    def _make_spec(self) -> ModelSpec:
        """How the trained network will be run: what the data, the network and the codec ask for."""
        settings, own = self.settings, dict(find_variant(self.settings.model).spec)
        spec = self.data.spec.replace(**{**own, "input_size": settings.largest_size})
        return with_codec(spec, settings.codec) if settings.codec else spec

    def _begin_step(self) -> None:
        """For what a kind of training changes along the way; the network is in training mode."""

    def _end_step(self) -> None:
        """For what has to follow the averaged network's update."""

    def _extra_loss(self, image: Tensor, output: Output) -> dict[str, Tensor]:  # noqa: ARG002
        """Terms of the loss that need no labels."""
        return {}

    def _batches(self) -> Iterator[dict[str, Tensor]]:
        settings, extras = self.settings, set(self.network.extra_outputs)
        heads = SampleHeads(auxiliary="aux_p3" in extras, outline=bool(extras & {"boundary", "sdf"}))
        samples = Samples(
            self.data,
            self.spec,
            self.step * settings.batch,
            (settings.steps - self.step) * settings.batch,
            batch=settings.batch,
            sizes=settings.sizes,
            seed=settings.seed,
            heads=heads,
            codec=self.codec,
            rank=self.world.rank,
            world=self.world.size,
        )
        return iter(DataLoader(samples, settings.batch, num_workers=settings.workers))

    def _train_step(self, batch: dict[str, Tensor]) -> dict[str, float]:
        settings = self.settings
        rate = settings.learning_rate_at(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        targets = {name: value.to(self.device, non_blocking=True) for name, value in batch.items()}
        image = network_input(targets.pop("image"), self.spec.mean, self.spec.std)
        kind = AMP_TYPES[settings.amp]
        self.trained.train()
        self._begin_step()
        with torch.autocast(self.device.type, kind) if kind else nullcontext():
            output = self.trained(image)
        cyclic = self.spec.cyclic and self.step >= settings.canonical * settings.steps
        if settings.loss is None and self.spec.heatmap_values == "logits":
            terms = keypoint_loss(output, targets, cyclic=cyclic, weights=settings.weights)
        else:
            terms = pose_loss(output, targets, settings.loss or "mse")
        terms |= self._extra_loss(image, output)
        values = {name: float(term.detach()) for name, term in terms.items()}
        if not math.isfinite(sum(values.values())):
            raise DivergedError(f"the loss of step {self.step} is no number: {values}; lower --learning-rate")
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(torch.stack(list(terms.values())).sum()).backward()  # type: ignore[no-untyped-call]
        self.scaler.unscale_(self.optimizer)
        nn.utils.clip_grad_norm_(self.network.parameters(), 5.0)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.ema.update(self.network, self.step)
        self._end_step()
        self.step += 1
        return values

    def _validate(self) -> dict[str, float | None]:
        return validate(self.ema.network, self.data, self.settings.validate_count, self.spec, self.device).as_dict()

    def _save(self, scores: dict[str, float | None]) -> None:
        state = {
            "settings": self._settings_json(),
            "step": self.step,
            "processes": self.world.size,
            "network": self.network.state_dict(),
            "ema": self.ema.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }
        _write_whole(self.out / "last.pt", state)
        training = {"settings": json.loads(self._settings_json()), "step": self.step, "scores": scores}
        save_checkpoint(
            self.out / "ema.pt",
            self.settings.model,
            {"keypoints": len(self.spec.keypoints), **self.settings.options},
            plain_state(self.ema.network),
            self.spec.to_dict(),
            training,
            dtype=torch.float16,
        )

    def _settings_json(self) -> str:
        return json.dumps(asdict(self.settings), indent=1)

    def _log(self, line: dict[str, Any]) -> None:
        with (self.out / "log.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")


def _means(steps: Iterable[dict[str, float]]) -> dict[str, float]:
    """The mean of each term of the loss over some steps."""
    columns: dict[str, list[float]] = {}
    for terms in steps:
        for name, value in terms.items():
            columns.setdefault(name, []).append(value)
    return {name: round(statistics.fmean(values), 6) for name, values in columns.items()}


def start_from(network: nn.Module, path: str) -> None:
    """Copy a checkpoint's weights; heads that it lacks, or has for other keypoints, stay as they are.

    Raises InputError if anything but a head is missing.
    """
    wanted = network.state_dict()
    given = load_checkpoint(path).state
    fitting = {name: value for name, value in given.items() if name in wanted and value.shape == wanted[name].shape}
    missing, _ = network.load_state_dict(fitting, strict=False)
    body = [name for name in missing if not name.startswith(("heads.", "auxiliary.", "head."))]
    if body:
        raise InputError(f"{path} does not fit this network; it has no {', '.join(body[:3])} of the right shape")


def _parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Decay convolution weights alone: shrinking BatchNorm or biases regularizes nothing."""
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return [{"params": weights, "weight_decay": weight_decay}, {"params": others, "weight_decay": 0.0}]


def _write_whole(path: Path, state: dict[str, Any]) -> None:
    """Write beside, then rename: an interruption never leaves half a file."""
    beside = path.with_suffix(".tmp")
    torch.save(state, beside)
    beside.replace(path)
