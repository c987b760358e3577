"""Run checkpoints with torch during development, in float or with fake quantization.

The caller passes a function that builds the network, so this module does not know what a checkpoint contains.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from runtimes.base import Batch, Description, Input
from runtimes.errors import (
    AbsentDeviceError,
    ClosedError,
    DeviceError,
    EdgeHRNetError,
    MissingExtraError,
    ModelFileError,
)
from runtimes.ports import groups

if TYPE_CHECKING:
    import torch
    from torch import nn

    # path -> (module in eval mode that returns float32 tensors by name, metadata, input)
    Loader: TypeAlias = Callable[[Path], tuple[nn.Module, str, Input]]

_THREADS = threading.Lock()  # torch has one thread count for the whole process
_process: int | None = None  # the process that loaded the last file
_forked = False  # whether that process was forked from one that had loaded a file


def _enter_process() -> bool:
    """Note which process loads a file, and return whether it was forked from one that had loaded a file.

    torch's threads do not exist in a forked process, where an operation on several threads waits for them forever. On
    one thread torch works there.
    """
    import torch

    global _process, _forked
    if _process not in (None, os.getpid()):
        _forked = True
        torch.set_num_threads(1)
    _process = os.getpid()
    return _forked


def _check_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(f"a .pt file needs torch ({error}); type: pip install 'edgehrnet[train]'") from None


class TorchRuntime:
    """Runtime of one checkpoint as a torch module. It is thread-safe.

    Devices are ``cpu`` (the default), ``cuda`` and ``cuda:1`` (or ``gpu``, ``gpu.1``). On CUDA, torch rounds the
    inputs of float32 convolutions to TF32 unless the process disables that. If ``threads`` is given, torch's thread
    count is changed during each run and restored afterwards, and such runs take turns. ``cache_dir`` is not used. With
    ``shapes`` above 1, `run` also takes inputs of other sizes, any number of them.

    A runtime belongs to the process that loaded it. In a forked process it raises ClosedError, where torch would wait
    forever. The forked process may load the file again. There torch runs on one thread from then on, whatever
    ``threads`` is.
    """

    def __init__(
        self,
        path: Path,
        device: str | None = None,
        *,
        input_size: tuple[int, int] | None = None,
        threads: int | None = None,
        cache_dir: str | Path | None = None,  # noqa: ARG002 - required by load()
        shapes: int = 1,
        batch: int = 1,
        loader: Loader | None = None,
    ) -> None:
        _check_torch()
        if loader is None:
            raise ModelFileError(
                f"{path} contains weights but no network; pass loader=, a function that builds the network"
            )
        self._path, self._threads = path, 1 if _enter_process() else threads
        self._process, self._resizes, self._batch = os.getpid(), shapes > 1, batch
        self._device = _device(device)
        module, self._metadata, default = loader(path)
        self._input = replace(default, size=input_size or default.size)
        self._module: nn.Module | None = module.to(self._device)
        try:
            first = self._forward(self._module, self._input.blank())
        except (RuntimeError, EdgeHRNetError) as error:
            height, width = self._input.size
            raise ModelFileError(f"{path} cannot run at {height}x{width} on {self._device}: {error}") from None
        self._shapes = {name: array.shape for name, array in first.items()}

    def run(self, image: Batch) -> dict[str, NDArray[np.float32]]:
        """Run pictures, see ``batch`` of `runtimes.load`. The outputs belong to the caller."""
        module = self._open_module()  # a reference that stays valid if another thread calls close()
        self._input.check(image, any_size=self._resizes)
        shapes = {name: (0, *shape[1:]) for name, shape in self._shapes.items()}
        outputs = {name: np.empty(shape, np.float32) for name, shape in shapes.items()}
        try:
            for some in groups(len(image), self._batch):
                for name, array in self._forward(module, image[some]).items():
                    if some.start == 0:
                        outputs[name] = np.empty((len(image), *array.shape[1:]), np.float32)
                    outputs[name][some] = array
        except RuntimeError as error:
            raise ModelFileError(f"{self._path} fails on {self._device}: {error}") from None
        return outputs

    def prepare(self, size: tuple[int, int], count: int = 1) -> bool:  # noqa: ARG002 - one of the protocol
        """Return False: there is nothing to compile for a size."""
        return False

    def describe(self) -> Description:
        """Return what is loaded and where it runs."""
        import torch

        self._open_module()
        return Description(
            engine="torch",
            version=torch.__version__,
            device=str(self._device),
            input=self._input,
            outputs=self._shapes,
            metadata=self._metadata,
            resizes=self._resizes,
        )

    def settings(self) -> dict[str, Any]:
        """Return the name of the GPU, if it is one, and the number of threads."""
        import torch

        threads = {"inference_threads": self._threads or torch.get_num_threads()}
        gpu = self._device.type == "cuda"
        return {"device_name": torch.cuda.get_device_name(self._device), **threads} if gpu else threads

    def close(self) -> None:
        """Release the network. Calls in progress still finish, and the last one frees it."""
        self._module = None

    def _forward(self, module: nn.Module, image: Batch) -> dict[str, NDArray[np.float32]]:
        import torch

        # Copied, because torch rejects negative strides and warns about read-only arrays.
        tensor = torch.from_numpy(image.copy()).to(self._device)
        with torch.inference_mode(), _threads(self._threads):
            return {name: output.cpu().numpy() for name, output in module(tensor).items()}

    def _open_module(self) -> nn.Module:
        module = self._module
        if module is None:
            raise ClosedError
        if self._process != os.getpid():
            raise ClosedError(
                f"{self._path} was loaded by process {self._process}, and torch does not run it in process "
                f"{os.getpid()}, which was forked from that one; load the file again in the forked process, where it "
                "runs on one thread, or load it after the fork only, or start processes with the method 'spawn'"
            )
        return module


def _device(device: str | None) -> torch.device:
    """Convert a device name such as ``gpu.1``. Raise DeviceError if it is unknown or absent."""
    import torch

    name = "cpu" if device is None else str(device).lower()
    if name == "cpu":
        return torch.device("cpu")
    match = re.fullmatch(r"(?:cuda|gpu)(?:[:.](\d+))?", name)
    if match is None:
        raise DeviceError(f"device {device!r}: a .pt file runs on cpu, cuda or cuda:1 (or gpu, gpu.1)")
    index, count = int(match[1] or 0), torch.cuda.device_count()
    if index >= count:
        raise AbsentDeviceError(
            f"device {device!r} is not present: torch finds {count} CUDA devices, counted from cuda:0"
        )
    return torch.device("cuda", index)


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Set torch's number of CPU threads inside the context. None changes nothing."""
    import torch

    if count is None:
        yield
        return
    with _THREADS:
        before = torch.get_num_threads()
        torch.set_num_threads(count)
        try:
            yield
        finally:
            torch.set_num_threads(before)
