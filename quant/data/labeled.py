"""Read labeled photographs and the label tables of DeepLabCut and Lightning Pose. COCO files are read by coco.py.

All labels are read at once. A picture is opened when it is needed.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehrnet.errors import InputError, MissingImageError
from edgehrnet.picture.crops import MARGIN
from edgehrnet.picture.sources import read_image
from edgehrnet.spec import ModelSpec
from quant.data.augmentation import augment, inside
from quant.data.examples import Box, Example, random_subset
from quant.data.person_augmentation import augment_person

TABLE = "CollectedData.csv"
INPUT_SIZE = (256, 256)
"""Usual input size (height, width) for the pictures of a table."""
LISTED = 5
"""Missing pictures that an error names."""


@dataclass(frozen=True)
class Label:
    """One labeled instance, without its pixels."""

    path: Path
    """File of the picture."""
    points: NDArray[np.float64]
    """Keypoints ``(K, 2)`` x, y in picture pixels."""
    visible: NDArray[np.bool_]
    """``(K,)``, True where a keypoint is labeled."""
    box: Box | None
    """Box ``xywh`` in picture pixels. None if the picture shows only one instance."""
    area: float
    """Area in square pixels."""
    image_id: int | None = None
    """COCO's id of the picture."""

    def example(self) -> Example:
        """Open the picture and return the example. A labeled keypoint outside the picture counts as not visible."""
        image = read_image(self.path)
        visible = self.visible & inside(self.points, image.shape[1], image.shape[0])
        known = bool(self.visible.all())
        return Example(
            image, self.points, visible, outlined=known, area=self.area, box=self.box, image_id=self.image_id
        )

    def picture(self) -> NDArray[np.uint8]:
        """Open the picture. If there is a box, return the part of the picture that its crop shows.

        Raises:
            InputError: the box lies outside the picture or has no area.
        """
        image = read_image(self.path)
        if self.box is None:
            return image
        height, width = image.shape[:2]
        x, y, w, h = self.box
        grow = (MARGIN - 1) / 2
        left, top = max(0, math.floor(x - grow * w)), max(0, math.floor(y - grow * h))
        right, bottom = min(width, math.ceil(x + w + grow * w)), min(height, math.ceil(y + h + grow * h))
        if left >= right or top >= bottom:
            raise InputError(
                f"{self.path}: box {self.box} does not overlap the picture of {width}x{height} px; "
                "boxes are xywh: left, top, width, height"
            )
        return np.ascontiguousarray(image[top:bottom, left:right])


