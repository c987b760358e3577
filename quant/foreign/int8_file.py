"""Make an INT8 file of a float file, with its spec, golden pair and certificate."""

from __future__ import annotations

import math
import tempfile
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehrnet import Predictor, Result
from edgehrnet.certificate import Certificate, parts
from edgehrnet.decoding import CONFIDENCE_THRESHOLD
from edgehrnet.errors import InputError, NoBoxesWarning
from edgehrnet.golden import GOLDEN_PICTURE_BYTES, Golden
from edgehrnet.model_info import model_info
from edgehrnet.preparation import formatted, prepare
from quant.files.layer_counts import INTEGER, certificate_of
from quant.files.model_file import PROOF_PICTURES, SUFFIX, copy_model, shrink_to_png
from quant.files.proof import LEAST_SQNR, CertificateError
from quant.foreign.quantizers import quantize_for_onnx, quantize_for_openvino
from runtimes.base import Batch, Layer
from runtimes.remote_address import RemoteModel

SOURCES = (".onnx", ".xml")


@dataclass(frozen=True)
class Int8File:
    """An INT8 file that was made of a float file."""

    path: Path
    """Path of the file."""

    certificate: Certificate
    """Its certificate."""

    in_float: tuple[Layer, ...]
    """The operations with multiplications that its engine runs in float, the largest first."""


def check_target(source: Path, target: str, keep_float: Collection[str] = ()) -> None:
    """Raise InputError unless files of this kind can be quantized for the engine."""
    accepted = ("openvino", "onnx") if source.suffix == ".onnx" else ("openvino",)
    if target not in accepted:
        raise InputError(f"--targets {target}: {source} can be quantized for {' and '.join(accepted)} only")
    if target == "onnx" and keep_float:
        raise InputError(
            f"--keep-float {' '.join(keep_float)}: ONNX Runtime would run it on integers all the same; use --targets "
            "openvino, or leave out --keep-float"
        )


def quantize_file(
    floating: Predictor,
    target: str,
    folder: Path,
    pictures: Sequence[NDArray[np.uint8]],
    *,
    name: str | None = None,
    keep_float: Collection[str] = (),
) -> Int8File:
    """Quantize a float file, write the result as ``NAME-int8`` with its certificate, and return both.

    Args:
        floating: An ONNX or OpenVINO file, opened on a CPU with ``shapes=1``, so that heatmaps have one size.
        target: Engine to quantize for, ``openvino`` or ``onnx``.
        folder: Folder to write to.
        pictures: Calibration pictures ``(H, W, 3)`` u8 RGB. Both files are compared on the first `PROOF_PICTURES`.
        name: Start of the file name. None is the name of the model.
        keep_float: Names of the file's operations that stay in float, for ``openvino`` only.

    Raises:
        InputError: The file is quantized already, or an argument is not accepted.
        MissingExtraError: The quantizer is not installed.
        ModelFileError: The file cannot be quantized.
        CertificateError: The INT8 file gives something else than the float file. Nothing is written.
    """
    source, given = floating.path, floating.spec
    if isinstance(source, RemoteModel):
        raise InputError(f"{source} is on a server; pass the path of a model file")
    check_target(source, target, keep_float)
    with tempfile.TemporaryDirectory() as temporary:
        made = given.replace(precision="int8", golden=_golden(floating, pictures[0]))
        built = Path(temporary) / f"{name or given.name}-int8{SUFFIX[target]}"

        def prepared(picture: NDArray[np.uint8]) -> Batch:
            return formatted(prepare(picture, given)[0], given)

        notes = made.to_json(), model_info(made)
        if target == "openvino":
            layers, expected = quantize_for_openvino(
                source, built, pictures, prepared, given.input_size, notes, keep_float
            )
        else:
            layers, expected = quantize_for_onnx(source, built, pictures, prepared, given.input_size, notes)
        proof = pictures[:PROOF_PICTURES]
        certificate = certificate_of(built, layers, expected, "int8", len(proof), _measured(floating, built, proof))
        if certificate.sqnr_db is not None and certificate.sqnr_db < LEAST_SQNR:
            raise CertificateError(
                f"{built.name} does not give what {source} gives: its heatmaps have {certificate.sqnr_db:.1f} dB, "
                f"below {LEAST_SQNR:g}; calibrate on pictures of its kind, or keep its last operations in float"
            )
        folder.mkdir(parents=True, exist_ok=True)
        copy_model(folder / built.name, *parts(built), certificate.save(built))
    left = sorted((layer for layer in layers if layer.macs and layer.precision not in INTEGER), key=_fewer)
    return Int8File(folder / built.name, certificate, tuple(left))


