"""Give each channel of the inputs of depthwise convolutions its own range, for engines that run them so on integers.

A depthwise convolution never adds up two channels, so their integers may have different scales.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

import numpy as np
import torch
from torch import Tensor, nn

from edgehrnet.models.checkpoints import Checkpoint, build_model
from edgehrnet.models.checkpoints.ranges import Channels, RangeTable
from edgehrnet.models.deploy.export_module import network_input
from edgehrnet.models.deploy.folding import fold_batchnorm
from edgehrnet.models.deploy.frozen import attach
from edgehrnet.spec import ModelSpec
from quant.int8.calibration import Seen, choose_range, quantization
from quant.int8.placement import place
from quant.int8.scheme import Int8Scheme

BINS = 512  # of the histogram of a channel
FINEST = 1 / 128  # of the tensor's scale; the least scale of a channel, which may be larger in other pictures


class _Observer(nn.Module):
    """Observes the ends of each channel, and once `counts` is a tensor, their histograms."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.high = torch.zeros(1), torch.zeros(1)
        self.counts: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Observe a tensor ``[B, C, H, W]``, and return it."""
        if self.counts is None:
            self.low = torch.minimum(self.low, x.amin(dim=(0, 2, 3)))
            self.high = torch.maximum(self.high, x.amax(dim=(0, 2, 3)))
            return x
        width = (self.high - self.low).clamp(min=torch.finfo(torch.float32).tiny)[:, None, None]
        bins = ((x - self.low[:, None, None]) / width * BINS).long().clamp(0, BINS - 1)
        bins += torch.arange(x.shape[1])[:, None, None] * BINS
        self.counts += torch.bincount(bins.flatten(), minlength=len(self.counts))
        return x

    def seen(self) -> list[Seen]:
        """Return what was observed of each channel."""
        assert self.counts is not None
        counts = self.counts.reshape(-1, BINS).double().numpy()
        return [Seen(*ends) for ends in zip(self.low.tolist(), self.high.tolist(), counts, strict=True)]


def channelwise_sites(checkpoint: Checkpoint, scheme: Int8Scheme) -> list[str]:
    """Return the sites of the checkpoint's range table whose channels may have their own ranges."""
    if not scheme.channel_ranges:
        return []
    table = checkpoint.table(scheme.target)
    return sorted(place(build_model(checkpoint), scheme).depthwise & table.sites.keys())


@torch.no_grad()
def channelwise(
    checkpoint: Checkpoint, images: list[Tensor], schemes: Collection[Int8Scheme], method: str = "histogram"
) -> Checkpoint:
    """Return the calibrated checkpoint with ranges for each channel of depthwise inputs, where a scheme allows them.

    Args:
        checkpoint: The calibrated checkpoint.
        images: Letterboxed pictures, u8 ``[1, H, W, C]``.
        schemes: The schemes that it was calibrated for.
        method: One of `calibration.METHODS`. ``moving-average`` counts as ``minmax``.
    """
    tables = dict(checkpoint.quantization)
    for scheme in schemes:
        sites = channelwise_sites(checkpoint, scheme)
        table, found = checkpoint.table(scheme.target), _observe(checkpoint, sites, images)
        channels = {site: _ranges(seen, table, site, scheme, method) for site, seen in found.items()}
        tables[scheme.target] = dataclasses.replace(table, channels=channels)
    return dataclasses.replace(checkpoint, quantization=tables)


def _observe(checkpoint: Checkpoint, sites: Collection[str], images: list[Tensor]) -> dict[str, list[Seen]]:
    """Run the float network twice: for the ends of each channel, then for the histograms between them."""
    spec, network = ModelSpec.from_dict(checkpoint.spec), fold_batchnorm(build_model(checkpoint))
    observers = {site: _Observer() for site in sites}
    for site, observer in observers.items():
        attach(network, site, observer)
    for _ in range(2 if observers else 0):
        for image in images:
            network(network_input(image, spec.mean, spec.std))
        for observer in observers.values():
            if observer.counts is None:
                observer.counts = torch.zeros(len(observer.low) * BINS, dtype=torch.int64)
    return {site: observer.seen() for site, observer in observers.items()}


def _ranges(seen: list[Seen], table: RangeTable, site: str, scheme: Int8Scheme, method: str) -> Channels:
    least = table.sites[site][0] * FINEST
    pairs = [quantization(*choose_range(channel, scheme, method), scheme) for channel in seen]
    scales = tuple(float(np.float32(max(scale, least))) for scale, _ in pairs)
    return scales, tuple(zero for _, zero in pairs)
