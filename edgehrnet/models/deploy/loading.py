"""Turn a checkpoint into the network and the spec that are deployed: BN folded, training-only heads removed."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from edgehrnet.errors import ModelFileError
from edgehrnet.models.checkpoints import Checkpoint, build_model, load_checkpoint
from edgehrnet.models.checkpoints.damage import sound
from edgehrnet.models.deploy.export_module import Deployed
from edgehrnet.models.deploy.folding import fold_batchnorm
from edgehrnet.models.deploy.frozen import freeze
from edgehrnet.models.layers.base import KeypointNetwork
from edgehrnet.picture.letterbox import check_input_size
from edgehrnet.spec import ModelSpec
from runtimes.base import Input

# Prefix of the weights of each optional head.
HEADS = {"auxiliary": "auxiliary.", "boundary": "heads.boundary.", "sdf": "heads.sdf."}


# Target and precision of files that compute in float16. TensorRT's INT8 files have float16 between the integers, and
# their scales are rounded to it.
HALF = {("onnx", "fp16"), ("tensorrt", "fp16"), ("tensorrt", "int8")}


def computes_in(target: str, precision: str) -> torch.dtype:
    """Return the floating dtype that files for a target and a precision compute in.

    OpenVINO chooses its dtype itself, so its files are written in float32.
    """
    return torch.float16 if (target, precision) in HALF else torch.float32


def load_deployed(path: Path, target: str | None = None, *, verify: bool = True) -> tuple[nn.Module, str, Input]:
    """Read a checkpoint for ``runtimes.torch``.

    Args:
        path: The checkpoint.
        target: None for the float network, or ``openvino``, ``onnx`` or ``tensorrt`` for the INT8 network with the
            ranges for this engine.
        verify: Whether to compare the file with its checksums.

    Returns:
        The `Deployed` network in eval mode, its spec as JSON, and its input.

    Raises:
        InputError: The checkpoint has no ranges for this target.
    """
    checkpoint = load_checkpoint(path, verify=verify)
    with sound(path):
        return _deployed(checkpoint, target)


def _deployed(checkpoint: Checkpoint, target: str | None) -> tuple[nn.Module, str, Input]:
    network = deployable(checkpoint)
    spec = deployed_spec(checkpoint, network, "fp32" if target is None else "int8", None)
    dtype = torch.float32 if target is None else computes_in(target, "int8")
    if target is not None:
        network = freeze(network, checkpoint.table(target), dtype)
    return Deployed(network, spec.mean, spec.std, dtype).eval(), spec.to_json(), Input(spec.input_size, spec.channels)


def without_heads(checkpoint: Checkpoint, heads: Collection[str]) -> Checkpoint:
    """Return the checkpoint without the given heads, some of ``auxiliary``, ``boundary`` and ``sdf``.

    Heads that the checkpoint does not have are ignored.
    """
    left_out = tuple(HEADS[head] for head in heads)
    return replace(
        checkpoint,
        options={name: value for name, value in checkpoint.options.items() if name not in heads},
        state={name: value for name, value in checkpoint.state.items() if not name.startswith(left_out)},
    )


def deployable(checkpoint: Checkpoint) -> KeypointNetwork:
    """Return the float network in eval mode, with BN folded and without the auxiliary heads."""
    return fold_batchnorm(build_model(without_heads(checkpoint, ("auxiliary",))))


def deployed_spec(
    checkpoint: Checkpoint, network: KeypointNetwork, precision: str, input_size: tuple[int, int] | None
) -> ModelSpec:
    """Return the spec that is stored in a deployed file, without a golden pair.

    Args:
        checkpoint: The checkpoint.
        network: Its network, from `deployable`.
        precision: ``fp32``, ``fp16`` or ``int8``.
        input_size: (height, width) of the input, or None for the checkpoint's.

    Raises:
        InputError: ``input_size`` is not accepted.
        ModelFileError: The spec has another number of input channels than the network.
    """
    spec = ModelSpec.from_dict(checkpoint.spec)
    if input_size is not None:
        check_input_size(input_size)
        spec = spec.replace(input_size=input_size)
    if spec.channels != network.in_channels:
        given, expected = spec.channels, network.in_channels
        raise ModelFileError(f"{checkpoint.variant} has {expected} input channels, but its spec states {given}")
    offsets = [("offsets", "NCHW")] if network.gives_offsets else []
    extras = [(name, "NCHW") for name in network.extra_outputs]
    return spec.replace(
        precision=precision,
        outputs=(("heatmaps", "NCHW"), *offsets, ("hf", "NHWC"), *extras),
    )
