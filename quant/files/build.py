"""Build files for several targets and precisions from one checkpoint."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehrnet.certificate import MAX_DRIFT
from edgehrnet.errors import AbsentDeviceError, InputError, MissingExtraError
from edgehrnet.golden import GOLDEN_PICTURE_BYTES
from edgehrnet.models.checkpoints import Checkpoint, save_checkpoint
from edgehrnet.spec import ModelSpec
from quant.data.examples import DataSet
from quant.files.model_file import PROOF_PICTURES, SUFFIX, export_file, export_plan, shrink_to_png, summary
from quant.files.parity import File
from quant.int8.calibration import PICTURES, network_inputs
from quant.int8.pipeline import completed, is_complete

LEAST_INT8 = 0.9  # share of the MACs that run on integers, below which a file is not what people call INT8
_INSTEAD = {
    "openvino": "leave less in float, or use a file of --precision fp16",
    "onnx": "on a CPU use --targets openvino",
    "plan": "use a file of --precision fp16",
}


def save_and_build(
    checkpoint: Checkpoint,
    out: Path,
    name: str,
    targets: Sequence[str],
    pictures: Sequence[NDArray[np.uint8]],
    max_drift: float = MAX_DRIFT,
) -> list[File]:
    """Write ``<name>.pt`` with its range tables and an INT8 file for each target, and print a line for each.

    A network of another project gets no ``.pt``, because a checkpoint does not contain its code.

    Args:
        checkpoint: The network with its range tables.
        out: Folder to write to.
        name: File name without suffix.
        targets: Engines to build for.
        pictures: Pictures ``(H, W, 3)`` u8 RGB. The files are compared with the torch network on the first
            `PROOF_PICTURES`, and the first is the golden picture.
        max_drift: See `BuildOptions`.

    Returns:
        The files, for `mostly_float`.
    """
    check_name(name)
    out.mkdir(parents=True, exist_ok=True)
    if checkpoint.network is None:
        save_checkpoint(
            out / f"{name}.pt",
            checkpoint.variant,
            {"keypoints": checkpoint.keypoints, **checkpoint.options},
            checkpoint.state,
            checkpoint.spec,
            checkpoint.training,
            quantization=checkpoint.quantization,
        )
        print(f"{out / name}.pt: ranges for {', '.join(checkpoint.quantization)}")
    options = BuildOptions(out, name, pictures[:PROOF_PICTURES], targets, ("int8",), max_drift=max_drift)
    files = []
    for file in build_files(checkpoint, options):
        print(report(file))
        files.append(file)
    return files


def complete(checkpoint: Checkpoint, targets: Sequence[str], data: DataSet, spec: ModelSpec) -> Checkpoint:
    """Calibrate the ranges that a checkpoint of an earlier version lacks."""
    for target in targets:
        if not is_complete(checkpoint.table(target)):
            print(f"the checkpoint was made before INT8 for {target} was complete; calibrating the missing ranges")
            images = network_inputs(data.calibration(PICTURES), spec)
            checkpoint = completed(checkpoint, target, images, progress=True)
    return checkpoint


TURING = (7, 5)
"""The only compute capability that TensorRT-RTX builds for without INT8."""


@dataclass(frozen=True)
class BuildOptions:
    """Files to build, called ``<name>-<precision>`` with the suffix of each target."""

    folder: Path
    """Folder to write to."""

    name: str
    """Start of the file names."""

    pictures: Sequence[NDArray[np.uint8]]
    """Pictures ``(H, W, 3)`` u8 RGB on which the files are compared with the torch network."""

    targets: Sequence[str] = ("openvino",)
    """Engines to build for."""

    precisions: Sequence[str] = ("fp32",)
    """Precisions to build for each target."""

    input_size: tuple[int, int] | None = None
    """(height, width) in px, None for the checkpoint's."""

    compute_capability: Sequence[tuple[int, int]] = ()
    """Compute capabilities of the GPUs to build TensorRT plans for, such as (8, 6), empty for the GPU here."""

    picture: NDArray[np.uint8] | None = None
    """Picture of the golden pair, None for the first of ``pictures``."""

    max_drift: float = MAX_DRIFT
    """Largest median drift, in px of the network input, that the certificate of an INT8 file accepts."""

    leave_open: bool = False
    """Whether ``.onnx`` files for ONNX Runtime have an open input, see `export_file`."""


