"""Check that an engine runs a built file in INT8 and computes the same heatmaps as torch.

A rounding flip is a value halfway between two levels that two correct engines round to different levels.

The error from float is measured on the logits, where every cell has the same weight. On heatmaps, it would depend on a
few peaks in a few pictures, and differ by a tenth between two correct engines. The distance from the fake-quantized
network is measured on the heatmaps, which are decoded. On logits, it would reach 0.6 in an empty background by rounding
flips alone.
"""

from __future__ import annotations

import copy
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import nn

from edgehrnet.certificate import Certificate
from edgehrnet.decoding import CONFIDENCE_THRESHOLD, activations
from edgehrnet.errors import EdgeHRNetError
from edgehrnet.spec import ModelSpec
from quant.files.layer_counts import INTEGER, certificate_of
from quant.scoring.torch_model import decode_outputs, prepare_input, run_network
from runtimes.base import Layer, Runtime
from runtimes.onnx import ONNXRuntime
from runtimes.openvino import OpenVINORuntime

PARITY = 1.05  # an engine may round differently from torch, but its error must not be larger
# Two correct engines differ by rounding flips, which later layers amplify. Between float32 and float64 of the same
# torch network, they reach 0.4 of the quantization error. With a wrong range or a missing quantizer, it is 1 or more.
DISTANCE = 0.6
# Where an engine fuses operations, it rounds biases, or rounds once where torch rounds twice. This alone reaches 0.7.
FUSED = 1.0
ROUNDING = 3.0  # engines also round biases and fused sums, which at least doubles the flips
LEAST_SQNR = 3.0  # dB: the noise has half the power of the signal


class CertificateError(EdgeHRNetError):
    """A built file does not run as requested, for example not in INT8. The file is not kept."""


@dataclass(frozen=True)
class Reference:
    """Networks to compare a file with, and what the file has to satisfy."""

    network: nn.Module | None
    """Float network with folded batch norm and without quantizers, None for a file that is not run."""

    quantized: nn.Module | None
    """The same network with its quantizers, None for a float file."""

    integer_convolutions: int
    """Number of convolutions that have to run in INT8."""

    limits_distance: bool = True
    """Whether to limit the distance to the fake-quantized network.

    False in float16, because its rounding changes the level of one value in twenty.
    """

    requires_int8: bool = True
    """Whether the engine has to run all these convolutions in INT8. ONNX Runtime does not."""


def certify(
    file: Path,
    layers: Sequence[Layer],
    reference: Reference,
    spec: ModelSpec,
    pictures: Sequence[NDArray[np.uint8]],
    *,
    engine: str | None = None,
) -> Certificate:
    """Run a built file on the CPU, compare it with torch, and return its certificate.

    Args:
        file: The file.
        layers: Layers as its engine lists them.
        reference: Networks to compare with.
        spec: Spec of the file.
        pictures: Pictures ``(H, W, 3)`` u8 RGB to compare on.
        engine: Name of the engine for a file that is not run and not measured, None for other files.

    Raises:
        CertificateError: A convolution that has to run in INT8 does not, the file exceeds `PARITY` or `DISTANCE`, or it
            is below `LEAST_SQNR`.
    """
    comparison = dict(_NOT_RUN, engine=engine) if engine else compare(file, reference, spec, pictures)
    count = 0 if engine else len(pictures)
    certificate = certificate_of(file, layers, reference.integer_convolutions, spec.precision, count, comparison)
    limits = _limits(file, certificate, reference, spec, pictures)
    in_float = [layer.name for layer in layers if layer.type == "Convolution" and layer.precision not in INTEGER]
    problems = list(_problems(certificate, in_float, limits, requires_int8=reference.requires_int8))
    if problems:
        raise CertificateError(f"{file.name} does not run as requested: {'; '.join(problems)}")
    return certificate