def drift(certificate: Certificate) -> str:
    """Say in one line how far the keypoints of an INT8 file are from those of the float file."""
    values = (certificate.drift_median_px, certificate.drift_mean_px, certificate.drift_max_px)
    start = "keypoints against the float file"
    if None in values:
        return f"{start}: not measured, none reached the confidence threshold"
    names = ("median", "mean", "maximum")
    shown = ", ".join(f"{value:.3f} px {name}" for name, value in zip(names, values, strict=True))
    return f"{start}: {shown}, in pixels of the network input, on {certificate.pictures} pictures"


def _fewer(layer: Layer) -> int:
    return -layer.macs


def _golden(floating: Predictor, picture: NDArray[np.uint8]) -> Golden:
    """Shrink a picture to fit into the file, and run the float file on it."""
    image = shrink_to_png(picture, GOLDEN_PICTURE_BYTES)
    result = _result(floating, image)
    return Golden.pack(image, result.keypoints.xy[0], result.keypoints.conf[0], result.heatmaps[0])


def _result(predictor: Predictor, picture: NDArray[np.uint8]) -> Result:
    """Run a file on a picture, which is a crop already if the network takes crops."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoBoxesWarning)
        return predictor.predict(picture)


def _measured(floating: Predictor, built: Path, pictures: Sequence[NDArray[np.uint8]]) -> dict[str, str | float | None]:
    """Run both files on the same pictures, and return the measured fields of the certificate."""
    signal, noise = 0.0, 0.0
    moved: list[float] = []
    with Predictor(built, shapes=1) as integer:
        info = integer.info()
        for picture in pictures:
            goal, found = _result(floating, picture), _result(integer, picture)
            signal += float((goal.heatmaps.astype(np.float64) ** 2).sum())
            noise += float(((found.heatmaps - goal.heatmaps).astype(np.float64) ** 2).sum())
            moved += _distances(goal, found)
    return {
        "engine": f"{info['engine']} {info['version']}",
        "device": str(info["settings"].get("device_name", info["device"])),
        "parity": None,
        "distance": None,
        "sqnr_db": round(10 * math.log10(signal / max(noise, 1e-30)), 3) if signal else None,
        "drift_median_px": round(float(np.median(moved)), 5) if moved else None,
        "drift_mean_px": round(float(np.mean(moved)), 5) if moved else None,
        "drift_max_px": round(max(moved), 5) if moved else None,
    }


def _distances(goal: Result, found: Result) -> list[float]:
    """Return how far each keypoint moved, in px of the network input, where the float file is confident.

    Which corner of an outline is the first may depend on rounding, so the nearest start counts.
    """
    starts = range(len(goal.spec.keypoints)) if goal.spec.cyclic else (0,)
    xy, scale = found.keypoints.xy[0], goal.transform.scale
    each = [np.linalg.norm((np.roll(xy, s, axis=0) - goal.keypoints.xy[0]) * scale, axis=1) for s in starts]
    nearest_start = min(each, key=lambda distances: float(distances.sum()))
    distances: list[float] = nearest_start[goal.keypoints.conf[0] >= CONFIDENCE_THRESHOLD].tolist()
    return distances
