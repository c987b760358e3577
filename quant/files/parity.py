"""Compare the files built from one checkpoint with its float and fake-quantized networks.

All of them predict the same pictures, and the same decoder finds the keypoints.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgehrnet.certificate import Certificate
from edgehrnet.decoding import CONFIDENCE_THRESHOLD
from edgehrnet.errors import AbsentDeviceError, DeviceError, InputError, MissingExtraError, ModelFileError
from edgehrnet.models.checkpoints import Checkpoint
from edgehrnet.models.deploy.frozen import freeze
from edgehrnet.models.deploy.loading import computes_in, deployable, deployed_spec
from edgehrnet.preparation import prepare
from edgehrnet.selfcheck import correlation
from edgehrnet.spec import ModelSpec
from quant.data.examples import Example
from quant.scoring.metrics import keypoint_errors
from quant.scoring.model import Observation, open_model
from quant.scoring.torch_model import predict_torch

CPU = torch.device("cpu")
WITHIN = 0.01  # radius of PCK, as a share of the picture's diagonal


class Place(NamedTuple):
    """An engine and a device that files of one target run on."""

    engine: str
    """Name of engine and device on the page."""

    device: str
    """Device as `open_model` accepts it."""

    needs: str = ""
    """Hardware or package that it needs."""

    certified: bool = False
    """Whether the certificate's INT8 numbers were read there."""


PLACES = {
    "openvino": (
        Place("OpenVINO, CPU", "cpu", certified=True),
        Place("OpenVINO, GPU", "gpu", "an Intel GPU"),
    ),
    "onnx": (
        Place("ONNX Runtime, CPU", "cpu", "onnxruntime", certified=True),
        Place("ONNX Runtime, CUDA", "cuda", "onnxruntime-gpu and an NVIDIA GPU"),
    ),
    "tensorrt": (Place("TensorRT's file on ONNX Runtime, CPU", "cpu", "onnxruntime", certified=True),),
    "plan": (Place("TensorRT", "cuda", "the NVIDIA GPU that the plan is for", certified=True),),
}


@dataclass(frozen=True)
class File:
    """A file that was built, or that cannot be built here."""

    path: Path
    """Path of the file."""

    target: str
    """Engine that the file is for. ``plan`` is a TensorRT plan."""

    precision: str
    """``fp32``, ``fp16`` or ``int8``."""

    certificate: Certificate | None
    """Certificate of the file, None if it was not built."""

    missing: str = ""
    """Reason why the file was not built. Empty if it was built."""


@dataclass(frozen=True)
class Answers:
    """Predictions of one network or file for N pictures with K keypoints."""

    xy: NDArray[np.float64]
    """Keypoints ``(N, K, 2)`` in px of the network input."""

    heatmaps: NDArray[np.float32]
    """Heatmaps ``(N, K, h, w)``, 0 to 1."""

    pck1: float | None
    """Percentage of keypoints within one percent of the picture's diagonal, None without labels."""


@dataclass(frozen=True)
class Difference:
    """Distance of predictions from those of a reference."""

    keypoints: int
    """Number of keypoints that the reference is confident about. Distances are measured at these."""

    max_px: float | None
    """Largest distance in px of the network input, None without confident keypoints."""

    p99_px: float | None
    """99th percentile of the distance in px of the network input, None without confident keypoints."""

    pck1_points: float | None
    """Percentage points of PCK at one percent, positive if the reference is worse, None without labels."""

    correlation: float
    """Pearson correlation of the heatmaps. 1 is perfect."""


@dataclass(frozen=True)
class ParityRow:
    """Measurements of one file on one engine."""

    engine: str
    """Name of engine and device."""

    precision: str
    """``fp32``, ``fp16`` or ``int8``."""

    file: str
    """Name of the file, empty for a torch network."""

    megabytes: float
    """Size of the file in MB."""

    int8_macs: float | None = None
    """Share, 0 to 1, of the multiply-accumulates that the engine lists as INT8, None if it lists none."""

    floating: Difference | None = None
    """Difference from the float network, None if the file did not run."""

    fakequant: Difference | None = None
    """Difference from the network fake-quantized with the same ranges, None without quantizers."""

    distance: float | None = None
    """rms(engine - fakequant) / rms(fakequant - float) of the heatmaps, None without quantizers."""

    not_run: str = ""
    """Reason why the file did not run here, empty if it ran."""


@dataclass(frozen=True)
class Parity:
    """Comparison of all files on every engine."""

    rows: tuple[ParityRow, ...]
    """One row per file and engine."""

    pictures: int
    """Number of pictures that the files predicted."""

    torch: str
    """Version of torch, the reference."""


def agreement(
    checkpoint: Checkpoint,
    files: Sequence[File],
    examples: Sequence[Example],
    input_size: tuple[int, int] | None = None,
) -> Parity:
    """Predict the same pictures with every file, on every device that it may run on.

    Args:
        checkpoint: The checkpoint that the files were built from.
        files: The files. Rows are in their order, followed by the fake-quantized networks in float64.
        examples: Pictures to predict, labeled or not.
        input_size: (height, width) of the files in px, None for the checkpoint's.

    Raises:
        InputError: There are no examples.
    """
    if not examples:
        raise InputError("the files are compared on validation pictures, and the data has none; pass other --data")
    network = deployable(checkpoint)
    spec = deployed_spec(checkpoint, network, "fp32", input_size)

    def ask(net: nn.Module) -> Answers:
        return answer(lambda image, box=None: predict_torch(net, image, spec, CPU, box), examples, spec)

    floating = ask(network)
    rows: list[ParityRow] = []
    fakes: dict[str, Answers] = {}
    for target in sorted({_scheme(file) for file in files if file.precision == "int8"}):
        frozen = freeze(network, checkpoint.table(target), computes_in(target, "int8"))
        fakes[target] = ask(frozen)
        row = ParityRow(f"torch in float64, ranges for {target}", "int8", "", 0.0)
        rows.append(_compared(row, ask(copy.deepcopy(frozen).double()), floating, fakes[target], spec.cyclic))
    found = [
        _row(file, place, _run(file, place, examples), floating, fakes.get(_scheme(file)), cyclic=spec.cyclic)
        for file in files
        for place in PLACES[file.target]
    ]
    return Parity((*found, *rows), len(examples), torch.__version__)


