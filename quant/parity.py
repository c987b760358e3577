"""Do the files that one checkpoint became agree? Each against the float network and the fake-quantized one.

All of them answer the same pictures through the same decoder, and are compared by what they answer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgehrnet.certificate import Certificate
from edgehrnet.decoding import CERTAIN
from edgehrnet.errors import DeviceError, MissingExtraError
from edgehrnet.letterbox import Letterbox
from edgehrnet.models import Output
from edgehrnet.models.checkpoints import Checkpoint
from edgehrnet.models.loading import deployable, deployed_spec
from edgehrnet.models.quantized import freeze
from quant.data.corners import DocumentCorners
from quant.data.examples import DataSet
from quant.evaluate import Observation, open_model
from quant.metrics import keypoint_errors
from quant.validation import predict_torch

WITHIN = 0.01  # of the picture's diagonal: PCK's radius
# On which engines and devices a target's files run: what the report calls it, the device, what it takes.
PLACES = {
    "openvino": (("OpenVINO, CPU", "cpu", ""), ("OpenVINO, GPU", "gpu", "an Intel GPU")),
    "onnx": (
        ("ONNX Runtime, CPU", "cpu", "onnxruntime"),
        ("ONNX Runtime, CUDA", "cuda", "onnxruntime-gpu and an NVIDIA GPU"),
    ),
    "tensorrt": (("TensorRT's file on ONNX Runtime, CPU", "cpu", "onnxruntime"),),
    "plan": (("TensorRT", "cuda", "the NVIDIA GPU that the plan is for"),),
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
    """What one network or file answered: N pictures, K keypoints.

    ``xy`` ``(N, K, 2)`` in px of the network input, ``heatmaps`` ``(N, K, h, w)`` 0..1, ``pck1``: percent of the
    keypoints within one percent of the picture's diagonal, None without labels.
    """

    xy: NDArray[np.float64]
    heatmaps: NDArray[np.float32]
    pck1: float | None


@dataclass(frozen=True)
class Difference:
    """How far answers are from a reference's.

    ``max_px``, ``p99_px``: largest and 99th percentile of the distance between keypoints that the reference is
    certain of, in px of the network input; ``pck1_points``: percentage points of PCK at one percent, positive where
    the reference is worse; ``correlation``: Pearson's, of the heatmaps, 1 is perfect.
    """

    max_px: float
    p99_px: float
    pck1_points: float | None
    correlation: float


@dataclass(frozen=True)
class Row:
    """One file on one engine.

    ``int8_macs``: share 0..1 of the multiply-accumulates that the engine says run on integers, None if it does not
    say. ``floating``, ``fakequant``: against the float network, and against the one that is fake-quantized with the
    same ranges. ``distance``: rms(engine - fakequant) / rms(fakequant - float) of the heatmaps. ``not_run``: what is
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


def agreement(
    checkpoint: Checkpoint,
    files: Sequence[File],
    data: DataSet | None,
    count: int,
    input_size: tuple[int, int] | None = None,
) -> list[Row]:
    """Ask every file, on every device that it could run on, for the first ``count`` pictures that ``data`` holds back.

    ``data``: None for drawn documents. ``input_size`` (height, width): of the files; None for the checkpoint's. Rows
    come in the order of the files; after them the fake-quantized networks computed in float64 instead of float32.
    """
    data = data or DocumentCorners()
    network = deployable(checkpoint)
    spec = deployed_spec(checkpoint, network, "fp32", input_size)

    def ask(net: nn.Module) -> Answers:
        return answer(lambda image: predict_torch(net, image, spec, torch.device("cpu")), data, count, spec.input_size)

    floating = ask(network)
    targets = {_scheme(file) for file in files if file.precision == "int8"}
    fakes = {target: ask(freeze(network, checkpoint.table(target))) for target in sorted(targets)}
    rows = []
    for file in files:
        fake = fakes[_scheme(file)] if file.precision == "int8" else None
        for place in PLACES[file.target]:
            found = _run(file, place, data, count)
            rows.append(_row(file, place[0], found, floating, fake, cyclic=spec.cyclic))
    for target, fake in fakes.items():
        exact = ask(_InDouble(freeze(network, checkpoint.table(target))))
        rows.append(
            _compared(
                Row(f"torch in float64, ranges for {target}", "int8", "", 0.0), exact, floating, fake, spec.cyclic
            )
        )
    return rows


def _scheme(file: File) -> str:
    """The target whose ranges a file has."""
    return "tensorrt" if file.target == "plan" else file.target


def _run(file: File, place: tuple[str, str, str], data: DataSet, count: int) -> Answers | str:
    """Ask a file on one device; what is missing, if it cannot run there."""
    _, device, needed = place
    if file.certificate is None:
        return file.missing
    try:
        with open_model(str(file.path), device) as model:
            return answer(model.observe, data, count, model.spec.input_size)
    except (DeviceError, MissingExtraError):
        return f"needs {needed}"


def _row(
    file: File, engine: str, found: Answers | str, floating: Answers, fake: Answers | None, *, cyclic: bool
) -> Row:
    certificate = file.certificate
    if certificate is None:
        return Row(engine, file.precision, file.path.name, 0.0, not_run=str(found))
    share = certificate.macs_int8 / certificate.macs if certificate.macs else None
    certified = engine.endswith("CPU") or file.target == "plan"
    row = Row(engine, file.precision, file.path.name, round(certificate.bytes / 1e6, 2), share if certified else None)
    if isinstance(found, str):
        return replace(row, not_run=found)
    return _compared(row, found, floating, fake, cyclic)


