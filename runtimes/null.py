"""A runtime without an engine: answers every input with the arrays stored in its file.

For tests and for developing what lies above an engine on a machine that has none. The file is a NumPy archive.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtimes.base import Batch, ClosedError, Description, DeviceError, Input, ModelFileError

_METADATA, _SIZE, _OUTPUT = "metadata", "input_size", "output_"


def build(
    out: Path, metadata: str | None, input_size: tuple[int, int], outputs: dict[str, NDArray[np.float32]]
) -> None:
    """Write a file that answers with ``outputs``, each ``[1, ...]`` float32, at ``input_size`` (height, width)."""
    arrays: dict[str, NDArray[Any]] = {_OUTPUT + name: array for name, array in outputs.items()}
    arrays[_SIZE] = np.array(input_size)
    if metadata is not None:
        arrays[_METADATA] = np.array(metadata)
    with out.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type] # its only keyword of another type is newer


class NullRuntime:
    """Replays stored outputs; see Runtime."""

    def __init__(
        self,
        path: Path,
        device: str | None = None,
        *,
        input_size: tuple[int, int] | None = None,
        threads: int | None = None,  # noqa: ARG002 - every runtime takes these
        cache_dir: str | Path | None = None,  # noqa: ARG002
    ) -> None:
        if device not in (None, "cpu"):
            raise DeviceError(f"device {device!r}: the null runtime has no device but 'cpu'")
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                self._metadata = str(archive[_METADATA]) if _METADATA in archive else None
                height, width = (int(side) for side in archive[_SIZE])
                names = [name for name in archive.files if name.startswith(_OUTPUT)]
                self._outputs = {name.removeprefix(_OUTPUT): archive[name] for name in names}
        except (KeyError, ValueError, OSError, EOFError, TypeError, zipfile.BadZipFile) as error:
            raise ModelFileError(f"{path} is not a null-runtime file: {error}") from None
        if input_size not in (None, (height, width)):
            raise ModelFileError(f"{path} answers at {height}x{width} only; leave out input_size")
        self._input = Input((height, width))
        self._closed = False

    def run(self, image: Batch) -> dict[str, NDArray[np.float32]]:
        """Return the stored arrays, once for each picture of the batch."""
        self._check_open()
        self._input.check(image)
        return {name: np.repeat(array, len(image), axis=0) for name, array in self._outputs.items()}

    def describe(self) -> Description:
        """Say what is loaded."""
        self._check_open()
        shapes = {name: array.shape for name, array in self._outputs.items()}
        return Description("null", "1", "cpu", self._input, shapes, self._metadata)

    def close(self) -> None:
        """Release the arrays."""
        self._closed = True
        self._outputs = {}

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("this runtime is closed; load the file again")