class Labeled:
    """A data set of labeled pictures on disk, split into a training part and a validation part.

    All instances of a picture are in the same part, since the crops of neighbors overlap.
    """

    def __init__(
        self, spec: ModelSpec, labels: Sequence[Label], fold: tuple[int, int] | None = None, *, augmented: bool = True
    ) -> None:
        """Split the labels.

        Args:
            spec: spec of a network for this data.
            labels: the labeled instances.
            fold: (k, n) uses every n-th picture for validation, beginning with the k-th, counted from 0. With None,
                every picture is in both parts.
            augmented: whether training examples are augmented.

        Raises:
            InputError: one of the parts would be empty.
        """
        self.spec, self.fold, self.augmented = spec, fold, augmented
        self._validation = list(labels)
        self._training = list(labels)
        if fold is not None:
            k, n = fold
            part = {path: index % n for index, path in enumerate(dict.fromkeys(label.path for label in labels))}
            self._validation = [label for label in labels if part[label.path] == k]
            self._training = [label for label in labels if part[label.path] != k]
        if not self._training or not self._validation:
            why = "" if fold is None else f"; fold {fold[0]}/{fold[1]} needs some in both parts"
            raise InputError(f"{spec.name} has {len(labels)} labeled instances{why}")

    def __len__(self) -> int:
        return len(self._training)

    def counts(self) -> tuple[int, int, int]:
        """Return the number of pictures and of instances in both parts, and of instances in the validation part."""
        labels = self._training if self.fold is None else [*self._training, *self._validation]
        return len({label.path for label in labels}), len(labels), len(self._validation)

    def check_files(self) -> None:
        """Raise MissingImageError, naming the first ones, if pictures do not exist."""
        paths = dict.fromkeys(label.path for label in (*self._training, *self._validation))
        missing = [str(path) for path in paths if not path.is_file()]
        if missing:
            more = f" and {len(missing) - LISTED} more" if len(missing) > LISTED else ""
            raise MissingImageError(f"{self.spec.name} lacks {len(missing)} of its {len(paths)} pictures: "
                                    f"{', '.join(missing[:LISTED])}{more}")  # fmt: skip

    def training(self, seed: int, number: int) -> Example:
        """See DataSet. Each instance comes once in an epoch, and each epoch has a different order."""
        epoch, place = divmod(number, len(self._training))
        order = np.random.default_rng((seed, epoch)).permutation(len(self._training))
        example: Example = self._training[order[place]].example()
        if not self.augmented:
            return example
        rng = np.random.default_rng((seed, epoch, place))
        return augment(example, rng) if example.box is None else augment_person(example, self.spec, rng)

    def calibration(self, count: int, seed: int = 0) -> Iterator[NDArray[np.uint8]]:
        """See DataSet. No instance comes twice."""
        for index in random_subset(len(self._training), count, seed):
            yield self._training[index].picture()

    def validation(self, count: int | None = None) -> Iterator[Example]:
        """See DataSet."""
        for label in self._validation[:count]:
            yield label.example()


def read_table(folder: Path, fold: tuple[int, int] | None = None, *, augmented: bool = True) -> Labeled:
    """Read ``CollectedData.csv`` from a folder.

    The table has three header rows (scorer, bodyparts, coords). Each further row has the path of a picture, relative
    to the folder, and x, y of each keypoint. A keypoint with an empty cell is not labeled.

    Args:
        folder: folder with the table.
        fold: see `Labeled`.
        augmented: whether training examples are augmented.

    Raises:
        InputError: the table cannot be read or has another layout.
    """
    path = folder / TABLE
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"cannot read {path}: {error}") from None
    names = _names(path, rows[:3])
    labels = []
    for line, row in enumerate(rows[3:], start=4):
        if not row:  # a blank line, such as the last
            continue
        try:
            values = np.array([float(cell) if cell else np.nan for cell in row[1:]]).reshape(len(names), 2)
        except ValueError:
            raise InputError(f"{path}, line {line}: expected {2 * len(names)} numbers or empty cells") from None
        labels.append(_label(folder / row[0], values, np.isfinite(values).all(axis=1)))
    spec = ModelSpec(name=folder.resolve().name, keypoints=names, input_size=INPUT_SIZE)
    return Labeled(spec, labels, fold, augmented=augmented)


def _names(path: Path, rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the keypoint names in the header rows. Raise InputError if their columns are not x and y of each."""
    if len(rows) < 3 or [row[:1] for row in rows] != [["scorer"], ["bodyparts"], ["coords"]]:
        raise InputError(f"{path} is not a table of keypoints: its first rows must be scorer, bodyparts and coords")
    names = rows[1][1::2]
    if not names or rows[1][2::2] != names or rows[2][1:] != ["x", "y"] * len(names):
        raise InputError(f"{path}: the columns must be x and y of each keypoint, in this order, and no others")
    return tuple(names)


def _label(path: Path, values: NDArray[np.float64], visible: NDArray[np.bool_]) -> Label:
    """Make a label without a box. Its area is that of the bounding box of its points."""
    points = np.where(visible[:, None], values, 0.0)
    spread = np.ptp(points[visible], axis=0) if visible.any() else np.zeros(2)
    return Label(path, points, visible, None, float(spread.prod()))
