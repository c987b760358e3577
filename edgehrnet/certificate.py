"""The certificate of a model file: what its engine really ran when it was built, and how far that is from float.

It lies beside the file, see certificate_path.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgehrnet.errors import MissingFileError, ModelFileError

SUFFIX = ".certificate.json"


@dataclass(frozen=True)
class Certificate:
    """What was read back from the engine right after a file was built.

    Attributes:
        file, digest, bytes: name, SHA-256 and size of the file, its weights included.
        quantization: ``int8``, ``float16`` or ``float32``, as in its ModelSpec.
        engine, device: what compiled it, in the engine's own words.
        convolutions, convolutions_expected, convolutions_int8: all of them; those that ought to run on integers;
            those that did.
        macs, macs_int8: multiply-accumulates of one picture, and those of them in integer convolutions.
        pictures: how many the rest was measured on; 0 if the file was not run, and the rest is None.
        parity: rms(engine - float) / rms(fakequant - float) of the heatmaps' logits: 1 if the engine is as far from
            float as the fake-quantized network is. None of a float file.
        distance: rms(engine - fakequant) / rms(fakequant - float) of the heatmaps; None of a float file.
        sqnr_db: of the engine's heatmaps against the float network's, in dB.
        drift_median_px, drift_mean_px, drift_max_px: how far the engine's keypoints are from the float network's, in
            pixels of the network input, where the float network is certain.
        versions: of the packages that made the file.
    """

    file: str
    digest: str
    bytes: int
    quantization: str
    engine: str
    device: str
    convolutions: int
    convolutions_expected: int
    convolutions_int8: int
    macs: int
    macs_int8: int
    pictures: int
    parity: float | None
    distance: float | None
    sqnr_db: float | None
    drift_median_px: float | None
    drift_mean_px: float | None
    drift_max_px: float | None
    versions: dict[str, str] = field(default_factory=dict)

    def save(self, model: Path) -> Path:
        """Write it beside the model file; return where."""
        path = certificate_path(model)
        path.write_text(json.dumps(dataclasses.asdict(self), indent=1) + "\n")
        return path


def certificate_path(model: Path) -> Path:
    """Where the certificate of a model file lies: ``a.certificate.json`` of ``a.xml``, else with the whole name.

    >>> [certificate_path(Path(name)).name for name in ("a.xml", "a.onnx")]
    ['a.certificate.json', 'a.onnx.certificate.json']
    """
    return model.with_suffix(SUFFIX) if model.suffix == ".xml" else model.with_name(model.name + SUFFIX)


def read_certificate(model: Path) -> Certificate | None:
    """Return the certificate that lies beside a model file, None if there is none.

    Raises ModelFileError if what lies there is no certificate, or that of another file.
    """
    path = certificate_path(model)
    if not path.is_file():
        return None
    try:
        values: dict[str, Any] = json.loads(path.read_text())
        certificate = Certificate(**values)
    except (ValueError, TypeError) as error:
        raise ModelFileError(f"{path} is no certificate: {error}") from None
    if certificate.digest != digest(model):
        raise ModelFileError(f"{path} belongs to another {model.name}; build the file again, or remove {path.name}")
    return certificate


def digest(model: Path) -> str:
    """SHA-256 of a model file and, of an OpenVINO file, of the weights beside it; MissingFileError without a part."""
    total = hashlib.sha256()
    for part in parts(model):
        if not part.is_file():
            raise MissingFileError(f"{part} is not there; copy or build {model.name} again")
        total.update(part.read_bytes())
    return total.hexdigest()


def parts(model: Path) -> list[Path]:
    """The files that make up a model."""
    return [model, model.with_suffix(".bin")] if model.suffix == ".xml" else [model]
