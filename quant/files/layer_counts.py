"""Count the layers of a file for its certificate."""

from __future__ import annotations

import contextlib
import importlib.metadata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from edgehrnet.certificate import Certificate, digest, parts
from edgehrnet.spec import Precision
from runtimes.base import Layer

INTEGER = ("u8", "i8")
PACKAGES = ("torch", "openvino", "onnx", "onnxscript", "onnxruntime", "tensorrt-rtx-cu13", "tensorrt", "nncf", "numpy")


def certificate_of(
    file: Path,
    layers: Sequence[Layer],
    expected: int,
    precision: Precision,
    pictures: int,
    measured: Mapping[str, str | float | None],
) -> Certificate:
    """Return the certificate of a file.

    Args:
        file: The file.
        layers: Layers as its engine lists them.
        expected: Number of convolutions that should run in INT8.
        precision: Precision of the file.
        pictures: Number of pictures that it was measured on.
        measured: The fields of the certificate that were measured, and the engine and the device.
    """
    convolutions = [layer for layer in layers if layer.type == "Convolution"]
    return Certificate(
        file=file.name,
        digest=digest(file),
        bytes=sum(part.stat().st_size for part in parts(file)),
        precision=precision,
        convolutions=len(convolutions),
        convolutions_expected=expected,
        convolutions_int8=sum(layer.precision in INTEGER for layer in convolutions),
        macs=sum(layer.macs for layer in layers),
        macs_int8=sum(layer.macs for layer in layers if layer.precision in INTEGER),
        kernels=dict(Counter(layer.kernel for layer in convolutions if layer.kernel).most_common()),
        pictures=pictures,
        versions=_versions(),
        **measured,  # type: ignore[arg-type]
    )


def _versions() -> dict[str, str]:
    """Return the versions of the installed packages that may affect the file."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found
