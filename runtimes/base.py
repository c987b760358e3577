"""What every runtime is: the root exception, the errors of files and devices, and the Runtime protocol.

Errors
------
::

    EdgeHRNetError
    ├── ModelFileError           the file cannot be used: corrupt, incomplete, not one of ours
    │   ├── MissingFileError     (also FileNotFoundError)
    │   ├── UnknownSuffixError   (also ValueError)
    │   └── MissingSpecError     the file carries no ModelSpec
    ├── DeviceError              (also ValueError) the engine of this file does not know or cannot use the device
    │   └── AbsentDeviceError    the device is not here
    ├── MissingExtraError        (also ImportError) the text names the ``pip install``
    ├── BatchError               (also ValueError) what run() was given is no batch for the loaded file
    └── ClosedError              (also RuntimeError) run() after close()

``edgehrnet.errors`` re-exports these and adds the ones of pictures and arguments.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

METADATA_KEY = "edgehrnet"  # under which a file holds its metadata
INPUT = "image"  # name of a built file's input


class EdgeHRNetError(Exception):
    """Root of every error this project raises on purpose."""


class ModelFileError(EdgeHRNetError):
    """The model file cannot be used."""


class MissingFileError(ModelFileError, FileNotFoundError):
    """There is no such file. Nothing is ever downloaded instead."""


class UnknownSuffixError(ModelFileError, ValueError):
    """No runtime handles files with this suffix."""


class MissingSpecError(ModelFileError):
    """The file does not say how its input is prepared and its output decoded."""


class DeviceError(EdgeHRNetError, ValueError):
    """The device is absent, or the engine of this file cannot use it."""


class AbsentDeviceError(DeviceError):
    """The device is known to the engine and not here."""


class MissingExtraError(EdgeHRNetError, ImportError):
    """An optional dependency is needed for what was asked."""


class BatchError(EdgeHRNetError, ValueError):
    """The array given to run() is no batch for the loaded file."""


class ClosedError(EdgeHRNetError, RuntimeError):
    """The runtime was used after close()."""


@dataclass(frozen=True)
class Description:
    """What a loaded file is and where it runs.

    ``input_size`` is (height, width) in pixels; ``outputs`` maps each name to its shape with N=1;
    ``device`` is what the engine calls the device that really runs; ``settings`` are the engine's own.
    """

    engine: str
    version: str
    device: str
    input_size: tuple[int, int]
    outputs: Mapping[str, tuple[int, ...]]
    metadata: str | None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Layer:
    """One operation as the engine really runs it.

    ``precision`` is the engine's word (``f32``, ``u8``, ...). ``sources``: the names of the file's operations that
    became this one. ``macs``: multiply-accumulates of a convolution, 0 of everything else.
    """

    name: str
    type: str
    precision: str
    sources: tuple[str, ...] = ()
    macs: int = 0


@dataclass(frozen=True)
class Device:
    """A device as one engine sees it.

    ``name``: what to pass as ``device=``; ``title``: the chip, or whatever the engine calls it; ``properties``: what
    else the engine tells, by its own names.
    """

    name: str
    title: str
    properties: Mapping[str, str] = field(default_factory=dict)


class Runtime(Protocol):
    """One loaded file on one device. ``run`` may be called from several threads at once."""

    def run(self, image: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Map a u8 batch ``[N, H, W, 4]`` (RGB + mask, 0..255) to named float32 outputs that the caller owns."""
        ...

    def describe(self) -> Description:
        """Say what is loaded and where it runs."""
        ...

    def close(self) -> None:
        """Release everything; a second call does nothing."""
        ...


def existing_file(path: str | Path) -> Path:
    """Return ``path`` as a Path, or raise MissingFileError."""
    path = Path(path)
    # Path.is_file raises for what cannot be a file name; os.path says no.
    if not os.path.isfile(path):  # noqa: PTH113
        what = "is a folder" if os.path.isdir(path) else "does not exist"  # noqa: PTH112
        raise MissingFileError(f"model file {str(path)!r} {what}; nothing is downloaded, check the path")
    return path


def check_batch(image: NDArray[np.uint8], size: tuple[int, int]) -> None:
    """Raise BatchError unless ``image`` is u8 ``[N, H, W, 4]`` with ``size`` = (H, W)."""
    if image.dtype != np.uint8 or image.ndim != 4 or image.shape[1:] != (*size, 4):
        raise BatchError(f"expected uint8 [N, {size[0]}, {size[1]}, 4], got {image.dtype} {list(image.shape)}")
