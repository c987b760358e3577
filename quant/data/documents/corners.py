"""``synthetic:document-corners``: drawn documents and their four corners, without end."""

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
# Seeds that no training run ever draws, and pages, surfaces and things that it never sees.
HELD_BACK = 1_000_000_000
HELD_BACK_POOL = 1
HELD_BACK_COUNT = 2000  # how many are scored unless told otherwise
TRAINING_SEEDS = 900_000_000
FIRST_TRAINING_POOL = 3
POOL_PICTURES = 8000
"""Training pictures in a row that share pages, surfaces and things: drawing those costs as much as 500 pictures."""
SAMPLES = {
    "document": (20_446, (960, 1280)),  # a stained letter on a stack of others, half in the shade
    "receipt": (20_328, (960, 1280)),
    "card": (20_017, (1280, 960)),
    "book": (20_194, (960, 1280)),
}
"""Number of each sample picture beyond those that are scored, and its (width, height) in px."""
CALIBRATION_SEEDS = 50_000_000
CALIBRATION = 950_000_000  # between the two, of textures of their own


def held_back_scene(index: int) -> Scene:
    """Return the validation picture of this number, harder than those of training; the same everywhere, for ever."""
    return document_scene(HELD_BACK + index, pool=HELD_BACK_POOL, hard=HARD)


def sample_scene(name: str = "document") -> Scene:
    """Return the held-back scene that ships as the sample picture of this name; KeyError if there is none."""
    index, size = SAMPLES[name]
    return document_scene(HELD_BACK + index, size=size, pool=HELD_BACK_POOL)


@dataclass(frozen=True)
class DocumentCorners:
    """The drawn documents as a DataSet; see there.

    ``first``, ``pool``: seed of the first picture held back, and which textures those are made of.
    """

    first: int = HELD_BACK
    pool: int = HELD_BACK_POOL
    spec: ModelSpec = SPEC

    def __len__(self) -> int:
        return 0

    def training(self, seed: int, number: int) -> Example:
        """See DataSet; every scene is new, so nothing is augmented."""
        seed = (seed * 100_000_007 + number) % TRAINING_SEEDS
        pool = FIRST_TRAINING_POOL + seed // POOL_PICTURES
        return example(document_scene(seed, pool=pool, hard=TRAINING))

    def calibration(self, count: int, seed: int = 0) -> Iterator[NDArray[np.uint8]]:
        """See DataSet."""
        for index in range(count):
            yield document_scene(CALIBRATION + (100_003 * seed + index) % CALIBRATION_SEEDS).image

    def held_back(self, count: int | None = None) -> Iterator[Example]:
        """See DataSet."""
        for index in range(HELD_BACK_COUNT if count is None else count):
            yield example(document_scene(self.first + index, pool=self.pool, hard=HARD))


UNSEEN = DocumentCorners(first=980_000_000, pool=2)
"""Pictures that neither train nor score: what confidences are fitted on."""


def example(scene: Scene) -> Example:
    """Return the scene as an example; its corners that lie outside the picture count as not visible."""
    edge = np.roll(scene.corners, -1, axis=0)
    area = float(abs((scene.corners[:, 0] * edge[:, 1] - edge[:, 0] * scene.corners[:, 1]).sum()) / 2)
    empty = "empty" in scene.conditions
    return Example(scene.image, scene.corners, scene.visible, empty=empty, area=area, conditions=scene.conditions)
