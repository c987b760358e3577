"""Read the label tables of DeepLabCut and Lightning Pose."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgehrnet.errors import InputError
from edgehrnet.sides import pair_sides
from quant.data.annotations import Annotations, Instance, Picture
from quant.data.picture_files import PictureFinder

TABLE = "CollectedData.csv"


def read_table(folder: Path, images: Path | None = None) -> Annotations:
    """Read ``CollectedData.csv`` from a folder.

    The table has three header rows (scorer, bodyparts, coords). Each further row has the path of a picture, relative
    to the folder, and x, y of each keypoint. A keypoint with an empty cell is not labeled.

    Args:
        folder: folder with the table.
        images: folder of the pictures. None looks for them, see `PictureFinder`.

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
    finder = PictureFinder(path, images)
    pictures: list[Picture] = []
    instances: list[Instance] = []
    for line, row in enumerate(rows[3:], start=4):
        if not row:  # a blank line, such as the last
            continue
        try:
            values = np.array([float(cell) if cell else np.nan for cell in row[1:]]).reshape(len(names), 2)
        except ValueError:
            raise InputError(f"{path}, line {line}: expected {2 * len(names)} numbers or empty cells") from None
        source = f"{path.name}, line {line}"
        picture = Picture(finder.find(row[0]), len(pictures) + 1, source)
        labeled = np.isfinite(values).all(axis=1)
        pictures.append(picture)
        points = np.where(labeled[:, None], values, 0.0)
        instances.append(Instance(picture, points, np.where(labeled, 2, 0).astype(np.uint8), source))
    return Annotations(
        name=folder.resolve().name,
        source=path,
        keypoints=names,
        pictures=pictures,
        instances=instances,
        flip_pairs=pair_sides(names),
    )


def _names(path: Path, rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the keypoint names in the header rows. Raise InputError if their columns are not x and y of each."""
    if len(rows) < 3 or [row[:1] for row in rows] != [["scorer"], ["bodyparts"], ["coords"]]:
        raise InputError(f"{path} is not a table of keypoints: its first rows must be scorer, bodyparts and coords")
    names = rows[1][1::2]
    if not names or rows[1][2::2] != names or rows[2][1:] != ["x", "y"] * len(names):
        raise InputError(f"{path}: the columns must be x and y of each keypoint, in this order, and no others")
    return tuple(names)
