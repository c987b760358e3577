"""Define labeled instances. Every reader of a label format returns them, and nothing else reads the label files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from quant.data.examples import Box
from quant.data.remarks import Remarks

ImageId: TypeAlias = int | str
"""Id of a picture in its label file. The files of detectors refer to it."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A labeled picture, without its pixels."""

    path: Path
    """File of the picture."""
    id: ImageId
    """Id in the label file, or a number from 1 where the format has none."""
    source: str
    """Label file and entry, for error messages."""
    size: tuple[int, int] | None = None
    """Size (height, width) in pixels as the label file states it. None if it does not."""


@dataclass(frozen=True, eq=False)
class Instance:
    """One object in a picture with its keypoints. All numbers are finite."""

    picture: Picture
    """Picture that shows the object."""
    points: NDArray[np.float64]
    """Keypoints ``(K, 2)`` x, y in picture pixels, 0 where not labeled."""
    visibility: NDArray[np.uint8]
    """``(K,)`` as in COCO: 0 not labeled, 1 labeled but hidden, 2 labeled and visible."""
    source: str
    """Label file and annotation or row, for error messages."""
    box: Box | None = None
    """Box ``xywh`` in picture pixels. None until it is derived from the keypoints."""
    area: float | None = None
    """Area of the object in square pixels. None until it is derived from the box."""
    crowd: bool = False
    """Whether this is a crowd. Crowds are neither trained on nor scored."""
    category: int = 1
    """Number of the category, from 1, see `Annotations.categories`."""

    @property
    def labeled(self) -> NDArray[np.bool_]:
        """``(K,)``, True where a keypoint is labeled."""
        return self.visibility > 0

    @property
    def trained(self) -> bool:
        """Return whether the instance is trained on and scored: it is no crowd, and has a labeled keypoint."""
        return not self.crowd and bool(self.labeled.any())


@dataclass
class Annotations:
    """Content of a set of labels."""

    name: str
    """Name of the data set, and of a model trained on it."""
    source: Path
    """File or folder that was read."""
    keypoints: tuple[str, ...]
    """Keypoint names in channel order."""
    pictures: Sequence[Picture]
    """All pictures, in the order of the labels. Some may have no instance."""
    instances: Sequence[Instance]
    """All instances, crowds and those without a labeled keypoint included."""
    skeleton: tuple[tuple[int, int], ...] = ()
    """Pairs of keypoint indices to connect in drawings."""
    flip_pairs: tuple[tuple[int, int], ...] = ()
    """Pairs of keypoint indices to swap in a mirrored picture."""
    unpaired: tuple[str, ...] = ()
    """Names of left or right keypoints without a partner. Pictures are not mirrored if there are any."""
    sigmas: tuple[float, ...] = ()
    """OKS constants of the keypoints. Empty if the labels state none."""
    categories: dict[int, tuple[ImageId, str]] = field(default_factory=lambda: {1: (1, "object")})
    """Maps the number of a category, from 1, to its id in the label file and its name."""
    sizes: Mapping[Picture, tuple[int, int]] = field(default_factory=dict)
    """Size (height, width) in pixels of each picture as it is shown. Empty until the files are opened."""
    aliases: Mapping[ImageId, Picture] = field(default_factory=dict)
    """Pictures by all ids that the labels give them. A file that is listed several times has several."""
    remarks: Remarks = field(default_factory=Remarks)
    """What was derived, dropped or looks wrong."""

    def trained(self) -> Iterator[Instance]:
        """Yield the instances that are trained on and scored."""
        return (instance for instance in self.instances if instance.trained)

    def by_id(self) -> dict[ImageId, Picture]:
        """Return the pictures by all of their ids."""
        return {**self.aliases, **{picture.id: picture for picture in self.pictures}}
