"""Scores of a torch network on the pictures that a data set holds back, decoded as the runtime decodes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgehrnet.decoding import locate, sigmoid
from edgehrnet.letterbox import letterbox
from edgehrnet.models.deploy import network_input
from edgehrnet.spec import ModelSpec
from quant.data.examples import DataSet
from quant.evaluation import evaluate
from quant.metrics import Score


@torch.no_grad()
def predict_torch(
    network: nn.Module, image: NDArray[np.uint8], spec: ModelSpec, device: torch.device
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]:
    """Run a network in eval mode on one picture ``(H, W, 3)`` u8 RGB at ``spec.input_size``.

    Returns xy ``(K, 2)`` in picture pixels, confidence ``(K,)`` and heatmaps ``(K, h, w)`` 0..1, in one order.
    """
    pixels, box = letterbox(image, spec.input_size)
    output = network(network_input(torch.from_numpy(pixels)[None].to(device), spec.mean, spec.std))
    heatmaps = sigmoid(output.heatmaps[0].float().cpu().numpy())
    offsets = None if output.offsets is None else output.offsets[0].float().cpu().numpy()
    xy, conf, order = locate(heatmaps, offsets, spec, box)
    return xy, conf, heatmaps[order]


def validate(network: nn.Module, data: DataSet, count: int, input_size: tuple[int, int], device: torch.device) -> Score:
    """Score a network in eval mode on the first ``count`` pictures held back, or on all if there are fewer."""
    spec = data.spec.replace(input_size=input_size)
    return evaluate(spec.name, lambda image: predict_torch(network, image, spec, device)[:2], data, count).score()
