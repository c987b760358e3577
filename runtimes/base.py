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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Batch: TypeAlias = NDArray[Any]  # u8 or float32, see Input

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


U8, FLOAT = "u8 NHWC", "float NCHW"


@dataclass(frozen=True)
class Input:
    """What a file reads: pictures of ``size`` (height, width) with ``channels`` 3 (RGB) or 4 (and a mask).

    ``format``: `U8`, bytes ``[N, H, W, C]``, of the files that the project builds; `FLOAT`, float32 ``[N, 3, H, W]``.
    """

    size: tuple[int, int]
    channels: int = 4
    format: str = U8

    @classmethod
    def read(cls, path: Path, kind: str, shape: Sequence[Any]) -> Input:
        """Understand an input's element type (``u8``, ``f32``) and shape; ModelFileError if it is none of the two."""
        where = {"u8": (U8, 3, (3, 4), slice(1, 3)), "f32": (FLOAT, 1, (3,), slice(2, 4))}.get(kind)
        static = len(shape) == 4 and all(isinstance(side, int) and side > 0 for side in shape[1:])
        if where is None or not static or shape[0] != 1 or shape[where[1]] not in where[2]:
            raise ModelFileError(
                f"{path}: expected one static input, u8 [1, H, W, 4] (RGB and mask) or [1, H, W, 3], or float32 "
                f"[1, 3, H, W]; found {kind} {list(shape)}"
            )
        name, channel, _, sides = where
        return cls((shape[sides][0], shape[sides][1]), shape[channel], name)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one picture, without N."""
        return (*self.size, self.channels) if self.format == U8 else (self.channels, *self.size)

    @property
    def dtype(self) -> type[np.uint8] | type[np.float32]:
        """Of its numbers."""
        return np.uint8 if self.format == U8 else np.float32

    def blank(self) -> Batch:
        """A batch of one, all zero."""
        return np.zeros((1, *self.shape), self.dtype)

    def check(self, batch: Batch) -> None:
        """Raise BatchError unless ``batch`` holds such pictures."""
        if batch.dtype != self.dtype or batch.ndim != 4 or batch.shape[1:] != self.shape:
            wanted = f"{np.dtype(self.dtype)} [N, {', '.join(map(str, self.shape))}]"
            raise BatchError(f"expected {wanted}, got {batch.dtype} {list(batch.shape)}")


@dataclass(frozen=True)
class Description:
    """What a loaded file is and where it runs.

    ``outputs`` maps each name to its shape with N=1;
    ``device`` is what the engine calls the device that really runs; ``settings`` are the engine's own.
    """

    engine: str
    version: str
    device: str
    input: Input
    outputs: Mapping[str, tuple[int, ...]]
    metadata: str | None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the input, in pixels."""
        return self.input.size


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

    def run(self, image: Batch) -> dict[str, NDArray[np.float32]]:
        """Map a batch of what the file reads, see Input, to named float32 outputs that the caller owns."""
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
