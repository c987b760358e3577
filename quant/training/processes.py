"""Join the processes of one training run, as torchrun starts them, and open the device."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed import Store  # type: ignore[attr-defined]

from edgehrnet.errors import DeviceError, EdgeHRNetError, InputError
from quant.training.meeting import meet

T = TypeVar("T")
FAILED = 2
"""Exit status of a process that leaves the message to another one."""
PATIENCE = timedelta(hours=12)
"""For how long processes wait while process 0 validates or builds files."""
VARIABLES = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""What torchrun sets in the environment, besides WORLD_SIZE."""


class LostProcessError(EdgeHRNetError, ConnectionError):
    """Another process of the run has ended, and this one cannot go on alone."""


@dataclass(frozen=True)
class World:
    """Rank, world size and device of this process, and what the processes of a run tell each other."""

    rank: int = 0
    """Index of this process. Process 0 writes the files."""
    size: int = 1
    """Number of processes."""
    device: str = "cpu"
    """Torch device of this process."""
    elastic: bool = False
    """Whether torchrun started this process. It may start it again, with the same command."""
    _patient: Any = field(default=None, repr=False, compare=False)
    """Process group in which processes may wait for long."""

    @classmethod
    @contextmanager
    def join(cls, device: str) -> Iterator[World]:
        """Join the other processes if torchrun started this one, and leave them at the end of the block.

        With "cuda", each process takes one GPU. If processes fail, the first one raises its error, and the others end
        without a word. All of them stay until process 0 is done.

        Raises:
            DeviceError: torch does not know the device, or it is not present.
            InputError: the environment has only some of torchrun's variables.
            LostProcessError: another process has ended.
        """
        if "WORLD_SIZE" not in os.environ:
            open_device(device)
            yield cls(device=device)
            return
        store, world = _joined(device)
        with _one_message(store):
            if open_device(world.device).type == "cuda":
                torch.cuda.set_device(world.device)
            yield world
            world.gather(None)
        distributed.destroy_process_group()

    def gather(self, value: T) -> list[T]:
        """Return the value of each process. All processes wait for the last one."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        distributed.all_gather_object(values, value, group=self._patient)
        return values

    def broadcast(self, value: T, source: int = 0) -> T:
        """Return the value of process ``source``."""
        if self.size == 1:
            return value
        values = [value]
        distributed.broadcast_object_list(values, source, group=self._patient)
        return values[0]

    def mean(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return the mean of the processes for each key. All have the same keys."""
        if self.size == 1:
            return dict(values)
        total = torch.tensor(list(values.values()), dtype=torch.float64, device=self.device)
        distributed.all_reduce(total)
        return dict(zip(values, (total / self.size).tolist(), strict=True))

    @torch.no_grad()
    def share_buffers(self, network: nn.Module) -> None:
        """Give all processes the buffers of process 0: batch-norm statistics, and ranges of quantizers."""
        if self.size == 1:
            return
        alike: dict[torch.dtype, list[Tensor]] = defaultdict(list)
        for buffer in network.buffers():
            alike[buffer.dtype].append(buffer)
        for buffers in alike.values():
            joined = torch.cat([buffer.flatten() for buffer in buffers])
            distributed.broadcast(joined, 0)
            parts = torch.split(joined, [buffer.numel() for buffer in buffers])
            for buffer, values in zip(buffers, parts, strict=True):
                buffer.copy_(values.view_as(buffer))


def _joined(device: str) -> tuple[Store, World]:
    """Open the process group of torchrun. Return its store, and this process."""
    lacking = [name for name in VARIABLES if name not in os.environ]
    if lacking:
        raise InputError(
            f"WORLD_SIZE is set, but not {', '.join(lacking)}; start several processes with torchrun --nproc-per-node "
            "N -m quant.train ..., or a single one without WORLD_SIZE"
        )
    if device == "cuda":
        device = f"cuda:{os.environ['LOCAL_RANK']}"
    gpu = device.startswith("cuda") and torch.cuda.is_available() and distributed.is_nccl_available()
    store, rank, size = meet()
    distributed.init_process_group("cpu:gloo,cuda:nccl" if gpu else "gloo", store=store, rank=rank, world_size=size)
    patient = distributed.new_group(backend="gloo", timeout=PATIENCE)
    return store, World(rank, size, device, distributed.is_torchelastic_launched(), patient)


@contextmanager
def _one_message(store: Store) -> Iterator[None]:
    """Let the first process that fails raise its error, and end the others that share the store."""
    try:
        yield
    except Exception as error:
        lost = isinstance(error, distributed.DistError) or "gloo" in str(error)
        try:
            first = store.add("failed", 1) == 1
        except RuntimeError:  # its machine is lost
            first = True
        if not first:
            raise SystemExit(FAILED) from None
        if lost:
            raise LostProcessError(
                "another process of this run has ended; torchrun starts all of them again, from the last checkpoint, "
                "if it was started with --max-restarts 3"
            ) from None
        raise


def open_device(name: str) -> torch.device:
    """Return the torch device with this name.

    Raises:
        DeviceError: torch does not know the device, or it is not present.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DeviceError(f"--device {name}: {reason}; use --device cpu") from None
    return device
