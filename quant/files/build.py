"""Build every file that is asked for from one checkpoint."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehrnet.errors import AbsentDeviceError, MissingExtraError
from edgehrnet.models.checkpoints import Checkpoint, save_checkpoint
from quant.files.model_file import PROOF_PICTURES, SUFFIX, export_file, export_plan, summary
from quant.files.parity import File


def save_and_build(
    checkpoint: Checkpoint, out: Path, name: str, targets: Sequence[str], pictures: Sequence[NDArray[np.uint8]]
) -> None:
    """Write ``out/<name>.pt`` with its range tables, then an INT8 file for each target; print a line for each.

    No ``.pt`` of a network that no variant builds.
    """
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
    order = Order(out, name, targets, ("int8",), picture=pictures[0], pictures=pictures[:PROOF_PICTURES])
    for file in build_files(checkpoint, order):
        print(report(file))


TURING = (7, 5)  # the one compute capability that TensorRT-RTX builds for and has no INT8 for


@dataclass(frozen=True)
class Order:
    """What to build: ``<name>-<precision>`` with each target's suffix.

    ``input_size`` (height, width), None for the checkpoint's. ``compute_capability``: of the GPUs that TensorRT plans
    are for, such as (8, 6); none builds for the GPU that is here. ``picture``, ``pictures``: see export_file.
    """

    folder: Path
    name: str
    targets: Sequence[str] = ("openvino",)
    precisions: Sequence[str] = ("fp32",)
    input_size: tuple[int, int] | None = None
    compute_capability: Sequence[tuple[int, int]] = ()
    picture: NDArray[np.uint8] | None = None
    pictures: Sequence[NDArray[np.uint8]] = ()


def build_files(checkpoint: Checkpoint, order: Order) -> Iterator[File]:
    """Build one file after the other; a plan that cannot be built here is given with what is missing."""
    order.folder.mkdir(parents=True, exist_ok=True)
    for target in order.targets:
        for precision in order.precisions:
            path = order.folder / f"{order.name}-{precision}{SUFFIX[target]}"
            certificate = export_file(
                checkpoint, path, target=target, precision=precision, input_size=order.input_size,
                picture=order.picture, pictures=order.pictures,
            )  # fmt: skip
            yield File(path, target, precision, certificate)
            if target == "tensorrt":
                yield from _plans(path, precision, order)


def _plans(source: Path, precision: str, order: Order) -> Iterator[File]:
    stem = source.name.removesuffix(SUFFIX["tensorrt"])
    for capability in order.compute_capability or (None,):
        place = f".sm{capability[0]}{capability[1]}" if capability else ""
        path = source.with_name(f"{stem}{place}.engine")
        if capability == TURING and precision == "int8":
            yield File(path, "plan", precision, None, "TensorRT-RTX has no INT8 for compute capability 7.5; build fp16")
            continue
        try:
            yield File(path, "plan", precision, export_plan(source, path, capability))
        except (MissingExtraError, AbsentDeviceError) as error:
            yield File(path, "plan", precision, None, str(error))


def report(file: File) -> str:
    """One line about a file, built or not, for people."""
    if file.certificate is None:
        return f"{file.path}: not built: {file.missing}"
    return summary(file.path, file.certificate)
