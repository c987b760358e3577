"""Checkpoints, run by torch itself: for development, float or with the rounding of INT8 imitated.

What a checkpoint holds, and which network it is of, is the caller's business: it passes the function that builds it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from runtimes.base import (
    AbsentDeviceError,
    Batch,
    ClosedError,
    Description,
    DeviceError,
    EdgeHRNetError,
    Input,
    MissingExtraError,
    ModelFileError,
)

if TYPE_CHECKING:
    import torch
    from torch import nn

    # path -> a module in eval mode to named float32 tensors, its metadata, and what it reads
    Loader: TypeAlias = Callable[[Path], tuple[nn.Module, str, Input]]

_THREADS = threading.Lock()  # torch has one number of threads for the whole process


def _check_torch() -> None:
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(f"a .pt file needs torch ({error}); type: pip install 'edgehrnet[train]'") from None


class TorchRuntime:
    """One checkpoint as a torch module; see Runtime. Safe to call from several threads.

    ``device``: None or ``cpu``; ``cuda``, ``cuda:1`` (or ``gpu``, ``gpu.1``). There, torch rounds the inputs of float32
    convolutions to TF32 unless the process says otherwise. ``threads``: None leaves torch its own number; one that is
    given holds during each run and is set back after it, and such runs take turns. ``cache_dir`` stays unused.
    """

    def __init__(
        self,
        path: Path,
        device: str | None = None,
        *,
        input_size: tuple[int, int] | None = None,
        threads: int | None = None,
        cache_dir: str | Path | None = None,  # noqa: ARG002 - every runtime takes it
        loader: Loader | None = None,
    ) -> None:
        _check_torch()
        if loader is None:
            raise ModelFileError(f"{path} holds weights, not a network; open it with edgehrnet.Predictor")
        self._path, self._threads = path, threads
        self._device = _device(device)
        module, self._metadata, own = loader(path)
        self._input = replace(own, size=input_size or own.size)
        self._module: nn.Module | None = module.to(self._device)
        try:
            first = self._forward(self._module, self._input.blank())
        except (RuntimeError, EdgeHRNetError) as error:
            height, width = self._input.size
            raise ModelFileError(f"{path} cannot run at {height}x{width} on {self._device}: {error}") from None
        self._shapes = {name: array.shape for name, array in first.items()}

    def run(self, image: Batch) -> dict[str, NDArray[np.float32]]:
        """Run a batch, one picture after the other; the outputs belong to the caller."""
        module = self._open_module()  # kept until the end, whoever closes the runtime meanwhile
        self._input.check(image)
        outputs = {name: np.empty((len(image), *shape[1:]), np.float32) for name, shape in self._shapes.items()}
        try:
            for n in range(len(image)):
                for name, array in self._forward(module, image[n : n + 1]).items():
                    outputs[name][n] = array[0]
        except RuntimeError as error:
            raise ModelFileError(f"{self._path} fails on {self._device}: {error}") from None
        return outputs

    def describe(self) -> Description:
        """Say what is loaded and on which device it runs."""
        import torch

        self._open_module()
        gpu = self._device.type == "cuda"
        settings = {
            "device_name": torch.cuda.get_device_name(self._device) if gpu else "",
            "inference_threads": self._threads or torch.get_num_threads(),
        }
        return Description(
            engine="torch",
            version=torch.__version__,
            device=str(self._device),
            input=self._input,
            outputs=self._shapes,
            metadata=self._metadata,
            settings={key: value for key, value in settings.items() if value},
        )

    def close(self) -> None:
        """Release the network; calls in flight still end, on what is freed with the last of them."""
        self._module = None

    def _forward(self, module: nn.Module, image: Batch) -> dict[str, NDArray[np.float32]]:
        import torch

        # Copied: torch takes neither negative strides nor, without a warning, an array that it may not write to.
        tensor = torch.from_numpy(image.copy()).to(self._device)
        with torch.inference_mode(), _threads(self._threads):
            return {name: output.cpu().numpy() for name, output in module(tensor).items()}

    def _open_module(self) -> nn.Module:
        module = self._module
        if module is None:
            raise ClosedError("this runtime is closed; load the file again")
        return module


def _device(device: str | None) -> torch.device:
    """``gpu.1`` -> ``cuda:1``; DeviceError for what torch does not have here."""
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
            f"device {device!r} is not present: torch sees {count} CUDA devices here, counted from 0"
        )
    return torch.device("cuda", index)


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """Let torch use ``count`` CPU threads within; None changes nothing."""
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
