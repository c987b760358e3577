"""``python -m quant.export``: a checkpoint -> files that engines run, each with its spec, golden pair, certificate."""

from __future__ import annotations

import argparse
import logging
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

import runtimes.openvino
from edgehrnet.certificate import Certificate, parts
from edgehrnet.cli import parse_size
from edgehrnet.errors import EdgeHRNetError, InputError, nearest
from edgehrnet.letterbox import check_input_size
from edgehrnet.models import EdgeHRNet
from edgehrnet.models.checkpoints import Checkpoint, build_model, load_checkpoint
from edgehrnet.models.deploy import Deployed
from edgehrnet.models.folding import fold_batchnorm
from edgehrnet.models.quantized import freeze
from edgehrnet.sources import read_image
from edgehrnet.spec import GOLDEN_PICTURE_BYTES, Golden, ModelSpec
from quant.certificate import Reference, certify
from quant.data.corners import held_back_scene
from quant.validation import predict_torch
from runtimes.base import INPUT

OPSET = 18
QUANTIZATION = {"fp32": "float32", "fp16": "float16", "int8": "int8"}
PRECISIONS = tuple(QUANTIZATION)
TARGETS = ("openvino",)
# Heads that serve training only; a deployed file leaves them out.
TRAINING_HEADS = ("auxiliary",)
PROOF_PICTURES = 8


def export_openvino(
    checkpoint: Checkpoint,
    out: Path,
    *,
    precision: str = "fp32",
    input_size: tuple[int, int] | None = None,
    picture: NDArray[np.uint8] | None = None,
    pictures: Sequence[NDArray[np.uint8]] | None = None,
) -> Certificate:
    """Write ``out`` (``.xml``, weights and certificate beside it) and return the certificate.

    ``precision``: ``fp32``, ``fp16``: how weights are stored; ``int8``: with the checkpoint's ranges for OpenVINO.
    ``input_size``: (height, width), None for the checkpoint's. ``picture`` ``(H, W, 3)`` u8 RGB becomes the golden
    pair's; None takes one that the project draws. ``pictures`` are what the file is proved on; to fewer than
    `PROOF_PICTURES`, drawn ones are added.

    Raises CertificateError, and writes nothing, if the engine does not run what was asked for.
    """
    if precision not in PRECISIONS:
        raise InputError(f"precision={precision!r}; {nearest(precision, PRECISIONS)}")
    network = deployable(checkpoint)
    spec = deployed_spec(checkpoint, network, precision, input_size)
    spec = spec.replace(golden=golden_pair(network, spec, picture))
    quantized, strict = None, True
    if precision == "int8":
        table = checkpoint.table("openvino")
        quantized, strict = freeze(network, table), table.adds == "identity"
    proof = list(pictures or ())
    # On fewer than these, chance has its say in the certificate.
    proof += [held_back_scene(index).image for index in range(PROOF_PICTURES - len(proof))]
    with tempfile.TemporaryDirectory() as folder:
        onnx_path, built = Path(folder) / "network.onnx", Path(folder) / out.name
        write_onnx(quantized or network, spec, onnx_path)
        reference = Reference(network, quantized, integer_convolutions(onnx_path), strict)
        layers = runtimes.openvino.build(onnx_path, built, spec.to_json(), half=precision != "fp32")
        certificate = certify(built, layers, reference, spec, proof)
        for part in (*parts(built), certificate.save(built)):
            shutil.copyfile(part, out.with_name(part.name))
    return certificate


def deployable(checkpoint: Checkpoint) -> EdgeHRNet:
    """Return the float network in eval mode, BatchNorm folded, without the heads that serve training only."""
    options = {name: value for name, value in checkpoint.options.items() if name not in TRAINING_HEADS}
    kept = [name for name in checkpoint.state if not name.startswith("auxiliary.")]
    state = {name: checkpoint.state[name] for name in kept}
    slim = Checkpoint(checkpoint.variant, checkpoint.keypoints, options, state, checkpoint.spec, checkpoint.training)
    return fold_batchnorm(build_model(slim))


