"""Labelled photographs on disk: COCO keypoint JSON, and the tables that DeepLabCut and Lightning Pose write.

Both are read whole (labels only); a picture is opened when it is asked for.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgehrnet.errors import InputError
from edgehrnet.sources import read_image
from edgehrnet.spec import ModelSpec
from quant.data.augmentation import augment, inside
from quant.data.examples import Example, drawn

TABLE = "CollectedData.csv"
BOX_MARGIN = 1.25  # how much larger than an instance's box the cut-out is, as in HRNet's crops
INPUT_SIZE = (256, 256)


@dataclass(frozen=True)
class Label:
    """One labelled instance: its picture's path, ``points (K, 2)``, ``visible (K,)``, COCO ``box`` or None, area."""

    path: Path
    points: NDArray[np.float64]
    visible: NDArray[np.bool_]
    box: tuple[float, float, float, float] | None
    area: float

    def example(self) -> Example:
        """Open the picture; with a box, cut it out, `BOX_MARGIN` times as large, as far as there is picture.

        A labelled point that lies outside what is left counts as not visible.
        """
        image, points = read_image(self.path), self.points
        if self.box is not None:
            rows, columns = self._cut(*image.shape[:2])
            image, points = np.ascontiguousarray(image[rows, columns]), points - (columns.start, rows.start)
        height, width = image.shape[:2]
        return Example(image, points, self.visible & inside(points, width, height), area=self.area)

    def _cut(self, height: int, width: int) -> tuple[slice, slice]:
        """Return the rows and columns of a picture that the grown box covers."""
        assert self.box is not None
        x, y, w, h = self.box
        grow = (BOX_MARGIN - 1) / 2
        left, top = max(0, math.floor(x - grow * w)), max(0, math.floor(y - grow * h))
        right, bottom = min(width, math.ceil(x + w + grow * w)), min(height, math.ceil(y + h + grow * h))
        if left >= right or top >= bottom:
            raise InputError(f"{self.path}: box {self.box} covers nothing of {width}x{height} px; boxes are x, y, w, h")
        return slice(top, bottom), slice(left, right)


class Labelled:
    """A data set of labels; ``fold`` (k, n) holds back every n-th picture, beginning with the k-th.

    Instances of one picture stay together, since the cut-outs of neighbours overlap. Without a fold everything is
    trained on, and everything is what is scored.
    """

    def __init__(self, spec: ModelSpec, labels: Sequence[Label], fold: tuple[int, int] | None = None) -> None:
        self.spec = spec
        self._held_back = list(labels)
        self._training = list(labels)
        if fold is not None:
            k, n = fold
            part = {path: index % n for index, path in enumerate(dict.fromkeys(label.path for label in labels))}
            self._held_back = [label for label in labels if part[label.path] == k]
            self._training = [label for label in labels if part[label.path] != k]
        if not self._training or not self._held_back:
            why = "" if fold is None else f"; fold {fold[0]}/{fold[1]} needs some in both parts"
            raise InputError(f"{spec.name} has {len(labels)} labelled instances{why}")

    def __len__(self) -> int:
        return len(self._training)

    def training(self, seed: int, number: int) -> Example:
        """See DataSet: each instance once an epoch, in an order of the epoch's own."""
        epoch, place = divmod(number, len(self._training))
        order = np.random.default_rng((seed, epoch)).permutation(len(self._training))
        example = self._training[order[place]].example()
        return augment(example, np.random.default_rng((seed, epoch, place)))

    def calibration(self, count: int, seed: int = 0) -> Iterator[NDArray[np.uint8]]:
        """See DataSet; none twice, and not augmented."""
        for index in drawn(len(self._training), count, seed):
            yield self._training[index].example().image

    def held_back(self, count: int | None = None) -> Iterator[Example]:
        """See DataSet."""
        for label in self._held_back[:count]:
            yield label.example()