def _scheme(file: File) -> str:
    """Return the target whose ranges a file has."""
    return "tensorrt" if file.target == "plan" else file.target


def _run(file: File, place: Place, examples: Sequence[Example]) -> Answers | str:
    """Predict with a file on one device. If it does not run there, return the reason."""
    if file.certificate is None:
        return file.missing
    try:
        with open_model(str(file.path), place.device, shapes=1) as model:
            return answer(model.observe, examples, model.spec)
    except (AbsentDeviceError, MissingExtraError):
        return f"needs {place.needs}"
    except (DeviceError, ModelFileError) as error:  # present, but failing
        return str(error)


def _row(
    file: File, place: Place, found: Answers | str, floating: Answers, fake: Answers | None, *, cyclic: bool
) -> ParityRow:
    certificate = file.certificate
    if certificate is None:
        return ParityRow(place.engine, file.precision, file.path.name, 0.0, not_run=str(found))
    share = certificate.int8_share if certificate.macs and place.certified else None
    row = ParityRow(place.engine, file.precision, file.path.name, round(certificate.bytes / 1e6, 2), share)
    if isinstance(found, str):
        return replace(row, not_run=found)
    return _compared(row, found, floating, fake if file.precision == "int8" else None, cyclic)


def _compared(row: ParityRow, found: Answers, floating: Answers, fake: Answers | None, cyclic: bool) -> ParityRow:
    row = replace(row, floating=difference(found, floating, cyclic=cyclic))
    if fake is None:
        return row
    apart = distance(found, fake, floating, cyclic=cyclic)
    return replace(row, fakequant=difference(found, fake, cyclic=cyclic), distance=apart)


def answer(observe: Callable[..., Observation], examples: Sequence[Example], spec: ModelSpec) -> Answers:
    """Predict each picture at the spec's input size. Labels for another number of keypoints are ignored."""
    points, maps, errors = [], [], []
    for example in examples:
        box = example.box_for(spec)
        xy, _, heatmaps = observe(example.image) if box is None else observe(example.image, box)
        _, (transform,) = prepare(example.image, spec, None if box is None else [box])
        height, width = example.image.shape[:2]
        points.append(xy * transform.scale)
        maps.append(heatmaps)
        if len(xy) == len(example.points):
            found = keypoint_errors(xy, example.points, example.visible, cyclic=spec.cyclic)
            errors.append(found[example.visible] / math.hypot(width, height))
    scored = np.concatenate(errors or [np.zeros(0)])
    pck1 = 100 * float((scored < WITHIN).mean()) if len(scored) else None
    return Answers(np.array(points), np.array(maps), pck1)


def difference(found: Answers, reference: Answers, *, cyclic: bool) -> Difference:
    """Compare predictions for the same pictures. Cyclic keypoints are first shifted to agree best."""
    found = _aligned(found, reference) if cyclic else found
    sure = reference.heatmaps.max(axis=(2, 3)) >= CONFIDENCE_THRESHOLD
    apart = np.linalg.norm(found.xy - reference.xy, axis=2)[sure]
    both = found.pck1 is not None and reference.pck1 is not None
    return Difference(
        keypoints=len(apart),
        max_px=round(float(apart.max()), 4) if len(apart) else None,
        p99_px=round(float(np.percentile(apart, 99)), 4) if len(apart) else None,
        pck1_points=round(found.pck1 - reference.pck1, 3) if both else None,  # type: ignore[operator]
        correlation=round(correlation(found.heatmaps, reference.heatmaps), 6),
    )


def distance(found: Answers, fakequant: Answers, floating: Answers, *, cyclic: bool) -> float | None:
    """Return rms(found - fakequant) / rms(fakequant - floating) of the heatmaps, None if the latter is 0."""
    near, far = (_aligned(x, fakequant) if cyclic else x for x in (found, floating))
    below = _rms(fakequant.heatmaps - far.heatmaps)
    return round(_rms(near.heatmaps - fakequant.heatmaps) / below, 4) if below else None


def _rms(values: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(values.astype(np.float64) ** 2)))


def _aligned(found: Answers, reference: Answers) -> Answers:
    """Roll the keypoints of each picture to where its heatmaps overlap the reference's most."""
    pairs = list(zip(found.heatmaps, reference.heatmaps, strict=True))
    count = found.xy.shape[1]
    shifts = [max(range(count), key=lambda s: float((np.roll(a, s, axis=0) * b).sum())) for a, b in pairs]
    xy = np.array([np.roll(points, s, axis=0) for points, s in zip(found.xy, shifts, strict=True)])
    maps = np.array([np.roll(a, s, axis=0) for (a, _), s in zip(pairs, shifts, strict=True)])
    return Answers(xy, maps, found.pck1)