def _compared(row: Row, found: Answers, floating: Answers, fake: Answers | None, cyclic: bool) -> Row:
    row = replace(row, floating=difference(found, floating, cyclic=cyclic))
    if fake is None:
        return row
    apart = distance(found, fake, floating, cyclic=cyclic)
    return replace(row, fakequant=difference(found, fake, cyclic=cyclic), distance=apart)


class _InDouble(nn.Module):
    """A network in float64: what is left between it and float32 are the rounding flips of float32 itself."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.double()

    def forward(self, x: torch.Tensor) -> Output:
        output: Output = self.network(x.double())
        return output


def answer(
    observe: Callable[[NDArray[np.uint8]], Observation], data: DataSet, count: int, input_size: tuple[int, int]
) -> Answers:
    """Ask for the first ``count`` pictures that the data holds back; labels of other keypoints are left aside."""
    points, maps, errors = [], [], []
    for example in data.held_back(count):
        xy, _, heatmaps = observe(example.image)
        height, width = example.image.shape[:2]
        points.append(xy * Letterbox.fit(width, height, input_size).scale)
        maps.append(heatmaps)
        if len(xy) == len(example.points):
            found = keypoint_errors(xy, example.points, example.visible, cyclic=data.spec.cyclic)
            errors.append(found[example.visible] / math.hypot(width, height))
    scored = np.concatenate(errors or [np.zeros(0)])
    pck1 = 100 * float((scored < WITHIN).mean()) if len(scored) else None
    return Answers(np.array(points), np.array(maps), pck1)


def difference(found: Answers, reference: Answers, *, cyclic: bool) -> Difference:
    """Compare answers to the same pictures; of cyclic keypoints, in the cyclic shift that agrees best."""
    found = _aligned(found, reference) if cyclic else found
    sure = reference.heatmaps.max(axis=(2, 3)) >= CERTAIN
    distances = np.linalg.norm(found.xy - reference.xy, axis=2)[sure]
    both = found.pck1 is not None and reference.pck1 is not None
    return Difference(
        max_px=round(float(distances.max(initial=0.0)), 4),
        p99_px=round(float(np.percentile(distances, 99)) if len(distances) else 0.0, 4),
        pck1_points=round(found.pck1 - reference.pck1, 3) if both else None,  # type: ignore[operator]
        correlation=round(float(np.corrcoef(found.heatmaps.ravel(), reference.heatmaps.ravel())[0, 1]), 6),
    )


def distance(found: Answers, fakequant: Answers, floating: Answers, *, cyclic: bool) -> float:
    """Return rms(found - fakequant) / rms(fakequant - floating) of the heatmaps; infinite if the latter is 0."""
    near, far = (_aligned(x, fakequant) if cyclic else x for x in (found, floating))
    below = _rms(fakequant.heatmaps - far.heatmaps)
    return round(_rms(near.heatmaps - fakequant.heatmaps) / below, 4) if below else math.inf


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


def write_report(rows: Sequence[Row], out: Path, title: str, count: int) -> Path:
    """Write ``out`` (Markdown) and the same numbers beside it as JSON; return ``out``."""
    out.write_text(markdown(rows, title, count))
    out.with_suffix(".json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return out


def markdown(rows: Sequence[Row], title: str, count: int) -> str:
    """Lay the rows out as a page of tables."""
    lines = [
        f"# {title}: do its files agree?",
        "",
        f"{count} pictures through each file, decoded alike. Distances in px of the network input, of the keypoints "
        "that the reference is certain of; PCK within one percent of the diagonal, in percentage points; correlation "
        "of the heatmaps. INT8 MACs: the share that the engine says it runs on integers.",
        "",
        *_table(("engine", "precision", "file", "MB", "INT8 MACs"), [_about(row) for row in rows]),
        "",
        "## Against the float network",
        "",
        *_table(_HEAD, [[row.engine, row.precision, *_numbers(row, row.floating)] for row in rows]),
        "",
        "## Against the fake-quantized network",
        "",
        "rms: rms(engine - fakequant) / rms(fakequant - float) of the heatmaps. A rounding flip moves a whole step and "
        "the layers below multiply it: the last rows are the fake-quantized networks themselves, computed in float64. "
        "An engine that is no further away than they are rounds as well as float32 can.",
        "",
        *_table((*_HEAD, "rms"), [[row.engine, row.precision, *_numbers(row, row.fakequant), _ratio(row)]
                                   for row in rows if row.precision == "int8"]),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


_HEAD = ("engine", "precision", "max px", "p99 px", "PCK", "correlation")


def _about(row: Row) -> list[str]:
    share = "" if row.int8_macs is None else f"{row.int8_macs:.1%}"
    return [row.engine, row.precision, row.file, f"{row.megabytes:.1f}" if row.megabytes else "", share]


def _numbers(row: Row, found: Difference | None) -> list[str]:
    if found is None:
        return [f"not run: {row.not_run}", "", "", ""]
    points = "no labels" if found.pck1_points is None else f"{found.pck1_points:+.2f}"
    return [f"{found.max_px:.3f}", f"{found.p99_px:.3f}", points, f"{found.correlation:.5f}"]


def _ratio(row: Row) -> str:
    return "" if row.distance is None else f"{row.distance:.3f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]
