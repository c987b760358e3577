"""Scores of a torch network on the pictures that a data set holds back, decoded as the runtime decodes."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edgehrnet.decoding import heights, locate
from edgehrnet.models.deploy.export_module import network_input
from edgehrnet.preparation import prepare
from edgehrnet.spec import ModelSpec
from quant.data.examples import Box, DataSet
from quant.scoring.evaluation import Prediction, evaluate
from quant.scoring.metrics import Score


@torch.no_grad()
def predict_torch(
    network: nn.Module, image: NDArray[np.uint8], spec: ModelSpec, device: torch.device, box: Box | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float32]]:
    """Run a network in eval mode on one picture ``(H, W, 3)`` u8 RGB, or a box of it, at ``spec.input_size``.

    Returns xy ``(K, 2)`` in picture pixels, confidence ``(K,)`` and heatmaps ``(K, h, w)`` 0..1, in one order.
    """
    inputs, (transform,) = prepare(image, spec, None if box is None else [box])
    pixels = torch.from_numpy(inputs[..., : spec.channels]).to(device)
    output = network(network_input(pixels, spec.mean, spec.std))
    heatmaps = heights(output.heatmaps[0].float().cpu().numpy(), spec)
    offsets = None if output.offsets is None else output.offsets[0].float().cpu().numpy()
    sdf = output.extras["sdf"][0].float().cpu().numpy() if "sdf" in output.extras else None
    xy, conf, order = locate(heatmaps, offsets, spec, transform, sdf=sdf)
    return xy, conf, heatmaps[order]


def validate(network: nn.Module, data: DataSet, count: int, spec: ModelSpec, device: torch.device) -> Score:
    """Score a network in eval mode on the first ``count`` pictures held back, or on all if there are fewer."""

    def predict(image: NDArray[np.uint8], box: Box | None = None) -> Prediction:
        return predict_torch(network, image, spec, device, box)[:2]

    return evaluate(spec.name, predict, data, count).score()
