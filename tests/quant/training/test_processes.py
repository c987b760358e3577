"""Processes of a run: how they meet again in the store of torchrun, and which one reports an error."""

import threading

import pytest
import torch
from torch.distributed import HashStore  # type: ignore[attr-defined]

from edgehrnet.errors import DeviceError, EdgeHRNetError, InputError
from quant.training import meeting
from quant.training.processes import LostProcessError, World, _one_message


def test_a_process_without_torchrun_is_alone(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with World.join("cpu") as world:
        assert world == World(0, 1)
        assert world.gather(3) == [3]
        assert world.broadcast("here") == "here"
        assert world.mean({"loss": 2.0}) == {"loss": 2.0}


def test_an_absent_device_is_refused():
    with pytest.raises(DeviceError, match="gpu9"), World.join("gpu9"):
        pass


def test_an_environment_with_some_of_the_variables_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with pytest.raises(InputError, match="LOCAL_RANK"), World.join("cpu"):
        pass


def met(monkeypatch, store, size):
    """Return the key "who" in the stores that processes get who meet in ``store``, where process 0 wrote it."""
    here = threading.local()
    monkeypatch.setattr(meeting, "rendezvous", lambda url: iter([(store, here.rank, size)]))
    stores = {}

    def start(rank):
        here.rank = rank
        stores[rank] = meeting.meet()[0]

    threads = [threading.Thread(target=start, args=(rank,), daemon=True) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert len(stores) == size
    return [stores[rank] for rank in range(size)]


def test_processes_that_start_again_share_a_store_without_old_entries(monkeypatch):
    shared = HashStore()
    for size in (3, 2, 3):  # the third machine is lost, and comes back
        stores = met(monkeypatch, shared, size)
        assert not stores[0].check(["address"])
        stores[0].set("address", str(size))
        assert [store.get("address") for store in stores] == [str(size).encode()] * size


def failing(store, error):
    with _one_message(store):
        raise error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InputError("no pictures"), InputError),
        (RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer"), LostProcessError),
        (torch.distributed.DistBackendError("NCCL communicator was aborted"), LostProcessError),
        (RuntimeError("a mistake of ours"), RuntimeError),
    ],
)
def test_the_first_process_that_fails_reports_it(error, kind):
    store = HashStore()
    with pytest.raises(kind) as first:
        failing(store, error)
    assert type(first.value) is kind
    with pytest.raises(SystemExit) as second:
        failing(store, EdgeHRNetError("the same"))
    assert second.value.code == 2
