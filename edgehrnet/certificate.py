"""Save and read the certificate beside a model file: what its engine ran, and how far that is from float."""

from __future__ import annotations

import dataclasses
import json
import reprlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgehrnet.errors import MissingFileError, ModelFileError, SpecError
from edgehrnet.records import LATER, check_types, pack_record, unpack_record
from edgehrnet.spec import Precision
from runtimes.digests import sha256_of
from runtimes.json_files import read_json
from runtimes.writing import finish_writing, write_file

FORMAT = 1
SUFFIX = ".certificate.json"
MAX_DRIFT = 1.0  # px of the network input; a quarter of a heatmap cell at the usual stride of 4


SIZE_NUMBERS = ("pictures", "sqnr_db", "drift_median_px", "drift_mean_px", "drift_max_px")
"""Numbers, or None, in each entry of `Certificate.sizes`."""


@dataclass(frozen=True)
class Certificate:
    """Measurements read back from the engine right after a file was built."""

    file: str
    """Name of the model file."""
    digest: str
    """SHA-256 of the file, including its weights."""
    bytes: int
    """Size of the file in bytes, including its weights."""
    precision: Precision
    """Precision of the file: ``fp32``, ``fp16`` or ``int8``."""
    engine: str
    """Name and version of the engine that compiled the file."""
    device: str
    """Device that ran it, as the engine calls it."""
    convolutions: int
    """Number of convolutions."""
    convolutions_expected: int
    """Number of convolutions that should run in int8."""
    convolutions_int8: int
    """Number of convolutions that did run in int8."""
    macs: int
    """Multiply-accumulates for one picture of everything that multiplies: convolutions, transposed ones, matrix
    products."""
    macs_int8: int
    """Those of them that run in int8."""
    pictures: int
    """Number of pictures the fields below were measured on. If 0, the file was not run and they are None."""
    parity: float | None
    """rms(engine - float) / rms(fakequant - float) of the heatmap logits. 1 if the engine is as far from float as the
    fake-quantized network is. None for a float file."""
    distance: float | None
    """rms(engine - fakequant) / rms(fakequant - float) of the heatmaps. None for a float file."""
    sqnr_db: float | None
    """Signal-to-quantization-noise ratio of the engine's heatmaps to the float network's, in dB."""
    drift_median_px: float | None
    """Median distance of the engine's keypoints from the float network's, in network input pixels, where the float
    network is confident. None if it is confident of no keypoint."""
    drift_mean_px: float | None
    """Mean of the same distance."""
    drift_max_px: float | None
    """Maximum of the same distance."""
    kernels: dict[str, int] = field(default_factory=dict)
    """Number of convolutions by the engine's name of the code that runs them. Empty where it does not say."""
    sizes: tuple[dict[str, Any], ...] = field(default=(), metadata=LATER)
    """The same at the smallest and the largest input that the pictures have without padding: ``input_size`` [height,
    width], ``pictures``, ``sqnr_db`` and the three drifts. Empty where the input size is fixed."""
    versions: dict[str, str] = field(default_factory=dict)
    """Versions of the packages that made the file."""
    int8_cost: str = field(default="", metadata=LATER)
    """What INT8 costs, in words, see `int8_cost`. Empty for float files and for those that were not run."""
    corrections: tuple[str, ...] = field(default=(), metadata=LATER)
    """Corrections that the ranges and weights of an INT8 file were made with, see `quant.ptq`."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Optional fields of a newer release, kept and written back."""

    @property
    def int8_share(self) -> float:
        """Share of the MACs that run on integers, 0..1. Of the convolutions if the engine does not list MACs."""
        done, total = (self.macs_int8, self.macs) if self.macs else (self.convolutions_int8, self.convolutions)
        return done / max(1, total)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values. ``from_dict`` is the inverse."""
        return pack_record(self, FORMAT)

    @classmethod
    def from_dict(cls, values: Any) -> Certificate:
        """Build a certificate from the output of to_dict.

        Unknown fields that the file lists as ``optional`` are kept in ``extra``. Raises SpecError for other unknown
        fields, and TypeError for missing ones.
        """
        known = {item.name for item in dataclasses.fields(cls)}
        certificate = cls(**unpack_record(values, known, FORMAT, "certificate"))
        check_types(certificate)
        for row in certificate.sizes:
            _check_size_row(row)
        return certificate

    def save(self, model: Path) -> Path:
        """Write the certificate beside the model file and return its path."""
        path = certificate_path(model)
        write_file(path, json.dumps(self.to_dict(), indent=1) + "\n")
        return path


def int8_cost(sqnr_db: float | None, drift_median_px: float | None, max_drift: float = MAX_DRIFT) -> str:
    """Say in one line what INT8 costs against float, and what to try if that is too much.

    Args:
        sqnr_db: Signal-to-quantization-noise ratio of the heatmaps, in dB. None if the file gives no heatmaps.
        drift_median_px: Median distance that keypoints move, in pixels of the network input. None if not measured.
        max_drift: Largest accepted distance.

    >>> int8_cost(29.27, 0.087)
    '29.3 dB, 0.09 px median: within 1 px'
    """
    noise = "no heatmaps" if sqnr_db is None else f"{sqnr_db:.1f} dB"
    if drift_median_px is None:
        return f"{noise}; drift not measured: no keypoint reached the confidence threshold"
    cost = f"{noise}, {drift_median_px:.2f} px median"
    if drift_median_px <= max_drift:
        return f"{cost}: within {max_drift:g} px"
    return (
        f"{cost}: too much, over {max_drift:g} px; try python -m quant.ptq with --corrections auto, with pictures "
        "like those of the application, or with --float-budget 0.2, and then python -m quant.qat"
    )


def _check_size_row(row: Any) -> None:
    """Raise SpecError unless an entry of `Certificate.sizes` has a size, and numbers or nothing."""
    values = row if isinstance(row, Mapping) else {}
    size = values.get("input_size")
    numbers = [values.get(name) for name in SIZE_NUMBERS]
    is_size = isinstance(size, list | tuple) and len(size) == 2 and all(isinstance(side, int) for side in size)
    if not is_size or not all(value is None or isinstance(value, int | float) for value in numbers):
        raise SpecError(f"sizes has {reprlib.repr(row)}; it must have input_size [height, width] and {SIZE_NUMBERS}")


def certificate_path(model: Path) -> Path:
    """Return the path of a model file's certificate. The suffix ``.xml`` is left out, all others are kept.

    >>> [certificate_path(Path(name)).name for name in ("a.xml", "a.onnx")]
    ['a.certificate.json', 'a.onnx.certificate.json']
    """
    return model.with_suffix(SUFFIX) if model.suffix == ".xml" else model.with_name(model.name + SUFFIX)


def read_certificate(model: Path) -> Certificate | None:
    """Return the certificate beside a model file, or None if there is none.

    Whether it belongs to the file is known only when its digest is compared, which `runtimes.load` does.

    Raises:
        ModelFileError: The certificate cannot be read.
    """
    path = certificate_path(model)
    with suppress(OSError):  # a folder that cannot be written to
        finish_writing(model.parent)
    if not path.is_file():
        return None
    try:
        return Certificate.from_dict(read_json(path))
    except (OSError, ValueError, TypeError) as error:
        raise ModelFileError(f"{path} cannot be read as a certificate: {error}") from None


def digest(model: Path) -> str:
    """Return the SHA-256 of a model file, including the weights beside an OpenVINO file.

    Raises MissingFileError if a part is missing.
    """
    for part in parts(model):
        if not part.is_file():
            raise MissingFileError(f"{part} does not exist; copy or build {model.name} again")
    return sha256_of(parts(model))


def parts(model: Path) -> list[Path]:
    """Return the files that make up a model."""
    return [model, model.with_suffix(".bin")] if model.suffix == ".xml" else [model]
