"""A checkpoint as it is deployed: BatchNorm folded, training's own heads dropped, with the spec a file would carry."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from edgehrnet.errors import ModelFileError
from edgehrnet.models.checkpoints import Checkpoint, build_model, load_checkpoint
from edgehrnet.models.deploy.export_module import Deployed
from edgehrnet.models.deploy.folding import fold_batchnorm
from edgehrnet.models.deploy.frozen import freeze
from edgehrnet.models.layers.base import KeypointNetwork
from edgehrnet.picture.letterbox import check_input_size
from edgehrnet.spec import ModelSpec
from runtimes.base import Input

# Option -> how the names of its head's weights begin.
HEADS = {"auxiliary": "auxiliary.", "boundary": "heads.boundary.", "sdf": "heads.sdf."}

# What a file computes in where that is not float32: TensorRT's INT8 files have float16 between the integers, and their
# scales are rounded to it.
HALF = {("onnx", "fp16"), ("tensorrt", "fp16"), ("tensorrt", "int8")}


def computes_in(target: str, precision: str) -> torch.dtype:
    """The floating type that a target's files of a precision compute in; OpenVINO chooses its own."""
    return torch.float16 if (target, precision) in HALF else torch.float32


def load_deployed(path: Path, target: str | None = None) -> tuple[nn.Module, str, Input]:
    """Read a checkpoint as ``runtimes.torch`` takes it: the `Deployed` network, its spec as JSON, and what it reads.

    ``target``: None for the float network; ``openvino``, ``onnx`` or ``tensorrt`` for the fake-quantized one, with the
    ranges that the checkpoint has for this engine. Raises InputError if it has none.
    """
    checkpoint = load_checkpoint(path)
    network = deployable(checkpoint)
    spec = deployed_spec(checkpoint, network, "fp32" if target is None else "int8", None)
    dtype = torch.float32 if target is None else computes_in(target, "int8")
    if target is not None:
        network = freeze(network, checkpoint.table(target), dtype)
    return Deployed(network, spec.mean, spec.std, dtype).eval(), spec.to_json(), Input(spec.input_size, spec.channels)


def without_heads(checkpoint: Checkpoint, heads: Collection[str]) -> Checkpoint:
    """Return the checkpoint without some of ``auxiliary``, ``boundary`` and ``sdf``, whether it has them or not."""
    left_out = tuple(HEADS[head] for head in heads)
    return replace(
        checkpoint,
        options={name: value for name, value in checkpoint.options.items() if name not in heads},
        state={name: value for name, value in checkpoint.state.items() if not name.startswith(left_out)},
    )


def deployable(checkpoint: Checkpoint) -> KeypointNetwork:
    """Return the float network in eval mode, BatchNorm folded, without the head that serves training only."""
    return fold_batchnorm(build_model(without_heads(checkpoint, ("auxiliary",))))


def deployed_spec(
    checkpoint: Checkpoint, network: KeypointNetwork, precision: str, input_size: tuple[int, int] | None
) -> ModelSpec:
    """Return the checkpoint's spec as the file will state it, without a golden pair.

    Raises ModelFileError if the spec is for another number of input channels.
    """
    spec = ModelSpec.from_dict(checkpoint.spec)
    if input_size is not None:
        check_input_size(input_size)
        spec = spec.replace(input_size=input_size)
    if spec.channels != network.in_channels:
        given, wanted = spec.channels, network.in_channels
        raise ModelFileError(f"{checkpoint.variant} reads {wanted} channels, and the checkpoint's spec says {given}")
    offsets = [("offsets", "NCHW")] if network.gives_offsets else []
    extras = [(name, "NCHW") for name in network.extra_outputs]
    return spec.replace(
        precision=precision,
        outputs=(("heatmaps", "NCHW"), *offsets, ("hf", "NHWC"), *extras),
    )
