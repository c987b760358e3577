"""Write a checkpoint as one file that an engine runs, with its spec, golden pair and certificate."""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from edgehrnet.certificate import MAX_DRIFT, Certificate, int8_cost, parts
from edgehrnet.errors import InputError, MissingSpecError, nearest
from edgehrnet.golden import GOLDEN_PICTURE_BYTES, Golden
from edgehrnet.model_info import model_info
from edgehrnet.models import KeypointNetwork
from edgehrnet.models.checkpoints import Checkpoint
from edgehrnet.models.checkpoints.ranges import RangeTable
from edgehrnet.models.deploy.frozen import freeze
from edgehrnet.models.deploy.loading import computes_in, deployable, deployed_spec
from edgehrnet.selfcheck import GOLDEN_CORRELATION, correlation
from edgehrnet.spec import PRECISIONS, ModelSpec
from quant.files.input_sizes import at_other_sizes
from quant.files.onnx_file import integer_convolutions, write_onnx
from quant.files.onnxruntime_graph import rewrite
from quant.files.open_input import check_open, open_input
from quant.files.proof import CertificateError, Reference, certify
from quant.files.tensorrt_rules import trt_lint
from quant.int8.choice import applied
from quant.int8.pipeline import is_complete
from quant.scoring.torch_model import predict_torch
from runtimes import onnx, openvino, tensorrt
from runtimes.base import Layer
from runtimes.onnx_metadata import read_metadata
from runtimes.writing import new_files

SUFFIX = {"openvino": ".xml", "onnx": ".onnx", "tensorrt": onnx.FOR_TENSORRT}
TARGETS = tuple(SUFFIX)
PROOF_PICTURES = 8
"""Number of pictures that a file is compared on. With fewer, some numbers of the certificate vary by chance."""


def export_file(
    checkpoint: Checkpoint,
    out: Path,
    *,
    pictures: Sequence[NDArray[np.uint8]],
    picture: NDArray[np.uint8] | None = None,
    target: str = "openvino",
    precision: str = "fp32",
    input_size: tuple[int, int] | None = None,
    graphs: Path | None = None,
    max_drift: float = MAX_DRIFT,
    leave_open: bool = False,
) -> Certificate:
    """Write a model file and its certificate, and return the certificate.

    Args:
        checkpoint: The network, its spec, and for ``int8`` its quantization ranges.
        out: Path of the file. OpenVINO's weights are written beside its ``.xml``.
        pictures: Pictures ``(H, W, 3)`` u8 RGB on which the file is compared with the torch network. Pass at least
            `PROOF_PICTURES` pictures of the kind that the model is made for.
        picture: Picture of the golden pair, None for the first of ``pictures``.
        target: ``openvino`` writes an ``.xml``, ``onnx`` an ``.onnx`` for ONNX Runtime. ``tensorrt`` writes an
            ``.onnx`` from which TensorRT builds plans. Its float parts are float16 unless ``precision`` is ``fp32``.
        precision: ``fp32``, ``fp16``, or ``int8`` with the checkpoint's ranges for the target.
        input_size: (height, width) in px, None for the checkpoint's.
        graphs: Folder in which float graphs are kept for further files of the same checkpoint and input size. Exporting
            a graph takes most of the time. None keeps none.
        max_drift: Largest median drift, in px of the network input, that the certificate of an INT8 file accepts.
        leave_open: Whether an ``.onnx`` file for ONNX Runtime takes any number of inputs, of any size unless its
            network takes crops.

    Raises:
        InputError: There are no pictures, or an argument is not accepted.
        CertificateError: The engine does not run the file as requested. Nothing is written.
    """
    for name, value, known in (("precision", precision, PRECISIONS), ("target", target, TARGETS)):
        if value not in known:
            raise InputError(f"{name}={value!r}; {nearest(value, known)}")
    if not pictures:
        raise InputError(f"no pictures to compare {out.name} with the torch network on; give at least one")
    network = deployable(checkpoint)
    spec = deployed_spec(checkpoint, network, precision, input_size)
    spec = spec.replace(golden=golden_pair(network, spec, pictures[0] if picture is None else picture))
    table = checkpoint.table(target) if precision == "int8" else None
    if table is not None and not is_complete(table):
        raise InputError(f"the checkpoint was made before INT8 for {target} was complete: it lacks ranges; type "
                         "python -m quant.export, which calibrates them, or run quant.ptq again")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / out.name
        layers, reference = _build(network, table, spec, built, target, graphs, leave_open=leave_open)
        certificate = certify(built, layers, reference, spec, pictures)
        certificate = replace(certificate, sizes=at_other_sizes(built, reference, spec, pictures))
        if table is not None:
            certificate = replace(certificate, corrections=applied(checkpoint, table))
        if table is not None and certificate.sqnr_db is not None:
            cost = int8_cost(certificate.sqnr_db, certificate.drift_median_px, max_drift)
            certificate = replace(certificate, int8_cost=cost)
        copy_model(out, *parts(built), certificate.save(built))
    return certificate


