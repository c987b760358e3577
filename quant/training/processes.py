"""Join the processes of one training run, as torchrun starts them, and open the device."""

from __future__ import annotations

import os
from dataclasses import dataclass
from types import TracebackType

import torch

from edgehrnet.errors import DeviceError


@dataclass(frozen=True)
class World:
    """Rank, world size and device of this process. A context manager that leaves the other processes at the end."""

    rank: int = 0
    """Index of this process. Process 0 writes the files."""
    size: int = 1
    """Number of processes."""
    device: str = "cpu"
    """Torch device of this process."""

    @classmethod
    def join(cls, device: str) -> World:
        """Join the other processes if torchrun started this one. With "cuda", each process takes one GPU.

        Raises:
            DeviceError: torch does not know the device, or it is not present.
        """
        if "WORLD_SIZE" not in os.environ:
            open_device(device)
            return cls(device=device)
        if device == "cuda":
            device = f"cuda:{os.environ['LOCAL_RANK']}"
        if open_device(device).type == "cuda":
            torch.cuda.set_device(device)
        torch.distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
        return cls(torch.distributed.get_rank(), torch.distributed.get_world_size(), device)

    def leave(self) -> None:
        """Leave the process group, if there is one."""
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()

    def __enter__(self) -> World:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.leave()


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
