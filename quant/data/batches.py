"""Examples as training samples: picture -> letterbox or crop -> targets in heatmap cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from edgehrnet.picture.cells import CellGrid
from edgehrnet.picture.crops import crop
from edgehrnet.picture.letterbox import letterbox
from edgehrnet.preparation import Transform, fit_crop
from edgehrnet.spec import ModelSpec
from quant.data.codecs import CODECS, SDF_CLIP, Codec, heatmap_target, outline_targets
from quant.data.examples import DataSet, Example


@dataclass(frozen=True)
class SampleHeads:
    """Which targets to draw besides heatmaps and offsets."""

    auxiliary: bool = False
    outline: bool = False


class Samples(Dataset[dict[str, Tensor]]):
    """``count`` samples from number ``start`` on; all samples of one batch share an input size.

    A sample holds ``image (H, W, C)`` u8, what the codec draws, and if asked for ``aux_p3``, ``aux_p4``,
    ``boundary (1, h, w)``, ``sdf (1, h, w)`` and ``outline_weight ()``, 0 where no outline is known. ``spec``: of the
    network that is trained.
    The input size (height, width) of batch b is ``sizes[b % len(sizes)]``. Several processes share one stream:
    process ``rank`` of ``world`` takes every world-th batch.
    """

    def __init__(
        self,
        data: DataSet,
        spec: ModelSpec,
        start: int,
        count: int,
        *,
        codec: Codec = CODECS["offset"],
        batch: int,
        sizes: tuple[tuple[int, int], ...],
        seed: int = 0,
        heads: SampleHeads = SampleHeads(),
        rank: int = 0,
        world: int = 1,
    ) -> None:
        self.data, self.codec = data, codec
        self.specs = [spec.replace(input_size=size) for size in sizes]
        self.start, self.count, self.batch = start, count, batch
        self.seed, self.heads, self.rank, self.world = seed, heads, rank, world

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < self.count:
            raise IndexError(index)
        step, place = divmod(self.start + index, self.batch)
        number = (step * self.world + self.rank) * self.batch + place
        example = self.data.training(self.seed, number)
        return sample(example, self.specs[step % len(self.specs)], self.heads, self.codec)


def sample(
    example: Example, spec: ModelSpec, heads: SampleHeads = SampleHeads(), codec: Codec = CODECS["offset"]
) -> dict[str, Tensor]:
    """Turn an example into network input and targets, at the spec's input size; see Samples."""
    transform: Transform
    if spec.crop is None:
        image, transform = letterbox(example.image, spec.input_size)
    else:
        transform = fit_crop(example.image, spec, example.box, rotation=example.rotation, scale=example.scale)
        image = crop(example.image, transform)
    points = transform.forward(example.points)
    height, width = spec.input_size
    grid, shape = spec.grid, (height // spec.stride, width // spec.stride)
    arrays: dict[str, NDArray[Any]] = {"image": np.ascontiguousarray(image[..., : spec.channels])}
    arrays |= codec.draw(points, example.visible, grid, shape, codec.sigma(spec.input_size))
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
        arrays["outline_weight"] = np.array(example.empty or example.outlined, np.float32)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