def deployed_spec(
    checkpoint: Checkpoint, network: EdgeHRNet, precision: str, input_size: tuple[int, int] | None
) -> ModelSpec:
    """Return the checkpoint's spec as the file will state it, without a golden pair."""
    spec = ModelSpec.from_dict(checkpoint.spec)
    if input_size is not None:
        check_input_size(input_size)
        spec = spec.replace(input_size=input_size)
    extras = [(name, "NCHW") for name in ("boundary", "sdf", "p3_td", "p4_td", "p5") if _has(network, name)]
    return spec.replace(
        quantization=QUANTIZATION[precision],
        outputs=(("heatmaps", "NCHW"), ("offsets", "NCHW"), ("hf", "NHWC"), *extras),
    )


def write_onnx(network: nn.Module, spec: ModelSpec, path: Path) -> None:
    """Write a network as it is deployed: u8 NHWC in, the spec's outputs out, batch 1, static shapes.

    Quantizers become QuantizeLinear and DequantizeLinear, int8 weights a DequantizeLinear alone.
    """
    height, width = spec.input_size
    image = torch.zeros((1, height, width, 4), dtype=torch.uint8)
    # On import, the exporter logs which operators of torchvision it does without.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # The exporter's own use of tree specs and of copyreg; nothing that a caller could change.
        warnings.simplefilter("ignore", FutureWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            Deployed(network, spec.mean, spec.std).eval(),
            (image,),
            path,
            input_names=[INPUT],
            output_names=[name for name, _ in spec.outputs],
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def integer_convolutions(path: Path) -> int:
    """Count the convolutions of an ONNX file whose weights are stored as int8: those that have to run on integers.

    Not those of the range table: of two equal convolutions of one tensor, the exporter keeps one.
    """
    graph = onnx.load(path).graph
    stored = {tensor.name for tensor in graph.initializer if tensor.data_type == onnx.TensorProto.INT8}
    weights = {node.output[0] for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in stored}
    return sum(node.op_type == "Conv" and node.input[1] in weights for node in graph.node)


def golden_pair(network: EdgeHRNet, spec: ModelSpec, picture: NDArray[np.uint8] | None = None) -> Golden:
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


def _has(network: EdgeHRNet, name: str) -> bool:
    options = network.options
    return bool(getattr(options, name) if name in ("boundary", "sdf") else options.pyramid)


def summary(out: Path, certificate: Certificate) -> str:
    """One line about a built file, for people."""
    share = certificate.macs_int8 / max(1, certificate.macs)
    return (
        f"{out}: {certificate.bytes / 1e6:.1f} MB, {certificate.convolutions_int8} of {certificate.convolutions} "
        f"convolutions and {share:.1%} of the MACs in int8, {certificate.sqnr_db:.1f} dB, "
        f"keypoints {certificate.drift_median_px:.3f} px from float (median)"
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    p = argparse.ArgumentParser(prog="python -m quant.export", description=__doc__)
    p.add_argument("checkpoint", type=Path)
    p.add_argument("--out", type=Path, required=True, metavar="DIR")
    p.add_argument("--name", help="file name without suffix (default: the checkpoint's)")
    p.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    p.add_argument("--precision", nargs="+", choices=PRECISIONS, default=["fp32"])
    p.add_argument("--size", type=parse_size, metavar="HxW", help="input height x width (default: the checkpoint's)")
    p.add_argument("--picture", type=Path, help="picture of the golden pair (default: one the project draws)")
    args = p.parse_args(arguments)
    try:
        checkpoint = load_checkpoint(args.checkpoint)
        picture = None if args.picture is None else read_image(args.picture)
        args.out.mkdir(parents=True, exist_ok=True)
        for precision in args.precision:
            out = args.out / f"{args.name or args.checkpoint.stem}-{precision}.xml"
            print(
                summary(
                    out, export_openvino(checkpoint, out, precision=precision, input_size=args.size, picture=picture)
                )
            )
    except EdgeHRNetError as error:
        p.exit(2, f"error: {error}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
