"""Synthetic documents as training samples: picture -> letterbox -> targets in heatmap cells."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from edgehrnet.errors import InputError, nearest
from edgehrnet.letterbox import CellGrid, letterbox
from edgehrnet.spec import ModelSpec
from quant.data.documents import Scene, document_scene
from quant.data.targets import SDF_CLIP, heatmap_target, offset_target, outline_targets

NAME = "synthetic:document-corners"
SPEC = ModelSpec(
    name="document-corners",
    keypoints=("top-left", "top-right", "bottom-right", "bottom-left"),
    skeleton=((0, 1), (1, 2), (2, 3), (3, 0)),
    flip_pairs=((0, 1), (2, 3)),
    cyclic=True,
)
# Seeds that no training run ever draws, and pages, surfaces and things that it never sees.
HELD_BACK = 1_000_000_000
HELD_BACK_POOL = 1
TRAINING_SEEDS = 900_000_000


def check_name(data: str) -> None:
    """Raise InputError unless ``data`` names a data set that can be trained on."""
    if data != NAME:
        raise InputError(f"unknown data set {data!r}; {nearest(data, [NAME])}")


def held_back_scene(index: int) -> Scene:
    """Return the validation picture of this number; the same everywhere and for ever."""
    return document_scene(HELD_BACK + index, pool=HELD_BACK_POOL)


def sample_scene() -> Scene:
    """Return the held-back scene that ships as the sample picture: a tilted letter, half in the shade, clutter."""
    return document_scene(HELD_BACK + 20_049, size=(1280, 960), pool=HELD_BACK_POOL)


@dataclass(frozen=True)
class SampleHeads:
    """Which targets to draw besides heatmaps and offsets."""

    auxiliary: bool = False
    outline: bool = False


class DocumentCorners(Dataset[dict[str, Tensor]]):
    """``count`` samples from number ``start`` on; all samples of one batch share an input size.

    A sample holds ``image (H, W, 4)`` u8, ``heatmaps (4, h, w)``, ``offsets (4, 2, h, w)``, ``offset_weight
    (4, h, w)`` and, if asked for, ``aux_p3``, ``aux_p4``, ``boundary (1, h, w)``, ``sdf (1, h, w)``.
    The input size (height, width) of batch b is ``sizes[b % len(sizes)]``. Several processes share one stream:
    process ``rank`` of ``world`` takes every world-th batch.
    """

    def __init__(
        self,
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
        self.start, self.count, self.batch, self.sizes = start, count, batch, sizes
        self.seed, self.heads, self.rank, self.world = seed, heads, rank, world

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        if not 0 <= index < self.count:
            raise IndexError(index)
        step, place = divmod(self.start + index, self.batch)
        number = (step * self.world + self.rank) * self.batch + place
        scene_seed = (self.seed * 100_000_007 + number) % TRAINING_SEEDS
        return corner_sample(document_scene(scene_seed), self.sizes[step % len(self.sizes)], self.heads)


def corner_sample(scene: Scene, input_size: tuple[int, int], heads: SampleHeads) -> dict[str, Tensor]:
    """Turn a scene into network input and targets; see DocumentCorners."""
    image, box = letterbox(scene.image, input_size)
    points = box.forward(scene.corners)
    height, width = input_size
    grid, shape = SPEC.grid, (height // SPEC.stride, width // SPEC.stride)
    offsets, weight = offset_target(points, scene.visible, grid, shape)
    arrays = {
        "image": image,
        "heatmaps": heatmap_target(points, scene.visible, grid, shape),
        "offsets": offsets,
        "offset_weight": weight,
    }
    if heads.auxiliary:
        for name, stride in (("aux_p3", 8), ("aux_p4", 16)):
            coarse = CellGrid(stride, (stride - 1) / 2)
            shape_coarse = (height // stride, width // stride)
            arrays[name] = heatmap_target(points, scene.visible, coarse, shape_coarse)
    if heads.outline:
        boundary = np.zeros(shape, np.float32)
        distance = np.full(shape, SDF_CLIP, np.float32)
        if "empty" not in scene.conditions:
            boundary, distance = outline_targets(points, grid, shape)
        arrays["boundary"], arrays["sdf"] = boundary[None], distance[None]
    return {name: torch.from_numpy(array) for name, array in arrays.items()}