def check_name(name: str) -> None:
    """Raise InputError if files of this name would lie outside their folder."""
    if not name.isprintable() or name in ("", ".", "..") or any(mark in name for mark in "/\\:"):
        raise InputError(f"{name!r} cannot be the start of a file name; pass --name without a folder, such as corners")


def build_files(checkpoint: Checkpoint, options: BuildOptions) -> Iterator[File]:
    """Yield each file once it is built. For a plan that cannot be built here, yield the reason instead."""
    check_name(options.name)
    options.folder.mkdir(parents=True, exist_ok=True)
    picture = options.pictures[0] if options.picture is None and options.pictures else options.picture
    if picture is not None:  # shrunk once, not for each file
        picture = shrink_to_png(picture, GOLDEN_PICTURE_BYTES)
    with tempfile.TemporaryDirectory() as graphs:
        for target in options.targets:
            for precision in options.precisions:
                path = options.folder / f"{options.name}-{precision}{SUFFIX[target]}"
                certificate = export_file(
                    checkpoint, path, target=target, precision=precision, input_size=options.input_size,
                    pictures=options.pictures, picture=picture, graphs=Path(graphs),
                    max_drift=options.max_drift, leave_open=options.leave_open,
                )  # fmt: skip
                yield File(path, target, precision, certificate)
                if target == "tensorrt":
                    yield from _plans(path, precision, options)


def _plans(source: Path, precision: str, options: BuildOptions) -> Iterator[File]:
    stem = source.name.removesuffix(SUFFIX["tensorrt"])
    for capability in options.compute_capability or (None,):
        place = f".sm{capability[0]}{capability[1]}" if capability else ""
        path = source.with_name(f"{stem}{place}.engine")
        if capability == TURING and precision == "int8":
            yield File(path, "plan", precision, None, "TensorRT-RTX has no INT8 for compute capability 7.5; build fp16")
            continue
        try:
            yield File(path, "plan", precision, export_plan(source, path, capability))
        except (MissingExtraError, AbsentDeviceError) as error:
            yield File(path, "plan", precision, None, str(error))


def mostly_float(file: File) -> str | None:
    """Say that a file was asked for in INT8 and runs mostly in float, and what to use instead. None if it does not.

    The ONNX file from which TensorRT builds plans is not judged, because the plans are.
    """
    certificate = file.certificate
    if certificate is None or file.precision != "int8" or file.target == "tensorrt":
        return None
    share = certificate.int8_share
    if share >= LEAST_INT8:
        return None
    return (
        f"{file.path} was asked for in int8, but {certificate.engine} runs {share:.1%} of its MACs on integers, below "
        f"{LEAST_INT8:.0%}; {_INSTEAD[file.target]}, or accept it with --allow-float"
    )


def report(file: File) -> str:
    """Describe a file, built or not, in one line, and what INT8 costs in a second one."""
    if file.certificate is None:
        return f"{file.path}: not built: {file.missing}"
    cost = file.certificate.int8_cost
    return summary(file.path, file.certificate) + (f"\n{file.path}: cost of int8: {cost}" if cost else "")


def drifts_too_far(file: File, max_drift: float) -> str | None:
    """Say that INT8 moves the keypoints of a file too far. None if it does not, or was not measured."""
    certificate = file.certificate
    drift = None if certificate is None or file.precision != "int8" else certificate.drift_median_px
    if drift is None or drift <= max_drift:
        return None
    return f"{file.path}: int8 moves its keypoints by {drift:.2f} px (median), over --max-drift {max_drift:g}"