def _build(
    network: KeypointNetwork,
    table: RangeTable | None,
    spec: ModelSpec,
    built: Path,
    target: str,
    graphs: Path | None,
    *,
    leave_open: bool,
) -> tuple[Sequence[Layer], Reference]:
    """Build a file, and return its layers as the engine lists them, and the torch networks to compare it with."""
    dtype = computes_in(target, spec.precision)
    quantized = None if table is None else freeze(network, table, dtype)
    onnx_path = built.with_name("network.onnx")
    if quantized is None and graphs is not None:
        onnx_path = graphs / f"{dtype}.onnx"
    if not onnx_path.is_file():
        write_onnx(quantized or copy.deepcopy(network).to(dtype), spec, onnx_path, dtype)
    if target == "onnx" and quantized is not None:
        for name, bias in rewrite(onnx_path).items():
            quantized.get_buffer(name.removeprefix("network.")).copy_(torch.from_numpy(bias))
    if target == "tensorrt":
        _check_for_tensorrt(onnx_path)
    info = model_info(spec)
    if target == "openvino":
        layers = openvino.build(onnx_path, built, spec.to_json(), half=spec.precision != "fp32", info=info)
    elif target == "onnx" and leave_open:
        opened = built.with_name("open.onnx")
        open_input(onnx_path, opened, spec)
        layers = onnx.build(opened, built, spec.to_json(), info, spec.input_size)
        check_open(built, spec)
    else:
        layers = onnx.build(onnx_path, built, spec.to_json(), info)
    reference = Reference(
        network,
        quantized,
        integer_convolutions(onnx_path),
        limits_distance=table is not None and dtype == torch.float32,
        requires_int8=target != "tensorrt",
    )
    return layers, reference


def _check_for_tensorrt(path: Path) -> None:
    """Raise CertificateError if a file breaks a rule of TensorRT. Some broken rules disable INT8 silently."""
    errors = [finding for finding in trt_lint(path) if finding.severity == "error"]
    if errors:
        raise CertificateError(f"TensorRT would not run this file in INT8: {errors[0].node}: {errors[0].message}")


def export_plan(source: Path, out: Path, compute_capability: tuple[int, int] | None = None) -> Certificate:
    """Build a TensorRT plan, and return its certificate.

    The certificate counts the layers that the plan lists. Nothing is measured, because a plan for another GPU does not
    run here.

    Args:
        source: File that `export_file` wrote for ``tensorrt``.
        out: Path of the plan.
        compute_capability: Compute capability of the GPU that the plan is for, such as (8, 6), None for the GPU here.

    Raises:
        MissingSpecError: ``source`` has no spec.
    """
    metadata = read_metadata(source)
    if metadata is None:
        raise MissingSpecError(f"{source} has no spec; write it with python -m quant.export --targets tensorrt")
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / out.name
        layers = tensorrt.build(source, built, metadata, compute_capability=compute_capability)
        reference = Reference(None, None, integer_convolutions(source))
        made_by = tensorrt.engine_name()
        certificate = certify(built, layers, reference, ModelSpec.from_json(metadata), (), engine=made_by)
        copy_model(out, built, tensorrt.sidecar_path(built), certificate.save(built))
    return certificate


def copy_model(out: Path, *files: Path) -> None:
    """Copy the files of a model beside ``out``, all of them or none."""
    with new_files(out) as folder:
        for file in files:
            shutil.copyfile(file, folder / file.name)


def golden_pair(network: KeypointNetwork, spec: ModelSpec, picture: NDArray[np.uint8]) -> Golden:
    """Shrink a picture to fit into the file, and run the float network on it.

    Raises:
        InputError: The heatmaps are empty, so that a device could not be checked with them.
    """
    image = shrink_to_png(picture, GOLDEN_PICTURE_BYTES)
    xy, conf, heatmaps = predict_torch(network, image, spec, torch.device("cpu"))
    golden = Golden.pack(image, xy, conf, heatmaps)
    if correlation(golden.heatmap_array(), heatmaps) < GOLDEN_CORRELATION:
        raise InputError(
            f"the network {spec.name} finds nothing in the picture for the self-check: its largest heatmap value is "
            f"{heatmaps.max():.2g}; pass --picture with one that it finds keypoints in, or train it longer"
        )
    return golden


def shrink_to_png(image: NDArray[np.uint8], most_bytes: int) -> NDArray[np.uint8]:
    """Shrink a picture ``(H, W, 3)`` u8 in steps of a tenth until its PNG fits into ``most_bytes``."""
    picture = Image.fromarray(image)
    while True:
        with tempfile.TemporaryFile() as file:
            picture.save(file, "PNG", optimize=True)
            if file.tell() <= most_bytes:
                return np.array(picture)
        picture = picture.resize((picture.width * 9 // 10, picture.height * 9 // 10), Image.Resampling.BILINEAR)


def summary(out: Path, certificate: Certificate) -> str:
    """Describe a built file in one line."""
    line = (
        f"{out}: {certificate.bytes / 1e6:.1f} MB, {certificate.convolutions_int8} of {certificate.convolutions} "
        "convolutions"
    )
    if certificate.macs:  # not every engine lists them
        line += f" and {certificate.int8_share:.2%} of the MACs"
    line += " in int8"
    if not certificate.pictures:
        return f"{line}, as the plan lists them"
    heatmaps = "" if certificate.sqnr_db is None else f" heatmaps {certificate.sqnr_db:.1f} dB,"
    line += f"; against float:{heatmaps}"
    if certificate.drift_median_px is None:
        return f"{line} keypoints not measured: none reached the confidence threshold"
    return f"{line} keypoints {certificate.drift_median_px:.3f} px (median)"
