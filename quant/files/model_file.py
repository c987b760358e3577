"""A checkpoint -> one file that an engine runs, with its spec, golden pair and certificate."""

from __future__ import annotations

import copy
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from edgehrnet.certificate import Certificate, parts
from edgehrnet.errors import InputError, MissingSpecError, nearest
from edgehrnet.models import KeypointNetwork
from edgehrnet.models.checkpoints import Checkpoint
from edgehrnet.models.deploy.frozen import freeze
from edgehrnet.models.deploy.loading import computes_in, deployable, deployed_spec
from edgehrnet.spec import GOLDEN_PICTURE_BYTES, PRECISIONS, Golden, ModelSpec
from quant.data.documents.corners import held_back_scene
from quant.files.onnx_file import integer_convolutions, write_onnx
from quant.files.proof import CertificateError, Reference, certify
from quant.files.tensorrt_rules import trt_lint
from quant.scoring.torch_model import predict_torch
from runtimes import onnx, openvino, tensorrt
from runtimes.onnx_metadata import read_metadata

SUFFIX = {"openvino": ".xml", "onnx": ".onnx", "tensorrt": onnx.FOR_TENSORRT}
TARGETS = tuple(SUFFIX)
PROOF_PICTURES = 8


def export_file(
    checkpoint: Checkpoint,
    out: Path,
    *,
    target: str = "openvino",
    precision: str = "fp32",
    input_size: tuple[int, int] | None = None,
    picture: NDArray[np.uint8] | None = None,
    pictures: Sequence[NDArray[np.uint8]] | None = None,
) -> Certificate:
    """Write ``out`` (of an ``.xml``, the weights beside it) and its certificate, and return the certificate.

    ``target``: ``openvino`` writes an ``.xml``; ``onnx`` an ``.onnx`` for ONNX Runtime; ``tensorrt`` an ``.onnx``
    that TensorRT builds plans from, whose float parts are float16 unless ``precision`` is ``fp32``.
    ``precision``: ``fp32``, ``fp16``; ``int8``: with the checkpoint's ranges for the target.
    ``input_size``: (height, width), None for the checkpoint's. ``picture`` ``(H, W, 3)`` u8 RGB becomes the golden
    pair's; None takes one that the project draws. ``pictures`` are what the file is proved on; to fewer than
    `PROOF_PICTURES`, drawn ones are added.

    Raises CertificateError, and writes nothing, if the engine does not run what was asked for.
    """
    for name, value, known in (("precision", precision, PRECISIONS), ("target", target, TARGETS)):
        if value not in known:
            raise InputError(f"{name}={value!r}; {nearest(value, known)}")
    network = deployable(checkpoint)
    spec = deployed_spec(checkpoint, network, precision, input_size)
    spec = spec.replace(golden=golden_pair(network, spec, picture))
    dtype = computes_in(target, precision)
    table = checkpoint.table(target) if precision == "int8" else None
    quantized = None if table is None else freeze(network, table, dtype)
    proof = list(pictures or ())
    # On fewer than these, chance has its say in the certificate.
    proof += [held_back_scene(index).image for index in range(PROOF_PICTURES - len(proof))]
    with tempfile.TemporaryDirectory() as folder:
        onnx_path, built = Path(folder) / "network.onnx", Path(folder) / out.name
        write_onnx(quantized or copy.deepcopy(network).to(dtype), spec, onnx_path, dtype)
        if target == "tensorrt":
            _check_for_tensorrt(onnx_path)
        if target == "openvino":
            layers = openvino.build(onnx_path, built, spec.to_json(), half=precision != "fp32")
        else:
            layers = onnx.build(onnx_path, built, spec.to_json())
        reference = Reference(
            network,
            quantized,
            integer_convolutions(onnx_path),
            strict=table is not None and table.adds == "identity" and dtype == torch.float32,
            obliged=target == "openvino",
        )
        certificate = certify(built, layers, reference, spec, proof)
        for part in (*parts(built), certificate.save(built)):
            shutil.copyfile(part, out.with_name(part.name))
    return certificate


def _check_for_tensorrt(path: Path) -> None:
    """Raise CertificateError if a file breaks a rule of TensorRT's, of which some cost INT8 without a word."""
    errors = [finding for finding in trt_lint(path) if finding.severity == "error"]
    if errors:
        raise CertificateError(f"TensorRT would not run this on integers: {errors[0].node}: {errors[0].message}")


def export_plan(source: Path, out: Path, compute_capability: tuple[int, int] | None = None) -> Certificate:
    """Build a TensorRT plan ``out`` from what `export_file` wrote for ``tensorrt``; return its certificate.

    The certificate rests on the plan's own listing: a plan does not run where it is built for another GPU.
    ``compute_capability``: of that GPU, such as (8, 6); None for the one that is here.
    """
    metadata = read_metadata(source)
    if metadata is None:
        raise MissingSpecError(f"{source} carries no spec; make it with python -m quant.export --targets tensorrt")
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / out.name
        layers = tensorrt.build(source, built, metadata, compute_capability=compute_capability)
        reference = Reference(None, None, integer_convolutions(source))
        made_by = tensorrt.engine_name()
        certificate = certify(built, layers, reference, ModelSpec.from_json(metadata), (), engine=made_by)
        for part in (built, tensorrt.sidecar_path(built), certificate.save(built)):
            shutil.copyfile(part, out.with_name(part.name))
    return certificate


def golden_pair(network: KeypointNetwork, spec: ModelSpec, picture: NDArray[np.uint8] | None = None) -> Golden:
    """Run the float network on a picture small enough to travel in the file."""
    image = shrink_to_png(held_back_scene(0).image if picture is None else picture, GOLDEN_PICTURE_BYTES)
    xy, conf, heatmaps = predict_torch(network, image, spec, torch.device("cpu"))
    return Golden.pack(image, xy, conf, heatmaps)


def shrink_to_png(image: NDArray[np.uint8], most_bytes: int) -> NDArray[np.uint8]:
    """Shrink ``(H, W, 3)`` u8 in steps of a tenth until its PNG fits into ``most_bytes``."""
    picture = Image.fromarray(image)
    while True:
        with tempfile.TemporaryFile() as file:
            picture.save(file, "PNG", optimize=True)
            if file.tell() <= most_bytes:
                return np.array(picture)
        picture = picture.resize((picture.width * 9 // 10, picture.height * 9 // 10), Image.Resampling.BILINEAR)


def summary(out: Path, certificate: Certificate) -> str:
    """One line about a built file, for people."""
    line = (
        f"{out}: {certificate.bytes / 1e6:.1f} MB, {certificate.convolutions_int8} of {certificate.convolutions} "
        "convolutions"
    )
    if certificate.macs:  # not every engine tells
        line += f" and {certificate.macs_int8 / certificate.macs:.1%} of the MACs"
    line += " in int8"
    if not certificate.pictures:
        return f"{line}, as the plan lists them"
    return f"{line}, {certificate.sqnr_db:.1f} dB, keypoints {certificate.drift_median_px:.3f} px from float (median)"
