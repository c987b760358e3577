"""Train a network to answer as another one does."""

from __future__ import annotations

import torch
from torch import Tensor

from edgehrnet.models import KeypointNetwork, Output
from edgehrnet.spec import ModelSpec


class Teacher:
    """A float network whose heatmaps, and features if wanted, another network of the same shape learns.

    Args:
        network: The network. It gets no gradients.
        spec: Its spec, which says what its heatmaps hold.
        heatmaps: Factor of the squared distance of the heatmaps, summed over a picture.
        features: Factor of the squared distance of the features, in parts of their variance.
    """

    def __init__(self, network: KeypointNetwork, spec: ModelSpec, heatmaps: float, features: float = 0.0) -> None:
        self.network, self.spec = network.eval().requires_grad_(False), spec
        self.heatmaps, self.features = heatmaps, features

    def terms(self, image: Tensor, output: Output) -> dict[str, Tensor]:
        """Return the terms of the loss for a batch and what the other network answers."""
        with torch.no_grad():
            wanted = self.network(image)
        difference = self._values(output) - self._values(wanted)
        terms = {"distillation": self.heatmaps * difference.square().sum(dim=(1, 2, 3)).mean()}
        if self.features:
            error = (output.hf - wanted.hf).float().square().mean() / wanted.hf.float().var()
            terms["features"] = self.features * error
        return terms

    def _values(self, output: Output) -> Tensor:
        maps = output.heatmaps.float()
        return maps.sigmoid() if self.spec.heatmap_values == "logits" else maps
