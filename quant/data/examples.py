"""What a data set is: labeled pictures to train on, others held back, and how a network for them is run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgehrnet.spec import ModelSpec

Box: TypeAlias = tuple[float, float, float, float]


@dataclass(frozen=True)
class Example:
    """A picture and where its keypoints are.

    ``image`` ``(H, W, 3)`` u8 RGB. ``points`` ``(K, 2)`` float64, x and y in pixels of the picture, pixel centers at
    integers; always finite. ``visible`` ``(K,)``: whether the point is labeled and lies in the picture. ``empty``:
    there is nothing to find. ``outlined``: every point is known, those outside the picture too, so that the outline
    through them is. ``area``: of the instance in square pixels, which OKS measures errors by.
    ``conditions``: what is known to make the picture hard ("shadow", "blur"); errors are reported for each.
    ``box``: x, y, width, height in pixels of the picture of the one instance that is meant, None if that is all there
    is; ``rotation`` in degrees and ``scale`` are of its crop, see crops.Crop. ``image_id``: COCO's, of such a picture.
    """

    image: NDArray[np.uint8]
    points: NDArray[np.float64]
    visible: NDArray[np.bool_]
    empty: bool = False
    outlined: bool = True
    area: float = 0.0
    conditions: frozenset[str] = frozenset()
    box: Box | None = None
    rotation: float = 0.0
    scale: float = 1.0
    image_id: int | None = None


class DataSet(Protocol):
    """Pictures by number. The same number is the same picture, everywhere and for ever."""

    @property
    def spec(self) -> ModelSpec:
        """How a network for this data is run: its name, keypoints, input size."""
        ...

    def __len__(self) -> int:
        """How many labeled pictures there are to train on; 0 if they have no end."""
        ...

    def training(self, seed: int, number: int) -> Example:
        """Return training picture ``number`` (any whole number from 0) of the stream of this seed, augmented."""
        ...

    def calibration(self, count: int, seed: int = 0) -> Iterator[NDArray[np.uint8]]:
        """Yield at most ``count`` pictures ``(H, W, 3)`` as they will be met, from the training part, by seed."""
        ...

    def held_back(self, count: int | None = None) -> Iterator[Example]:
        """Yield the first ``count`` pictures that training never sees; None for all, or as many as is usual."""
        ...


def drawn(total: int, count: int, seed: int) -> list[int]:
    """Return ``count`` of ``total`` numbers, none twice, in rising order; all of them if there are fewer.

    >>> drawn(5, 9, seed=0)
    [0, 1, 2, 3, 4]
    """
    return sorted(np.random.default_rng(seed).permutation(total)[:count].tolist())
