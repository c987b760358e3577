"""Labeled photographs on disk, and the tables of them that DeepLabCut and Lightning Pose write; COCO's: coco.py.

Labels are read whole; a picture is opened when it is asked for.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehrnet.errors import InputError
from edgehrnet.picture.crops import MARGIN
from edgehrnet.picture.sources import read_image
from edgehrnet.spec import ModelSpec
from quant.data.augmentation import augment, inside
from quant.data.examples import Box, Example, drawn
from quant.data.person_augmentation import augment_person

TABLE = "CollectedData.csv"
INPUT_SIZE = (256, 256)


@dataclass(frozen=True)
class Label:
    """One labeled instance: its picture's path, ``points (K, 2)``, ``visible (K,)``, COCO ``box`` or None, area.

    ``image_id``: COCO's number of the picture.
    """

    path: Path
    points: NDArray[np.float64]
    visible: NDArray[np.bool_]
    box: Box | None
    area: float
    image_id: int | None = None

    def example(self) -> Example:
        """Open the picture. A labeled point that lies outside it counts as not visible."""
        image = read_image(self.path)
        visible = self.visible & inside(self.points, image.shape[1], image.shape[0])
        known = bool(self.visible.all())
        return Example(
            image, self.points, visible, outlined=known, area=self.area, box=self.box, image_id=self.image_id
        )

    def picture(self) -> NDArray[np.uint8]:
        """Open the picture; with a box, what a crop of it would show, as far as there is picture."""
        image = read_image(self.path)
        if self.box is None:
            return image
        height, width = image.shape[:2]
        x, y, w, h = self.box
        grow = (MARGIN - 1) / 2
        left, top = max(0, math.floor(x - grow * w)), max(0, math.floor(y - grow * h))
        right, bottom = min(width, math.ceil(x + w + grow * w)), min(height, math.ceil(y + h + grow * h))
        if left >= right or top >= bottom:
            raise InputError(f"{self.path}: box {self.box} covers nothing of {width}x{height} px; boxes are x, y, w, h")
        return np.ascontiguousarray(image[top:bottom, left:right])


class Labeled:
    """A data set of labels; ``fold`` (k, n) holds back every n-th picture, beginning with the k-th.

    Instances of one picture stay together, since the crops of neighbors overlap. Without a fold everything is trained
    on, and everything is what is scored. ``augmented``: training pictures are varied.
    """

    def __init__(
        self, spec: ModelSpec, labels: Sequence[Label], fold: tuple[int, int] | None = None, *, augmented: bool = True
    ) -> None:
        self.spec, self.augmented = spec, augmented
        self._held_back = list(labels)
        self._training = list(labels)
        if fold is not None:
            k, n = fold
            part = {path: index % n for index, path in enumerate(dict.fromkeys(label.path for label in labels))}
            self._held_back = [label for label in labels if part[label.path] == k]
            self._training = [label for label in labels if part[label.path] != k]
        if not self._training or not self._held_back:
            why = "" if fold is None else f"; fold {fold[0]}/{fold[1]} needs some in both parts"
            raise InputError(f"{spec.name} has {len(labels)} labeled instances{why}")

    def __len__(self) -> int:
        return len(self._training)

    def training(self, seed: int, number: int) -> Example:
        """See DataSet: each instance once an epoch, in an order of the epoch's own."""
        epoch, place = divmod(number, len(self._training))
        order = np.random.default_rng((seed, epoch)).permutation(len(self._training))
        example: Example = self._training[order[place]].example()
        if not self.augmented:
            return example
        rng = np.random.default_rng((seed, epoch, place))
        return augment(example, rng) if example.box is None else augment_person(example, self.spec, rng)

    def calibration(self, count: int, seed: int = 0) -> Iterator[NDArray[np.uint8]]:
        """See DataSet; none twice, and not augmented."""
        for index in drawn(len(self._training), count, seed):
            yield self._training[index].picture()

    def held_back(self, count: int | None = None) -> Iterator[Example]:
        """See DataSet."""
        for label in self._held_back[:count]:
            yield label.example()


def read_table(folder: Path, fold: tuple[int, int] | None = None, *, augmented: bool = True) -> Labeled:
    """Read ``CollectedData.csv``: three head rows (scorer, bodyparts, coords), then a picture's path and x, y pairs.

    An empty cell is a point that nobody labeled. Paths are relative to the folder.
    """
    path = folder / TABLE
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"cannot read {path}: {error}") from None
    names = _head(path, rows[:3])
    labels = []
    for number, row in enumerate(rows[3:], start=4):
        if not row:  # a blank line, such as the last
            continue
        try:
            values = np.array([float(cell) if cell else np.nan for cell in row[1:]]).reshape(len(names), 2)
        except ValueError:
            raise InputError(f"{path}, line {number}: expected {2 * len(names)} numbers or empty cells") from None
        labels.append(_label(folder / row[0], values, np.isfinite(values).all(axis=1)))
    spec = ModelSpec(name=folder.resolve().name, keypoints=names, input_size=INPUT_SIZE)
    return Labeled(spec, labels, fold, augmented=augmented)


def _head(path: Path, rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the keypoints' names of a table's head rows; InputError unless each has an x and a y, in this order."""
    if len(rows) < 3 or [row[:1] for row in rows] != [["scorer"], ["bodyparts"], ["coords"]]:
        raise InputError(f"{path} is no table of keypoints: its head rows are scorer, bodyparts, coords")
    names = rows[1][1::2]
    if not names or rows[1][2::2] != names or rows[2][1:] != ["x", "y"] * len(names):
        raise InputError(f"{path}: bodyparts and coords name each keypoint's x, then its y, and no other column")
    return tuple(names)


def _label(path: Path, values: NDArray[np.float64], visible: NDArray[np.bool_]) -> Label:
    """Make a label without a box: its area is that of the points' bounding box."""
    points = np.where(visible[:, None], values, 0.0)
    spread = np.ptp(points[visible], axis=0) if visible.any() else np.zeros(2)
    return Label(path, points, visible, None, float(spread.prod()))
