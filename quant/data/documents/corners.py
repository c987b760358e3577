"""Provide the data set ``synthetic:document-corners``: endless synthetic documents and their four corners."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgehrnet.spec import ModelSpec
from quant.data.documents.difficulty import HARD, TRAINING
from quant.data.documents.scenes import Scene, document_scene
from quant.data.examples import Example

NAME = "synthetic:document-corners"
SPEC = ModelSpec(
    name="document-corners",
    keypoints=("top-left", "top-right", "bottom-right", "bottom-left"),
    skeleton=((0, 1), (1, 2), (2, 3), (3, 0)),
    flip_pairs=((0, 1), (2, 3)),
    cyclic=True,
)
# First seed and pool of the validation set. No training run uses them.
HELD_BACK = 1_000_000_000
HELD_BACK_POOL = 1
HELD_BACK_COUNT = 2000  # default size of the validation set
TRAINING_SEEDS = 900_000_000
FIRST_TRAINING_POOL = 3
POOL_PICTURES = 8000
"""Consecutive training pictures that share a pool. Generating a pool costs as much as 500 pictures."""
SAMPLES = {
    "document": (20_446, (960, 1280)),  # a stained letter on a stack of sheets, half in the shade
    "receipt": (20_328, (960, 1280)),
    "card": (20_017, (1280, 960)),
    "book": (20_194, (960, 1280)),
}
"""Index of each sample picture after the validation set, and its (width, height) in px."""
CALIBRATION_SEEDS = 50_000_000
CALIBRATION = 950_000_000  # first seed of the calibration pictures


def validation_scene(index: int) -> Scene:
    """Return validation scene ``index``. It never changes, and is harder than training scenes."""
    return document_scene(HELD_BACK + index, pool=HELD_BACK_POOL, hard=HARD)


def sample_scene(name: str = "document") -> Scene:
    """Return the scene of a sample picture. Raise KeyError unless ``name`` is in `SAMPLES`."""
    index, size = SAMPLES[name]
    return document_scene(HELD_BACK + index, size=size, pool=HELD_BACK_POOL)


@dataclass(frozen=True)
class DocumentCorners:
    """Synthetic documents as a DataSet."""

    first: int = HELD_BACK
    """Seed of the first validation picture."""

    pool: int = HELD_BACK_POOL
    """Pool of the validation pictures."""

    spec: ModelSpec = SPEC
    """Spec of a network for this data."""

    def __len__(self) -> int:
        return 0

    def training(self, seed: int, number: int) -> Example:
        """Return a training picture. Every scene is new, so there is no augmentation."""
        seed = (seed * 100_000_007 + number) % TRAINING_SEEDS
        pool = FIRST_TRAINING_POOL + seed // POOL_PICTURES
        return example(document_scene(seed, pool=pool, hard=TRAINING))

    def calibration(self, count: int, seed: int = 0) -> Iterator[NDArray[np.uint8]]:
        """Yield ``count`` calibration pictures ``(H, W, 3)``."""
        for index in range(count):
            yield document_scene(CALIBRATION + (100_003 * seed + index) % CALIBRATION_SEEDS).image

    def validation(self, count: int | None = None) -> Iterator[Example]:
        """Yield the first ``count`` validation pictures, None for the default number."""
        for index in range(HELD_BACK_COUNT if count is None else count):
            yield example(document_scene(self.first + index, pool=self.pool, hard=HARD))


UNSEEN = DocumentCorners(first=980_000_000, pool=2)
"""Pictures outside the training and validation sets, to which confidences are fitted."""


def example(scene: Scene) -> Example:
    """Convert a scene to an example. Corners outside the picture are not visible."""
    edge = np.roll(scene.corners, -1, axis=0)
    area = float(abs((scene.corners[:, 0] * edge[:, 1] - edge[:, 0] * scene.corners[:, 1]).sum()) / 2)
    empty = "empty" in scene.conditions
    return Example(scene.image, scene.corners, scene.visible, empty=empty, area=area, conditions=scene.conditions)
