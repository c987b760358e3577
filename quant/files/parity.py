"""Do the files that one checkpoint became agree? Each against the float network and the fake-quantized one.

All of them answer the same pictures through the same decoder, and are compared by what they answer.
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
from edgehrnet.decoding import CERTAIN
from edgehrnet.errors import AbsentDeviceError, DeviceError, InputError, MissingExtraError, ModelFileError
from edgehrnet.models.checkpoints import Checkpoint
from edgehrnet.models.deploy.frozen import freeze
from edgehrnet.models.deploy.loading import computes_in, deployable, deployed_spec
from edgehrnet.preparation import prepare
from edgehrnet.selfcheck import correlation
from edgehrnet.spec import ModelSpec
from quant.data.examples import Box, Example
from quant.scoring.metrics import keypoint_errors
from quant.scoring.model import Observation, open_model
from quant.scoring.torch_model import predict_torch

WITHIN = 0.01  # of the picture's diagonal: PCK's radius


class Place(NamedTuple):
    """A device that files of one target run on: what the report calls it, and what it takes.

    ``certified``: what a file's certificate says of INT8 was read there.
    """

    engine: str
    device: str
    needs: str = ""
    certified: bool = False


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
    """A built file: for which target (``plan`` is a TensorRT plan), in which precision, and what it was certified.

    Without a certificate it was not built; ``missing`` says why.
    """

    path: Path
    target: str
    precision: str
    certificate: Certificate | None
    missing: str = ""


@dataclass(frozen=True)
class Answers:
    """Answers of one network or file: N pictures, K keypoints.

    ``xy`` ``(N, K, 2)`` in px of the network input, ``heatmaps`` ``(N, K, h, w)`` 0..1, ``pck1``: percent of the
    keypoints within one percent of the picture's diagonal, None without labels.
    """

    xy: NDArray[np.float64]
    heatmaps: NDArray[np.float32]
    pck1: float | None


@dataclass(frozen=True)
class Difference:
    """Difference between answers and those of a reference.

    ``keypoints``: how many the reference is certain of; ``max_px``, ``p99_px``: largest and 99th percentile of the
    distance between those, in px of the network input, None if there are none; ``pck1_points``: percentage points of
    PCK at one percent, positive where the reference is worse, None without labels; ``correlation``: Pearson's, of the
    heatmaps, 1 is perfect, 0 if there is none to speak of.
    """

    keypoints: int
    max_px: float | None
    p99_px: float | None
    pck1_points: float | None
    correlation: float


@dataclass(frozen=True)
class Row:
    """One file on one engine.

    ``int8_macs``: share 0..1 of the multiply-accumulates that the engine says run on integers, None if it does not
    say. ``floating``, ``fakequant``: against the float network, and against the one that is fake-quantized with the
    same ranges. ``distance``: rms(engine - fakequant) / rms(fakequant - float) of the heatmaps, None without
    quantizers. ``not_run``: what is
    missing here, empty if it ran.
    """

    engine: str
    precision: str
    file: str
    megabytes: float
    int8_macs: float | None = None
    floating: Difference | None = None
    fakequant: Difference | None = None
    distance: float | None = None
    not_run: str = ""


@dataclass(frozen=True)
class Parity:
    """The rows of a report, on how many pictures they were measured, and which torch was the reference."""

    rows: tuple[Row, ...]
    pictures: int
    torch: str


def agreement(
    checkpoint: Checkpoint,
    files: Sequence[File],
    examples: Sequence[Example],
    input_size: tuple[int, int] | None = None,
) -> Parity:
    """Ask every file for the same pictures, on every device that it could run on.

    ``input_size`` (height, width): of the files; None for the checkpoint's. Rows come in the order of the files; after
    them the fake-quantized networks computed in float64. Raises InputError without a picture.
    """
    if not examples:
        raise InputError("the files are compared on pictures that the data holds back; it holds none")
    network = deployable(checkpoint)
    spec = deployed_spec(checkpoint, network, "fp32", input_size)

    def ask(net: nn.Module) -> Answers:
        def observe(image: NDArray[np.uint8], box: Box | None = None) -> Observation:
            return predict_torch(net, image, spec, torch.device("cpu"), box)

        return answer(observe, examples, spec)

    floating = ask(network)
    rows: list[Row] = []
    fakes: dict[str, Answers] = {}
    for target in sorted({_scheme(file) for file in files if file.precision == "int8"}):
        dtype = computes_in(target, "int8")
        frozen = freeze(network, checkpoint.table(target), dtype)
        fakes[target] = ask(frozen)
        name = f"torch in float64, ranges for {target}"
        exact = ask(copy.deepcopy(frozen).double())
        rows.append(_compared(Row(name, "int8", "", 0.0), exact, floating, fakes[target], spec.cyclic))
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
    """Ask a file on one device; why not, if it does not run there."""
    if file.certificate is None:
        return file.missing
    try:
        with open_model(str(file.path), place.device) as model:
            return answer(model.observe, examples, model.spec)
    except (AbsentDeviceError, MissingExtraError):
        return f"needs {place.needs}"
    except (DeviceError, ModelFileError) as error:  # it is here, and fails
        return str(error)


def _row(
    file: File, place: Place, found: Answers | str, floating: Answers, fake: Answers | None, *, cyclic: bool
) -> Row:
    certificate = file.certificate
    if certificate is None:
        return Row(place.engine, file.precision, file.path.name, 0.0, not_run=str(found))
    share = certificate.macs_int8 / certificate.macs if certificate.macs and place.certified else None
    row = Row(place.engine, file.precision, file.path.name, round(certificate.bytes / 1e6, 2), share)
    if isinstance(found, str):
        return replace(row, not_run=found)
    return _compared(row, found, floating, fake if file.precision == "int8" else None, cyclic)


def _compared(row: Row, found: Answers, floating: Answers, fake: Answers | None, cyclic: bool) -> Row:
    row = replace(row, floating=difference(found, floating, cyclic=cyclic))
    if fake is None:
        return row
    apart = distance(found, fake, floating, cyclic=cyclic)
    return replace(row, fakequant=difference(found, fake, cyclic=cyclic), distance=apart)


def answer(observe: Callable[..., Observation], examples: Sequence[Example], spec: ModelSpec) -> Answers:
    """Ask for each picture, at the spec's input size; labels of other keypoints are left aside."""
    points, maps, errors = [], [], []
    for example in examples:
        boxes = None if example.box is None else [example.box]
        xy, _, heatmaps = observe(example.image, *(boxes or ()))
        _, (transform,) = prepare(example.image, spec, boxes)
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
    """Compare answers to the same pictures; of cyclic keypoints, in the cyclic shift that agrees best."""
    found = _aligned(found, reference) if cyclic else found
    sure = reference.heatmaps.max(axis=(2, 3)) >= CERTAIN
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
    """Return rms(found - fakequant) / rms(fakequant - floating) of the heatmaps; None if the latter is 0."""
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
