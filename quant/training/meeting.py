"""Let the processes that torchrun has started find each other, also after a restart."""

from __future__ import annotations

import time
import uuid
from datetime import timedelta

from torch.distributed import PrefixStore, Store  # type: ignore[attr-defined]
from torch.distributed.rendezvous import rendezvous

POLL_S = 0.01
"""Seconds between two looks at the store."""
WAIT = timedelta(minutes=30)
"""For how long a process waits for the others to start."""


def meet() -> tuple[Store, int, int]:
    """Return a store without old entries that all processes share, the rank of this one, and their number.

    torchrun keeps one store for all its starts. The processes of a later start would find the addresses of those that
    have ended, and the number of the start may differ between machines. So process 0 makes up a new prefix each time.

    Raises:
        DistError: another process or the store cannot be reached. A RuntimeError of torch.
    """
    shared, rank, size = next(rendezvous("env://"))
    prefix = _invite(shared, size) if rank == 0 else _accept(shared, rank)
    return PrefixStore(prefix, shared), rank, size


def _invite(store: Store, size: int) -> str:
    """Answer each process that calls until all of them have heard of the new prefix."""
    prefix = uuid.uuid4().hex
    deadline = time.monotonic() + WAIT.total_seconds()
    while store.add(f"{prefix}/heard", 0) < size - 1:
        for rank in range(1, size):
            # The call may be one of an earlier start. Nobody reads the answer then.
            if store.check([f"call/{rank}"]):
                store.set(f"answer/{store.get(f'call/{rank}').decode()}", prefix)
        if time.monotonic() > deadline:
            raise TimeoutError(
                f"only some of {size} processes have started; see the output of torchrun on each machine"
            )
        time.sleep(POLL_S)
    return prefix


def _accept(store: Store, rank: int) -> str:
    """Call process 0 by a new name, and return the prefix that it answers."""
    name = uuid.uuid4().hex
    store.set(f"call/{rank}", name)
    store.wait([f"answer/{name}"], WAIT)
    prefix = store.get(f"answer/{name}").decode()
    store.add(f"{prefix}/heard", 1)
    return prefix
