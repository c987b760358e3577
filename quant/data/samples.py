"""Examples as training samples: picture -> letterbox -> targets in heatmap cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from edgehrnet.letterbox import CellGrid, letterbox
from edgehrnet.spec import ModelSpec
from quant.data.examples import DataSet, Example
from quant.data.targets import SDF_CLIP, heatmap_target, offset_target, outline_targets


@dataclass(frozen=True)
class SampleHeads:
    """Which targets to draw besides heatmaps and offsets."""

    auxiliary: bool = False
    outline: bool = False


class Samples(Dataset[dict[str, Tensor]]):
    """``count`` samples from number ``start`` on; all samples of one batch share an input size.

    A sample holds ``image (H, W, 4)`` u8, ``heatmaps (K, h, w)``, ``offsets (K, 2, h, w)``, ``offset_weight
    (K, h, w)`` and, if asked for, ``aux_p3``, ``aux_p4``, ``boundary (1, h, w)``, ``sdf (1, h, w)``.
    The input size (height, width) of batch b is ``sizes[b % len(sizes)]``. Several processes share one stream:
    process ``rank`` of ``world`` takes every world-th batch.
    """

    def __init__(
        self,
        data: DataSet,
        start: int,
        count: int,
        *,
        batch: int,
        sizes: tuple[tuple[int, int], ...],
        seed: int = 0,
        heads: SampleHeads = SampleHeads(),
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.data = data
        self.start, self.count, self.batch, self.sizes = start, count, batch, sizes
        self.seed, self.heads, self.rank, self.world = seed, heads, rank, world

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < self.count:
            raise IndexError(index)
        step, place = divmod(self.start + index, self.batch)
        number = (step * self.world + self.rank) * self.batch + place
        example = self.data.training(self.seed, number)
        return sample(example, self.data.spec, self.sizes[step % len(self.sizes)], self.heads)


def sample(example: Example, spec: ModelSpec, input_size: tuple[int, int], heads: SampleHeads) -> dict[str, Tensor]:
    """Turn an example into network input and targets; see Samples."""
    image, box = letterbox(example.image, input_size)
    points = box.forward(example.points)
    height, width = input_size
    grid, shape = spec.grid, (height // spec.stride, width // spec.stride)
    offsets, weight = offset_target(points, example.visible, grid, shape)
    arrays = {
        "image": image,
        "heatmaps": heatmap_target(points, example.visible, grid, shape),
        "offsets": offsets,
        "offset_weight": weight,
    }
    if heads.auxiliary:
        for name, stride in (("aux_p3", 8), ("aux_p4", 16)):
            coarse = CellGrid(stride, (stride - 1) / 2)
            shape_coarse = (height // stride, width // stride)
            arrays[name] = heatmap_target(points, example.visible, coarse, shape_coarse)
    if heads.outline:
        boundary = np.zeros(shape, np.float32)
        distance = np.full(shape, SDF_CLIP, np.float32)
        if not example.empty:
            boundary, distance = outline_targets(points, grid, shape)
        arrays["boundary"], arrays["sdf"] = boundary[None], distance[None]
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
