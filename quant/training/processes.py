"""One training run in several processes, as torchrun starts them."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class World:
    """Which of how many processes this is, and its device; torchrun says so in the environment."""

    rank: int = 0
    size: int = 1
    device: str = "cpu"

    @classmethod
    def join(cls, device: str) -> World:
        """Join the other processes if torchrun started this one; each takes the GPU of its own number."""
        if "WORLD_SIZE" not in os.environ:
            return cls(device=device)
        if device == "cuda":
            device = f"cuda:{os.environ['LOCAL_RANK']}"
            torch.cuda.set_device(device)
        torch.distributed.init_process_group("nccl" if device.startswith("cuda") else "gloo")
        return cls(torch.distributed.get_rank(), torch.distributed.get_world_size(), device)

    def leave(self) -> None:
        """Part from the other processes, if there are any."""
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
