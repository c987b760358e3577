"""Find the state that a training run has saved, and share its steps among processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgehrnet.errors import InputError
from edgehrnet.models.checkpoints.state_dicts import read_file
from quant.training.processes import World
from runtimes.writing import finish_writing

LEAST = 2
"""Pictures that each process needs in a step, for batch-norm."""


def newest_state(out: Path, world: World) -> Any:
    """Return the content of ``last.pt``, the same in every process, or None if there is none.

    Machines need not share the folder: the newest file that a process sees is sent to the others.

    Raises:
        ModelFileError: the file is damaged.
    """
    finish_writing(out)
    path = out / "last.pt"
    state = read_file(path) if path.is_file() else None
    steps = world.gather(-1 if state is None else _step(state))
    return world.broadcast(state, steps.index(max(steps)))


def _step(state: Any) -> int:
    step = state.get("step") if isinstance(state, dict) else None
    return step if isinstance(step, int) else 0


def check_shares(out: Path, pictures: int, processes: int) -> None:
    """Refuse processes that cannot share the pictures of a step equally.

    Raises:
        InputError: the pictures are too few for the processes, or no multiple of them.
    """
    if pictures % processes or pictures < LEAST * processes:
        accepted = [str(n) for n in range(1, pictures // LEAST + 1) if pictures % n == 0]
        raise InputError(
            f"the run in {out} takes {pictures} pictures in a step, which {processes} processes cannot share equally; "
            f"start {', '.join(accepted)} of them, with --nnodes and --nproc-per-node of torchrun"
        )