_NOT_RUN: Mapping[str, str | float | None] = {
    "device": "not run",
    "parity": None,
    "distance": None,
    "sqnr_db": None,
    "drift_median_px": None,
    "drift_mean_px": None,
    "drift_max_px": None,
}


def _limits(
    file: Path, certificate: Certificate, reference: Reference, spec: ModelSpec, pictures: Sequence[NDArray[np.uint8]]
) -> tuple[float, float]:
    """Return the largest accepted error of the file, and its largest accepted distance, both relative.

    Rounding flips are chance, and later layers amplify them. The same fake-quantized network in float64 is another
    correct outcome: its own error is sometimes a fifth larger than in float32 or float16, and it differs from it by up
    to three quarters of the quantization error. A file that exceeds `PARITY` or `DISTANCE` is therefore compared with
    this network, too, and refused if it is `PARITY` times worse, or `ROUNDING` times as far away. A file that is closer
    than `DISTANCE` where nothing is fused may be as far away as `FUSED`.
    """
    parity, distance = certificate.parity, certificate.distance
    limits_distance = reference.limits_distance and distance is not None
    far = limits_distance and distance is not None and not distance < DISTANCE
    bad = parity is not None and not parity < PARITY
    least = (PARITY, DISTANCE if limits_distance else math.inf)
    if not (far or bad):
        return least
    error, between = float64_twin(reference, spec, pictures)
    farthest = max(DISTANCE, ROUNDING * between) if limits_distance else math.inf
    if distance is not None and farthest <= distance < FUSED:
        as_written = compare(file, reference, spec, pictures, fuse=False)["distance"]
        assert isinstance(as_written, float)
        farthest = FUSED if as_written < DISTANCE else farthest
    return max(PARITY, PARITY * error), farthest


def float64_twin(reference: Reference, spec: ModelSpec, pictures: Sequence[NDArray[np.uint8]]) -> tuple[float, float]:
    """Run the fake-quantized network in float64, and return its error and its distance as a certificate has them.

    Returns:
        rms(float64 - float) / rms(fakequant - float) of the logits, and rms(float64 - fakequant) / rms(fakequant -
        float) of the heatmaps.
    """
    assert reference.network is not None
    assert reference.quantized is not None
    exact = copy.deepcopy(reference.quantized).double()
    power: defaultdict[str, float] = defaultdict(float)
    for picture in pictures:
        pixels, _ = prepare_input(picture, spec)
        true, fake, double = (
            run_network(network, pixels, spec)["heatmaps"]
            for network in (reference.network, reference.quantized, exact)
        )
        power["double logits"] += _power(double - true)
        power["fake logits"] += _power(fake - true)
        true, fake, double = (activations(maps[0], spec) for maps in (true, fake, double))
        power["between"] += _power(double - fake)
        power["fake"] += _power(fake - true)
    return _ratio(power["double logits"], power["fake logits"]), _ratio(power["between"], power["fake"])


def _problems(
    certificate: Certificate, in_float: list[str], limits: tuple[float, float], *, requires_int8: bool
) -> list[str]:
    found = []
    if requires_int8 and certificate.convolutions_int8 != certificate.convolutions_expected:
        shown = ", ".join(in_float[:3]) + (f" and {len(in_float) - 3} more" if len(in_float) > 3 else "")
        found.append(
            f"{certificate.convolutions_int8} of {certificate.convolutions} convolutions run in INT8, "
            f"{certificate.convolutions_expected} should; in float: {shown}"
        )
    if certificate.parity is not None and certificate.sqnr_db is not None and certificate.sqnr_db < LEAST_SQNR:
        found.append(
            f"its heatmaps have {certificate.sqnr_db:.1f} dB against the float network's, below {LEAST_SQNR:g}: "
            "INT8 leaves mostly noise, as in a network that was not trained"
        )
    if certificate.parity is not None and not certificate.parity < limits[0]:
        found.append(
            f"its error is {certificate.parity:.3f} times that of the fake-quantized network, over {limits[0]:.3g}"
        )
    if certificate.distance is not None and not certificate.distance < limits[1]:
        found.append(
            f"it differs from the fake-quantized network by {certificate.distance:.3f} of the quantization error, "
            f"over {limits[1]:.3g}"
        )
    return found