def read_table(folder: Path, fold: tuple[int, int] | None = None) -> Labelled:
    """Read ``CollectedData.csv``: three head rows (scorer, bodyparts, coords), then a picture's path and x, y pairs.

    An empty cell is a point that nobody labelled. Paths are relative to the folder.
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
    return Labelled(spec, labels, fold)


def _head(path: Path, rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the keypoints' names of a table's head rows; InputError unless each has an x and a y, in this order."""
    if len(rows) < 3 or [row[:1] for row in rows] != [["scorer"], ["bodyparts"], ["coords"]]:
        raise InputError(f"{path} is no table of keypoints: its head rows are scorer, bodyparts, coords")
    names = rows[1][1::2]
    if not names or rows[1][2::2] != names or rows[2][1:] != ["x", "y"] * len(names):
        raise InputError(f"{path}: bodyparts and coords name each keypoint's x, then its y, and no other column")
    return tuple(names)


def read_coco(path: Path, fold: tuple[int, int] | None = None) -> Labelled:
    """Read COCO keypoint annotations; an example is one instance with at least one labelled point, no crowd.

    Pictures lie beside the JSON file, or in ``images`` beside it. The categories must agree on the keypoints.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        categories = {c["id"]: c for c in content["categories"] if c.get("keypoints")}
        names = _agreed({tuple(c["keypoints"]) for c in categories.values()})
        skeletons = {tuple((a - 1, b - 1) for a, b in c.get("skeleton", ())) for c in categories.values()}
        files = {image["id"]: _beside(path.parent, image["file_name"]) for image in content["images"]}
        annotations = [a for a in content["annotations"] if a["category_id"] in categories and not a.get("iscrowd")]
        labels = [_coco_label(a, files, len(names)) for a in annotations if any(a.get("keypoints", ())[2::3])]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} holds no COCO keypoints: {error!r}") from None
    spec = ModelSpec(
        name=path.stem,
        keypoints=names,
        skeleton=skeletons.pop() if len(skeletons) == 1 else (),
        flip_pairs=_mirrored(names),
        oks_sigmas=COCO_SIGMAS if names == COCO_PERSON else (),
        input_size=INPUT_SIZE,
    )
    return Labelled(spec, labels, fold)


def _agreed(keypoints: set[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the one entry."""
    if len(keypoints) != 1:
        raise ValueError(f"{len(keypoints)} different lists of keypoints in its categories, where one is accepted")
    return next(iter(keypoints))


COCO_PERSON = (
    "nose",
    *(f"{side}_{part}" for part in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
      for side in ("left", "right")),
)  # fmt: skip
# Of a person's 17 keypoints: how far annotators differ, per square root of area (COCO keypoint evaluation).
COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072),
    *(0.062, 0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)


def _label(path: Path, values: NDArray[np.float64], visible: NDArray[np.bool_]) -> Label:
    """Make a label without a box: its area is that of the points' bounding box."""
    points = np.where(visible[:, None], values, 0.0)
    spread = np.ptp(points[visible], axis=0) if visible.any() else np.zeros(2)
    return Label(path, points, visible, None, float(spread.prod()))


def _coco_label(annotation: Mapping[str, Any], files: Mapping[int, Path], count: int) -> Label:
    values = np.array(annotation["keypoints"], np.float64)
    if values.shape != (3 * count,):
        raise ValueError(f"annotation {annotation['id']} has {values.size} numbers, {3 * count} for {count} keypoints")
    values = values.reshape(count, 3)
    visible = values[:, 2] > 0
    # COCO counts from a pixel's corner; its own evaluation, and so our scores, take the numbers as they are.
    points = np.where(visible[:, None], values[:, :2], 0.0)
    x, y, w, h = annotation["bbox"]
    return Label(files[annotation["image_id"]], points, visible, (x, y, w, h), float(annotation["area"]))


def _beside(folder: Path, name: str) -> Path:
    return folder / name if (folder / name).is_file() else folder / "images" / name


def _mirrored(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Pair ``left_x`` with ``right_x``.

    >>> _mirrored(["nose", "left_eye", "right_eye"])
    ((1, 2),)
    """
    other = {name: index for index, name in enumerate(names)}
    return tuple(
        (index, other[name.replace("left", "right", 1)])
        for index, name in enumerate(names)
        if "left" in name and name.replace("left", "right", 1) in other
    )
