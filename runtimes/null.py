"""A runtime without an engine, which returns the arrays stored in its file for every input.

Use it to test and develop code above the engines on a machine that has none. The file is a NumPy archive.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.base import Batch, Description, Input
from runtimes.digests import check_digest, digest_of
from runtimes.errors import ClosedError, DeviceError, ModelFileError
from runtimes.writing import write_file

_METADATA, _SIZE, _OUTPUT = "metadata", "input_size", "output_"

_DAMAGES = (LookupError, ValueError, OSError, EOFError, TypeError, ArithmeticError, MemoryError, zipfile.BadZipFile)


def build(
    out: Path, metadata: str | None, input_size: tuple[int, int], outputs: dict[str, NDArray[np.float32]]
) -> None:
    """Write a ``.null`` file.

    Args:
        out: File to write.
        metadata: Text that `Description.metadata` will hold, None for none.
        input_size: (height, width) of the pictures that the file accepts.
        outputs: Float32 arrays ``[1, ...]`` by output name, returned for every picture.
    """
    arrays: dict[str, NDArray[Any]] = {_OUTPUT + name: array for name, array in outputs.items()}
    arrays[_SIZE] = np.array(input_size)
    if metadata is not None:
        arrays[_METADATA] = np.array(metadata)

    def save(path: Path) -> None:
        with path.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type] # newer NumPy has one keyword of another type

    write_file(out, save)


class NullRuntime:
    """Runtime that returns stored outputs. Its only device is ``cpu``."""

    def __init__(
        self,
        path: Path,
        device: str | None = None,
        *,
        input_size: tuple[int, int] | None = None,
        threads: int | None = None,  # noqa: ARG002 - required by load()
        cache_dir: str | Path | None = None,  # noqa: ARG002
        digest: str | None = None,
    ) -> None:
        if device not in (None, "cpu"):
            raise DeviceError(f"device {device!r}: a .null file runs on cpu only")
        check_digest(path, digest_of(path), digest)
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                self._metadata = str(archive[_METADATA]) if _METADATA in archive else None
                height, width = (int(side) for side in archive[_SIZE])
                names = [name for name in archive.files if name.startswith(_OUTPUT)]
                self._outputs = {name.removeprefix(_OUTPUT): archive[name] for name in names}
        except _DAMAGES as error:
            raise ModelFileError(f"{path} is not a usable .null file: {error}") from None
        if input_size not in (None, (height, width)):
            raise ModelFileError(f"{path} runs at {height}x{width} only; leave out input_size")
        self._input = Input((height, width))
        self._closed = False

    def run(self, image: Batch) -> dict[str, NDArray[np.float32]]:
        """Return the stored arrays, repeated for each picture of the batch."""
        self._check_open()
        self._input.check(image)
        return {name: np.repeat(array, len(image), axis=0) for name, array in self._outputs.items()}

    def prepare(self, size: tuple[int, int], count: int = 1) -> bool:  # noqa: ARG002 - one of the protocol
        """Return False: there is nothing to compile for a size."""
        return False

    def describe(self) -> Description:
        """Return what is loaded."""
        self._check_open()
        shapes = {name: array.shape for name, array in self._outputs.items()}
        return Description("null", "1", "cpu", self._input, shapes, self._metadata)

    def settings(self) -> dict[str, Any]:
        """Return nothing: there is no engine."""
        return {}

    def close(self) -> None:
        """Release the arrays."""
        self._closed = True
        self._outputs = {}

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError
