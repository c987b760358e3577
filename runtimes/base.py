"""Define what every runtime has in common: the Runtime protocol and the types that describe a loaded file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from runtimes.errors import BatchError, MissingFileError, ModelFileError
from runtimes.remote_address import Location

# uint8 or float32, see Input
Batch: TypeAlias = NDArray[Any]

METADATA_KEY = "edgehrnet"  # key under which a file stores its metadata
SIZE_KEY = "edgehrnet_input_size"  # key under which an ONNX file with open sides stores its own size, as 256x512
MODEL_INFO = "model_info"  # key under which OpenVINO's Model API looks for a description
INPUT = "image"  # name of the input tensor in files that this project builds
# element type of an input that is a picture -> its NumPy dtype, and the accepted numbers of channels
KINDS: Mapping[str, type[Any]] = {"u8": np.uint8, "f16": np.float16, "f32": np.float32, "f64": np.float64}
_CHANNELS = {"u8": (1, 3, 4), **dict.fromkeys(("f16", "f32", "f64"), (1, 3))}


def layout(kind: str, shape: Sequence[Any]) -> str | None:
    """Return the layout of an input, ``NHWC`` or ``NCHW``, or None if it is no picture.

    A shape that fits both is ``NHWC`` for bytes and ``NCHW`` for floats, as is usual.

    >>> layout("f32", [1, 3, 256, 192]), layout("f32", [1, 256, 192, 3]), layout("f32", [1, 1000])
    ('NCHW', 'NHWC', None)
    """
    accepted = _CHANNELS.get(kind, ())
    orders = ("NHWC", "NCHW") if kind == "u8" else ("NCHW", "NHWC")
    fitting = [order for order in orders if len(shape) == 4 and shape[order.index("C")] in accepted]
    return fitting[0] if fitting else None


@dataclass(frozen=True)
class Input:
    """Size, channels and layout of a model's input."""

    size: tuple[int, int]
    """(height, width) in pixels."""

    channels: int = 4
    """1 for gray, 3 for RGB, or 4 for RGB and a mask."""

    format: str = "u8 NHWC"
    """Type and layout. Files that this project builds have ``u8 NHWC``, uint8 ``[N, H, W, C]``. Those of other projects
    also have ``u8 NCHW``, ``float NCHW`` and ``float NHWC``, which is float32 whatever float type the file has."""

    @classmethod
    def read(cls, path: Location, kind: str, shape: Sequence[Any]) -> Input:
        """Derive the input from the element type and the shape that an engine reports.

        Args:
            path: Model file, named in the error.
            kind: Element type, such as ``u8`` or ``f32``.
            shape: Shape with a batch dimension of 1.

        Raises:
            ModelFileError: The input is no picture, or has an open dimension.
        """
        order = layout(kind, shape)
        static = all(isinstance(side, int) and side > 0 for side in shape)
        if order is None or not static or shape[0] != 1:
            raise ModelFileError(
                f"{path}: expected one picture as input, u8 [1, H, W, C] or [1, C, H, W] with C = 4 (RGB and mask), 3 "
                f"(RGB) or 1 (gray), or floats with C = 3 or 1; found {kind} {list(shape)}"
            )
        height, width, channels = (shape[order.index(axis)] for axis in "HWC")
        return cls((height, width), channels, f"{'u8' if kind == 'u8' else 'float'} {order}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one picture, without the batch dimension."""
        return (*self.size, self.channels) if self.format.endswith("NHWC") else (self.channels, *self.size)

    @property
    def dtype(self) -> type[np.uint8] | type[np.float32]:
        """NumPy dtype of the input."""
        return np.uint8 if self.format.startswith("u8") else np.float32

    def blank(self, count: int = 1) -> Batch:
        """Return a batch of pictures, all zeros."""
        return np.zeros((count, *self.shape), self.dtype)

    def check(self, batch: Batch, *, any_size: bool = False) -> tuple[int, int]:
        """Return (height, width) of a batch. Raise BatchError unless it has this dtype and shape.

        With ``any_size``, the height and width may be others.
        """
        order = self.format.split()[1]
        if batch.ndim == 4:
            size = batch.shape[order.index("H")], batch.shape[order.index("W")]
            expected = replace(self, size=size) if any_size and min(size) > 0 else self
            if batch.dtype == self.dtype and batch.shape[1:] == expected.shape:
                return size
        sides = dict(zip("HWC", ("H", "W", self.channels) if any_size else (*self.size, self.channels), strict=True))
        wanted = f"{np.dtype(self.dtype)} [N, {', '.join(str(sides[axis]) for axis in order[1:])}]"
        raise BatchError(f"expected {wanted}, got {batch.dtype} {list(batch.shape)}")


@dataclass(frozen=True)
class Description:
    """Facts about a loaded file and the device it runs on."""

    engine: str
    """Name of the engine, such as ``openvino``."""

    version: str
    """Version of the engine."""

    device: str
    """The engine's name of the device that really runs the file."""

    input: Input
    """Format of the input."""

    outputs: Mapping[str, tuple[int, ...]]
    """Shape of each output by name, with a batch dimension of 1."""

    metadata: str | None
    """Text stored in the file under `METADATA_KEY`, None if there is none."""

    resizes: bool = False
    """Whether ``run`` also takes inputs of another height and width."""

    @property
    def input_size(self) -> tuple[int, int]:
        """(height, width) of the input in pixels."""
        return self.input.size


@dataclass(frozen=True)
class Layer:
    """One operation as the engine really runs it."""

    name: str
    """Name that the engine gives the operation."""

    type: str
    """Kind of operation. ``Convolution`` has the same meaning in all engines."""

    precision: str
    """Data type in which it runs: ``f32``, ``f16``, ``u8``, ``i8``, or the engine's own word."""

    sources: tuple[str, ...] = ()
    """Names of the file's operations that were merged into this one."""

    macs: int = 0
    """Multiply-accumulate operations of a convolution, transposed convolution or matrix product, 0 for other types."""

    kernel: str = ""
    """Name of the code that runs it, such as ``brgconv_avx512_i8``. Empty where the engine does not say."""


@dataclass(frozen=True)
class Device:
    """A device as one engine sees it."""

    name: str
    """Value to pass as ``device=``."""

    title: str
    """Name of the chip, or the engine's description of the device."""

    properties: Mapping[str, str] = field(default_factory=dict)
    """Further properties under the engine's own names."""


class Runtime(Protocol):
    """One loaded file on one device. ``run`` may be called from several threads at once."""

    def run(self, image: Batch) -> dict[str, NDArray[np.float32]]:
        """Run a batch through the network.

        Args:
            image: Array with the dtype and shape that `Input` describes.

        Returns:
            Float32 outputs by name. The arrays belong to the caller.
        """
        ...

    def prepare(self, size: tuple[int, int], count: int = 1) -> bool:
        """Compile for ``count`` inputs of this (height, width) if needed, and return whether it was."""
        ...

    def describe(self) -> Description:
        """Return what is loaded and where it runs."""
        ...

    def settings(self) -> dict[str, Any]:
        """Return further facts that depend on the engine, such as ``inference_threads``."""
        ...

    def close(self) -> None:
        """Release all resources. A second call does nothing."""
        ...


def existing_file(path: str | Path) -> Path:
    """Return ``path`` as a Path, or raise MissingFileError."""
    path = Path(path)
    # Path.is_file raises an error for strings that cannot be file names; os.path.isfile returns False.
    if not os.path.isfile(path):  # noqa: PTH113
        problem = "is a folder" if os.path.isdir(path) else "does not exist"  # noqa: PTH112
        raise MissingFileError(f"model file {str(path)!r} {problem}; check the path, because nothing is downloaded")
    return path
