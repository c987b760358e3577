"""Read pose data sets of Ultralytics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgehrnet.errors import InputError
from quant.data.annotations import Annotations, ImageId, Instance, Picture
from quant.data.formats.ultralytics_files import Entry, descriptions, entries_in, entries_of
from quant.data.formats.ultralytics_yaml import Description, read_yaml
from quant.data.formats.values import shortened
from quant.data.picture_files import header
from quant.data.plausibility import RELATIVE
from quant.data.remarks import Remarks


def is_ultralytics(path: Path) -> bool:
    """Return whether a path is a description of a data set, its folder, or a folder of its labels."""
    return bool(descriptions(path))


def read_ultralytics(path: Path, images: Path | None = None, split: str = "train") -> Annotations:
    """Read a pose data set of Ultralytics.

    Coordinates are multiplied by the size of the picture as it is shown, with its EXIF orientation applied. The id of a
    picture is the same as in Ultralytics' predictions: its name without the suffix, or a number if the name has digits
    only. If two pictures share a name, the ids are numbers from 1.

    Args:
        path: data.yaml or its folder, or a folder of label files with a data.yaml above it, such as ``labels/val``.
        images: folder of the pictures. None takes the one that the data.yaml names.
        split: part to read of a data.yaml, such as ``train``. It is not used for a folder of label files.

    Raises:
        InputError: a file cannot be read, or the data.yaml does not describe a pose data set.
        MissingExtraError: PyYAML is not installed.
    """
    remarks = Remarks()
    description = _description(path)
    content = read_yaml(description)
    described = Description.read(description, content, remarks)
    entries = _entries(path, description, content, split, images, remarks)
    _check_labels(entries, remarks)
    pictures, instances = _read(entries, described, remarks)
    return Annotations(
        name=description.stem if description.stem != "data" else description.absolute().parent.name,
        source=path,
        keypoints=described.keypoints,
        pictures=pictures,
        instances=instances,
        skeleton=described.skeleton,
        flip_pairs=described.flip_pairs,
        sigmas=described.sigmas,
        categories=dict(enumerate(described.classes.items(), start=1)),
        remarks=remarks,
    )


def _description(path: Path) -> Path:
    found = descriptions(path)
    if len(found) != 1:
        shown = ", ".join(file.name for file in found) or "none"
        raise InputError(f"{path} must have one description of a data set with kpt_shape, such as data.yaml, and has "
                         f"{shown}; pass the one to read")  # fmt: skip
    return found[0]


def _entries(
    path: Path, description: Path, content: Mapping[str, Any], split: str, images: Path | None, remarks: Remarks
) -> list[Entry]:
    if images is not None and not images.is_dir():
        raise InputError(f"--images {images} is not a folder; pass the folder that holds the pictures")
    if path.is_dir() and description.parent.absolute() != path.absolute():
        return entries_of(path, images, remarks)
    return entries_in(description, content, split, images, remarks)


def _check_labels(entries: Sequence[Entry], remarks: Remarks) -> None:
    """Note pictures without a label file. Raise InputError if none has one."""
    missing = [entry for entry in entries if not entry.label.is_file()]
    if len(missing) == len(entries):
        raise InputError(f"none of {len(entries)} pictures has a label file; for {entries[0].picture} it should be "
                         f"{entries[0].label}")  # fmt: skip
    for entry in missing:
        remarks.add("warning", "pictures without a label file, taken as pictures without an object", str(entry.picture))


def _ids(entries: Sequence[Entry]) -> list[ImageId]:
    stems = [entry.picture.stem for entry in entries]
    ids: list[ImageId] = [int(stem) if stem.isdecimal() and stem.isascii() else stem for stem in stems]
    return ids if len(set(ids)) == len(ids) else list(range(1, len(ids) + 1))


def _read(entries: Sequence[Entry], described: Description, remarks: Remarks) -> tuple[list[Picture], list[Instance]]:
    reader = _Reader(described, remarks)
    pictures = [Picture(e.picture, key, str(e.label)) for e, key in zip(entries, _ids(entries), strict=True)]
    found = [reader.instances(entry, picture) for entry, picture in zip(entries, pictures, strict=True)]
    return pictures, [instance for instances in found for instance in instances]


@dataclass(frozen=True)
class _Reader:
    """Turns rows of label files into instances."""

    described: Description
    remarks: Remarks

    def instances(self, entry: Entry, picture: Picture) -> list[Instance]:
        """Return the instances of a picture. There are none if it or its label file cannot be read."""
        try:
            height, width, orientation = header(entry.picture)
        except Exception:  # `check_pictures` names the picture and the error
            return []
        size = (width, height) if orientation >= 5 else (height, width)
        try:
            lines = entry.label.read_text(encoding="utf-8-sig").splitlines() if entry.label.is_file() else []
        except (OSError, ValueError) as error:
            self.remarks.add("error", "label files that cannot be read", f"{entry.label} ({error})")
            return []
        rows = [(f"{entry.label}, line {number}", line.split()) for number, line in enumerate(lines, start=1)]
        found = (self._instance(cells, place, picture, size) for place, cells in rows if cells)
        return [instance for instance in found if instance is not None]

    def _instance(self, cells: list[str], place: str, picture: Picture, size: tuple[int, int]) -> Instance | None:
        """Return the instance of a row in a picture of a size (height, width), or None if the row has an error."""
        values = self._values(cells, place)
        if values is None:
            return None
        classes = list(self.described.classes)
        if float(values[0]) not in classes:  # an integer of hundreds of digits has no NumPy float
            self.remarks.add("error", f"classes that 'names' in the data.yaml does not have; it has {classes}",
                             f"{place} has {cells[0]}")  # fmt: skip
            return None
        points, visibility = self._points(values[5:].reshape(-1, self.described.columns), place)
        if max(np.abs(values[1:5]).max(), np.abs(points).max()) > RELATIVE:
            self.remarks.add("error", "coordinates that are not shares in 0..1; divide x by the picture's width, y by "
                             "its height", place)  # fmt: skip
            return None
        scale = np.array(size[::-1], float)
        corner, sides = (values[1:3] - values[3:5] / 2) * scale, values[3:5] * scale
        return Instance(
            picture=picture,
            points=points * scale,
            visibility=visibility,
            source=place,
            box=(float(corner[0]), float(corner[1]), float(sides[0]), float(sides[1])),
            category=classes.index(values[0]) + 1,
        )

    def _values(self, cells: list[str], place: str) -> NDArray[np.float64] | None:
        count, columns = len(self.described.keypoints), self.described.columns
        expected = 5 + count * columns
        if len(cells) != expected:
            kind = (
                f"rows that do not have {expected} values: class, box (4), and {columns} for each of {count} keypoints"
            )
            self.remarks.add("error", kind, f"{place} has {len(cells)}")
            return None
        for cell in cells:
            try:
                finite = math.isfinite(float(cell))
            except ValueError:
                finite = False
            if not finite:
                self.remarks.add("error", "values that are not finite numbers", f"{place} has {shortened(cell)}")
                return None
        return np.array(cells, float)

    def _points(self, rows: NDArray[np.float64], place: str) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """Return points ``(K, 2)``, 0 where not labeled, and visibilities ``(K,)`` as in COCO."""
        if self.described.columns == 3:
            labeled = rows[:, 2] > 0
            if (labeled & ~np.isin(rows[:, 2], (1, 2))).any():
                self.remarks.add("warning", "visibilities that are missing or not 0, 1 or 2, taken as visible", place)
            if (~labeled & (rows[:, :2] > 0).all(axis=1)).any():
                self.remarks.add(
                    "dropped", "points with coordinates and visibility 0 or less, which count as not labeled", place
                )
            visibility = np.where(labeled, np.where(rows[:, 2] == 1, 1, 2), 0)
        else:
            corner = (rows == 0).all(axis=1)
            if corner.any():
                self.remarks.add("dropped", "points at exactly (0, 0), which tools write for missing ones", place)
            visibility = np.where(corner | (rows < 0).any(axis=1), 0, 2)
        return np.where(visibility[:, None] > 0, rows[:, :2], 0.0), visibility.astype(np.uint8)