def compare(
    file: Path, reference: Reference, spec: ModelSpec, pictures: Sequence[NDArray[np.uint8]], *, fuse: bool = True
) -> dict[str, str | float | None]:
    """Run the file and its references on the same pictures and return the measured fields of the certificate.

    The file runs at the input size of the spec, which may be another than the file's if it takes others. With
    ``fuse=False``, the operations run as written.
    """
    power: defaultdict[str, float] = defaultdict(float)
    drifts: list[float] = []
    runtime: Runtime
    if file.suffix == ".xml":
        runtime = OpenVINORuntime(file, "cpu", input_size=spec.input_size, fuse=fuse)
    else:
        runtime = ONNXRuntime(file, "cpu", shapes=2, fuse=fuse)
    try:
        described, settings = runtime.describe(), runtime.settings()
        for picture in pictures:
            drifts += _compare_picture(runtime, reference, spec, picture, power)
    finally:
        runtime.close()
    quantized = reference.quantized is not None
    return {
        "engine": f"{described.engine} {described.version}",
        "device": str(settings.get("device_name", described.device)),
        "parity": _ratio(power["engine logits"], power["fakequant logits"]) if quantized else None,
        "distance": _ratio(power["between"], power["fakequant"]) if quantized else None,
        "sqnr_db": round(10 * math.log10(power["signal"] / max(power["engine"], 1e-30)), 3),
        # If a heatmap has two equal peaks, the last bit decides. That changes mean and maximum, but not the median.
        "drift_median_px": round(float(np.median(drifts)), 5) if drifts else None,
        "drift_mean_px": round(float(np.mean(drifts)), 5) if drifts else None,
        "drift_max_px": round(max(drifts), 5) if drifts else None,
    }


def _compare_picture(
    runtime: Runtime, reference: Reference, spec: ModelSpec, picture: NDArray[np.uint8], power: defaultdict[str, float]
) -> list[float]:
    """Add the squared sums of one picture to ``power``, and return keypoint drifts in px of the network input."""
    assert reference.network is not None
    pixels, transform = prepare_input(picture, spec)
    engine, exact = runtime.run(pixels.numpy()), run_network(reference.network, pixels, spec)
    heat, true = activations(engine["heatmaps"][0], spec), activations(exact["heatmaps"][0], spec)
    power["signal"] += _power(true)
    power["engine"] += _power(heat - true)
    if reference.quantized is not None:
        logits = run_network(reference.quantized, pixels, spec)["heatmaps"]
        fake = activations(logits[0], spec)
        power["fakequant"] += _power(fake - true)
        power["between"] += _power(heat - fake)
        power["engine logits"] += _power(engine["heatmaps"] - exact["heatmaps"])
        power["fakequant logits"] += _power(logits - exact["heatmaps"])
    xy, _, found_order = decode_outputs(engine, spec, transform)
    goal, conf, order = decode_outputs(exact, spec, transform)
    # Compared channel by channel, because the corner that comes first may be a tie.
    moved = (xy[found_order.argsort()] - goal[order.argsort()]) * transform.scale
    distances: list[float] = np.linalg.norm(moved, axis=1)[conf[order.argsort()] >= CONFIDENCE_THRESHOLD].tolist()
    return distances


def _power(values: NDArray[np.float32]) -> float:
    return float((values.astype(np.float64) ** 2).sum())


def _ratio(above: float, below: float) -> float:
    """Return the ratio of two rms values, given their squared sums. Infinite if ``below`` is 0."""
    return round(math.sqrt(above / below), 4) if below else math.inf
