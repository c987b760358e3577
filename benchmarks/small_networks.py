"""Train small networks for a few hundred steps on drawn documents, among them two that this project does not know."""

from __future__ import annotations

import dataclasses
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from edgehrnet.models import KeypointNetwork, Output, create
from edgehrnet.models.checkpoints import Checkpoint, build_model, load_checkpoint, save_checkpoint
from edgehrnet.models.deploy.export_module import network_input
from edgehrnet.models.layers.blocks import ConvBNAct
from edgehrnet.spec import ModelSpec
from quant.data.batches import sample
from quant.data.documents.corners import SPEC, DocumentCorners
from quant.int8.placement import trace
from quant.int8.tracing import as_checkpoint, traced
from quant.training.losses import Weights, keypoint_loss

CORNERS = SPEC.replace(
    input_size=(128, 128),
    channels=3,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    decode="dark",
    outputs=(("heatmaps", "NCHW"), ("hf", "NHWC")),
)
"""Spec of the trained networks."""
DRAWN = 1200
"""Pictures to train on."""
BATCH = 8
LEARNING_RATE = 2e-3
# Channels in and out of a block, channels inside it, and stride, as in MobileNetV2 at half its width.
BLOCKS = (
    (16, 8, 16, 1),
    (8, 16, 48, 2),
    (16, 16, 96, 1),
    (16, 24, 96, 2),
    (24, 24, 144, 1),
    (24, 48, 144, 2),
    (48, 48, 288, 1),
    (48, 96, 288, 2),
    (96, 96, 576, 1),
)


class InvertedResidual(nn.Module):
    """Block of MobileNetV2: 1x1, depthwise 3x3, 1x1 without activation, and a sum where the shape stays the same."""

    def __init__(self, before: int, after: int, inside: int, stride: int, act: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.body = nn.Sequential(
            *(nn.Conv2d(before, inside, 1, bias=False), nn.BatchNorm2d(inside), act()),
            *(nn.Conv2d(inside, inside, 3, stride, 1, groups=inside, bias=False), nn.BatchNorm2d(inside), act()),
            *(nn.Conv2d(inside, after, 1, bias=False), nn.BatchNorm2d(after)),
        )
        self.skips = stride == 1 and before == after

    def forward(self, x: Tensor) -> Tensor:
        """Map ``[B, before, H, W]`` to ``[B, after, H/stride, W/stride]``."""
        y: Tensor = self.body(x)
        return x + y if self.skips else y


class MobilePose(nn.Module):
    """Depthwise network with three transposed convolutions and a 1x1 head: heatmaps at a quarter of the resolution."""

    def __init__(self, keypoints: int, act: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), act())
        self.blocks = nn.Sequential(*(InvertedResidual(*sizes, act) for sizes in BLOCKS))
        layers: list[nn.Module] = []
        for before in (96, 64, 64):
            layers += [nn.ConvTranspose2d(before, 64, 4, 2, 1, bias=False), nn.BatchNorm2d(64), act()]
        self.up = nn.Sequential(*layers)
        self.head = nn.Conv2d(64, keypoints, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return heatmaps ``[B, keypoints, H/4, W/4]``."""
        heatmaps: Tensor = self.head(self.up(self.blocks(self.stem(x))))
        return heatmaps


FOREIGN: Mapping[str, Callable[[], nn.Module]] = MappingProxyType(
    OrderedDict(
        mobile_relu=lambda: MobilePose(len(SPEC.keypoints), nn.ReLU),
        mobile_relu6=lambda: MobilePose(len(SPEC.keypoints), nn.ReLU6),
        mobile_hardswish=lambda: MobilePose(len(SPEC.keypoints), nn.Hardswish),
    )
)
"""Networks that this project does not know, by name."""


def drawn_samples(count: int = DRAWN) -> list[dict[str, Tensor]]:
    """Draw documents, and return network inputs and ground truth."""
    data = DocumentCorners()
    return [sample(data.training(0, index), CORNERS) for index in range(count)]


def trained(name: str, folder: Path, samples: Callable[[], list[dict[str, Tensor]]], steps: int) -> Checkpoint:
    """Load a network that was trained before, or train it and save it.

    Args:
        name: Key of `FOREIGN`, or a name that `edgehrnet.models.create` accepts.
        folder: Folder of the trained networks.
        samples: Gives the samples to train on, if they are needed.
        steps: Training steps.
    """
    path = folder / f"{name}-{steps}.pt"
    if name in FOREIGN:
        network = FOREIGN[name]()
        if path.is_file():
            network.load_state_dict(torch.load(path, weights_only=True))
        else:
            train(network, samples(), steps)
            torch.save(network.state_dict(), path)
        return as_checkpoint(traced(network.eval(), len(CORNERS.keypoints), size=CORNERS.input_size), named(name))
    if not path.is_file():
        known = create(name, keypoints=len(CORNERS.keypoints))
        train(known, samples(), steps)
        options = {"keypoints": known.keypoints}
        save_checkpoint(path, name, options, known.state_dict(), named(name).to_dict(), {"steps": steps})
    return load_checkpoint(path)


def scaled(checkpoint: Checkpoint, spread: float) -> Checkpoint:
    """Multiply the channels between two convolutions by random factors, and divide by them in the second one.

    The network computes the same, because only a ReLU lies between. Training leads to such channels too, in longer
    runs and with decay of the weights.

    Args:
        checkpoint: The network.
        spread: Standard deviation of the logarithm of the factors.
    """
    network, random = build_model(checkpoint), torch.Generator().manual_seed(0)
    modules = dict(network.named_modules())
    for flow in trace(network):
        if flow.producer is None or flow.output or flow.adds or flow.others or len(flow.convolutions) != 1:
            continue
        first, second = modules[flow.producer], modules[flow.convolutions[0]]
        if not (isinstance(first, ConvBNAct) and isinstance(second, ConvBNAct)):
            continue
        if not isinstance(first.act, nn.Identity | nn.ReLU) or not isinstance(first.bn, nn.BatchNorm2d):
            continue
        factors = torch.exp(spread * torch.randn(len(first.bn.weight), generator=random))
        with torch.no_grad():
            first.bn.weight.mul_(factors)
            first.bn.bias.mul_(factors)
            second.conv.weight.div_(factors[:, None, None, None] if second.groups > 1 else factors[:, None, None])
    return dataclasses.replace(checkpoint, state=network.state_dict())


def named(name: str) -> ModelSpec:
    """Return the spec of the trained networks with another name."""
    return CORNERS.replace(name=name)


def train(network: nn.Module, samples: list[dict[str, Tensor]], steps: int) -> None:
    """Train a network, with a learning rate that rises for a tenth of the steps and then falls to 0."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.out_channels == len(CORNERS.keypoints) and module.bias is not None:
            nn.init.constant_(module.bias, -4.0)  # most cells are background
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=1e-4)
    network.train()
    for step in range(steps):
        share = min(1.0, 10 * (step + 1) / steps) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * share
        batch = default_collate([samples[index] for index in torch.randint(len(samples), (BATCH,)).tolist()])
        found = network(network_input(batch.pop("image"), CORNERS.mean, CORNERS.std))
        output = found if isinstance(network, KeypointNetwork) else Output(found, found, None, {})
        terms = keypoint_loss(output, batch, cyclic=False, weights=Weights())
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
    network.eval()
