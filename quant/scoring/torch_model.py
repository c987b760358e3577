"""Run a torch network on pictures and decode its outputs as `Predictor` does.

Everything in `quant` that needs a torch network's keypoints uses this module: `predict_torch` from a picture to
keypoints, or its three steps `prepare_input`, `run_network` and `decode_outputs`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from edgehrnet.decoding import activations, locate
from edgehrnet.models.deploy.export_module import network_input
from edgehrnet.preparation import Transform, channels_of, prepare
from edgehrnet.spec import ModelSpec
from quant.data.examples import Box, DataSet
from quant.scoring.evaluation import Prediction, evaluate
from quant.scoring.metrics import Score

Maps: TypeAlias = Mapping[str, NDArray[np.float32]]
"""Output arrays by name, with their batch dimension."""
Decoded: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.intp]]
"""Keypoints (K, 2) in picture pixels, confidence (K,), and the channel (K,) that each keypoint was found in."""


def prepare_input(image: NDArray[np.uint8], spec: ModelSpec, box: Box | None = None) -> tuple[Tensor, Transform]:
    """Prepare one picture, or one box of it, for `run_network`.

    Args:
        image: ``(H, W, 3)`` u8 RGB.
        spec: gives input size and channels.
        box: xywh in picture pixels, for models that run on crops.

    Returns:
        Bytes ``[1, height, width, C]`` u8, and the transform from input back to picture.
    """
    inputs, (transform,) = prepare(image, spec, None if box is None else [box])
    return torch.from_numpy(channels_of(inputs, spec)), transform


@torch.no_grad()
def run_network(network: nn.Module, pixels: Tensor, spec: ModelSpec) -> Maps:
    """Run a network in eval mode, in the floating type of its weights.

    Args:
        network: any module that returns an `Output`.
        pixels: u8 ``[B, height, width, C]``, on the network's device.
        spec: gives mean and std.

    Returns:
        float32 arrays on the CPU: ``heatmaps`` as the network computes them (logits or probabilities, as the spec
        says), and ``offsets`` and ``sdf`` where the network has them.
    """
    tensors = (*network.parameters(), *network.buffers())
    dtype = next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float32)
    output = network(network_input(pixels, spec.mean, spec.std).to(dtype))
    named = {"heatmaps": output.heatmaps, "offsets": output.offsets, "sdf": output.extras.get("sdf")}
    return {name: values.float().cpu().numpy() for name, values in named.items() if values is not None}


def decode_outputs(outputs: Maps, spec: ModelSpec, transform: Transform) -> Decoded:
    """Decode the first item of a batch with the decoder of `Predictor`, signed distance field included.

    ``outputs`` are those of `run_network`, or of an engine that runs the same network.
    """
    first = {name: values[0] for name, values in outputs.items() if name in ("heatmaps", "offsets", "sdf")}
    heatmaps = activations(first["heatmaps"], spec)
    return locate(heatmaps, first.get("offsets"), spec, transform, sdf=first.get("sdf"))


def predict_torch(
    network: nn.Module, image: NDArray[np.uint8], spec: ModelSpec, device: torch.device, box: Box | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]:
    """Find the keypoints of one picture ``(H, W, 3)`` u8 RGB, or of one box xywh of it, at ``spec.input_size``.

    Returns:
        Keypoints ``(K, 2)`` in picture pixels, confidence ``(K,)`` and heatmaps ``(K, h, w)`` 0..1, in the same order.
    """
    pixels, transform = prepare_input(image, spec, box)
    outputs = run_network(network, pixels.to(device), spec)
    xy, conf, order = decode_outputs(outputs, spec, transform)
    return xy, conf, activations(outputs["heatmaps"][0], spec)[order]


def validate(network: nn.Module, data: DataSet, count: int, spec: ModelSpec, device: torch.device) -> Score:
    """Score a network in eval mode on the first ``count`` pictures of the validation set, or on all if fewer."""

    def predict(image: NDArray[np.uint8], box: Box | None = None) -> Prediction:
        return predict_torch(network, image, spec, device, box)[:2]

    return evaluate(spec.name, predict, data, count, crops=spec.crop is not None).score()
