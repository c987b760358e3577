"""Define a labeled example and the interface of a data set."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgehrnet.picture.crops import MARGIN
from edgehrnet.spec import ModelSpec

Box: TypeAlias = tuple[float, float, float, float]
"""Box ``xywh``: left, top, width and height in picture pixels."""


@dataclass(frozen=True)
class Example:
    """A picture and its keypoints."""

    image: NDArray[np.uint8]
    """Picture ``(H, W, 3)`` u8 RGB."""
    points: NDArray[np.float64]
    """Keypoints ``(K, 2)`` x, y in picture pixels, with pixel centers at integers. Always finite."""
    visible: NDArray[np.bool_]
    """``(K,)``, True where a keypoint is labeled and lies in the picture."""
    empty: bool = False
    """Whether the picture contains no object."""
    outlined: bool = True
    """Whether every keypoint is known, including those outside the picture, and with them the outline."""
    area: float = 0.0
    """Area of the object in square pixels. OKS divides errors by it."""
    conditions: frozenset[str] = frozenset()
    """Known difficulties, such as "shadow" or "blur". Errors are listed for each."""
    box: Box | None = None
    """Box ``xywh`` of the object in picture pixels, for models that run on crops. None for synthetic pictures."""
    rotation: float = 0.0
    """Rotation of the crop in degrees. See crops.Crop."""
    scale: float = 1.0
    """Relative size of the crop. See crops.Crop."""
    image_id: int | str | None = None
    """Id of the picture in its label file."""
    path: Path | None = None
    """File of the picture. None for a synthetic one."""

    def box_for(self, spec: ModelSpec) -> Box | None:
        """Return the box if a model with this spec runs on crops, None if it takes whole pictures."""
        return None if spec.crop is None else self.box

    def picture_for(self, spec: ModelSpec) -> NDArray[np.uint8]:
        """Return what a model with this spec is shown: the surroundings of the box, or the whole picture."""
        box = self.box_for(spec)
        if box is None:
            return self.image
        height, width = self.image.shape[:2]
        x, y, w, h = box
        grow = (MARGIN - 1) / 2
        left, top = max(0, math.floor(x - grow * w)), max(0, math.floor(y - grow * h))
        right, bottom = min(width, math.ceil(x + w + grow * w)), min(height, math.ceil(y + h + grow * h))
        return np.ascontiguousarray(self.image[top:bottom, left:right])


class DataSet(Protocol):
    """A data set with a training part and a validation part.

    A training picture is identified by seed and number. The same pair gives the same picture on every machine.
    """

    @property
    def spec(self) -> ModelSpec:
        """Spec of a network for this data: name, keypoints and input size."""
        ...

    def __len__(self) -> int:
        """Return the number of labeled examples in the training part, or 0 if pictures are made without end."""
        ...

    def training(self, seed: int, number: int) -> Example:
        """Return the augmented training example at index ``number``, from 0 without end, of this seed's stream."""
        ...

    def calibration(self, count: int, seed: int = 0) -> Iterator[NDArray[np.uint8]]:
        """Yield at most ``count`` pictures ``(H, W, 3)`` of the training part, not augmented, chosen by the seed."""
        ...

    def validation(self, count: int | None = None) -> Iterator[Example]:
        """Yield the first ``count`` examples of the validation part. None yields all, or a usual number."""
        ...


def random_subset(total: int, count: int, seed: int) -> list[int]:
    """Choose ``count`` different indices below ``total``, or all of them if there are fewer, in rising order.

    >>> random_subset(5, 9, seed=0)
    [0, 1, 2, 3, 4]
    """
    return sorted(np.random.default_rng(seed).permutation(total)[:count].tolist())
