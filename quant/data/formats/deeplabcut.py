"""Read the labels of DeepLabCut and Lightning Pose: tables, folders with tables, and projects."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehrnet.errors import InputError
from edgehrnet.sides import pair_sides
from quant.data.annotations import Annotations, Instance, Picture
from quant.data.formats.projects import VIDEOS, chosen, root_of, skeleton_of, tables_of
from quant.data.formats.tables import Table, label, read_table
from quant.data.picture_files import PictureFinder
from quant.data.remarks import Remarks


def has_tables(path: Path) -> bool:
    """Return whether a path is a table, a folder with tables or a project."""
    return bool(tables_of(path))


def read_deeplabcut(path: Path, images: Path | None = None) -> Annotations:
    """Read a table, or all tables of a folder or project together.

    Keypoints are in the order of the first table's columns. Further tables must have the same keypoints, in any order.

    Args:
        path: ``CollectedData*.csv`` or ``.h5``, a folder with such tables, ``labeled-data``, or a project.
        images: folder of the pictures. None looks for them, see `PictureFinder`.

    Raises:
        InputError: a table cannot be read, or the tables have different keypoints.
        MissingExtraError: an ``.h5`` is read without pandas and tables.
    """
    remarks, root = Remarks(), root_of(path)
    tables = [read_table(table, remarks) for table in chosen(tables_of(path), root, remarks)]
    names = tables[0].keypoints
    finders = [PictureFinder(table.path, images, root) for table in tables]
    rows = [_rows(table, tables[0], finder, remarks) for table, finder in zip(tables, finders, strict=True)]
    labeled = _once(chain.from_iterable(rows), remarks)
    pictures = [Picture(row.path, number, row.source) for number, row in enumerate(labeled, start=1)]
    folder = (path if path.is_dir() else path.parent).resolve()
    return Annotations(
        name=folder.parent.name if folder.name == VIDEOS else folder.name,
        source=tables[0].path if len(tables) == 1 else path,
        keypoints=names,
        pictures=pictures,
        instances=[found for pair in zip(labeled, pictures, strict=True) for found in _instances(*pair)],
        skeleton=skeleton_of(root, names, remarks),
        flip_pairs=pair_sides(names),
        remarks=remarks,
    )


@dataclass(frozen=True, eq=False)
class _Row:
    """Row of a table with the file of its picture and the keypoints in the order of the data set."""

    path: Path
    source: str
    individuals: Sequence[str]
    points: NDArray[np.float64]


def _rows(table: Table, first: Table, finder: PictureFinder, remarks: Remarks) -> Iterator[_Row]:
    """Yield the rows of a table. Raise InputError if it has other keypoints than the first one."""
    if set(table.keypoints) != set(first.keypoints):
        raise InputError(f"{table.path} has other keypoints than {first.path}: {', '.join(table.keypoints)} instead of "
                         f"{', '.join(first.keypoints)}; pass one of the tables")  # fmt: skip
    order = [table.keypoints.index(name) for name in first.keypoints]
    for row in table.rows:
        source = f"{label(table.path)}, {row.place}"
        try:
            yield _Row(finder.find(row.picture), source, table.individuals, row.points[:, order])
        except InputError as error:
            remarks.add("error", "pictures outside the folders of the data set", f"{source}: {error}")


def _once(rows: Iterable[_Row], remarks: Remarks) -> list[_Row]:
    """Return the first row with labels of each picture file. Further rows with other labels are errors."""
    found: dict[str, _Row] = {}
    for row in rows:
        key = os.path.realpath(row.path)
        known = found.setdefault(key, row)
        if known is row or np.isnan(row.points).all():
            continue
        if np.isnan(known.points).all():
            found[key] = row
            continue
        kind = "rows that repeat another row of the same picture"
        if not np.array_equal(known.points, row.points, equal_nan=True):
            kind = "pictures with different labels in several rows; keep one row, or pass one table"
            remarks.add("error", kind, f"{row.path.name} in {known.source} and {row.source}")
        else:
            remarks.add("dropped", kind, f"{known.source} and {row.source}")
    return list(found.values())


def _instances(row: _Row, picture: Picture) -> Sequence[Instance]:
    """Return the individuals with labels."""
    found = []
    for individual, points in zip(row.individuals, row.points, strict=True):
        labeled = np.isfinite(points).all(axis=1)
        if labeled.any():
            visibility = np.where(labeled, 2, 0).astype(np.uint8)
            source = f"{row.source}, {individual}" if individual else row.source
            found.append(Instance(picture, np.where(labeled[:, None], points, 0.0), visibility, source))
    return found
