"""Turn examples into training samples: network input and ground-truth maps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from edgehrnet.errors import EdgeHRNetError
from edgehrnet.picture.cells import CellGrid
from edgehrnet.preparation import channels_of, prepare
from edgehrnet.spec import ModelSpec
from quant.data.codecs import CODECS, SDF_CLIP, Codec, MapLayout, gaussian_heatmaps, outline_maps
from quant.data.examples import DataSet, Example


@dataclass(frozen=True)
class SampleHeads:
    """Heads of the network that need ground truth in addition to heatmaps and offsets."""

    auxiliary: bool = False
    """Add ``aux_p3`` and ``aux_p4``, heatmaps ``(K, h, w)`` at strides 8 and 16."""
    outline: bool = False
    """Add ``boundary (1, h, w)``, ``sdf (1, h, w)`` and ``outline_weight ()``, 0 where the outline is unknown."""


class Samples(Dataset[dict[str, Tensor]]):
    """A stream of training samples in which all samples of a batch have the same input size.

    A sample holds ``image (H, W, C)`` u8, the maps of the codec and those of `SampleHeads`. The input size of batch b
    is ``sizes[b % len(sizes)]``.
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
        """Open the stream at sample ``start``.

        Args:
            data: source of the examples.
            spec: spec of the network to train.
            start: index of the first sample, counted in this process.
            count: number of samples.
            codec: encoding of the keypoints.
            batch: samples in a batch.
            sizes: input sizes (height, width), used in turn by the batches.
            seed: seed of the data set's stream.
            heads: heads that need more ground truth.
            rank: index of this process. Processes share one stream: this one takes every ``world``-th batch.
            world: number of processes.
        """
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


def batches(samples: Samples, workers: int) -> Iterator[dict[str, Tensor]]:
    """Yield the batches of a stream, prepared by ``workers`` processes, or by this one if there are none.

    Raises:
        EdgeHRNetError: a picture cannot be read. The class is that of the error in the worker process.
    """
    try:
        yield from DataLoader(samples, samples.batch, num_workers=workers)
    except EdgeHRNetError as error:
        # A worker process puts its traceback before the message.
        if not str(error).startswith("Caught "):
            raise
        raise type(error)(str(error).splitlines()[-1].partition(": ")[2]) from None


def sample(
    example: Example, spec: ModelSpec, heads: SampleHeads = SampleHeads(), codec: Codec = CODECS["offset"]
) -> dict[str, Tensor]:
    """Turn an example into network input and ground-truth maps at the spec's input size. See `Samples`."""
    boxes = None if spec.crop is None or example.box is None else [example.box]
    inputs, (transform,) = prepare(example.image, spec, boxes, rotation=example.rotation, scale=example.scale)
    points = transform.forward(example.points)
    height, width = spec.input_size
    grid, shape = spec.grid, (height // spec.stride, width // spec.stride)
    arrays: dict[str, NDArray[Any]] = {"image": channels_of(inputs[0], spec)}
    arrays |= codec.encode(points, example.visible, MapLayout(grid, shape, codec.sigma(spec.input_size)))
    if heads.auxiliary:
        for name, stride in (("aux_p3", 8), ("aux_p4", 16)):
            coarse = CellGrid(stride, (stride - 1) / 2)
            shape_coarse = (height // stride, width // stride)
            arrays[name] = gaussian_heatmaps(points, example.visible, coarse, shape_coarse)
    if heads.outline:
        boundary = np.zeros(shape, np.float32)
        distance = np.full(shape, SDF_CLIP, np.float32)
        if not example.empty:
            boundary, distance = outline_maps(points, grid, shape)
        arrays["boundary"], arrays["sdf"] = boundary[None], distance[None]
        arrays["outline_weight"] = np.array(example.empty or example.outlined, np.float32)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
