"""Read one table of keypoints of DeepLabCut or Lightning Pose, as CSV or HDF5."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgehrnet.errors import InputError, MissingExtraError
from quant.data.formats.values import LARGEST, shortened
from quant.data.remarks import Remarks

HEADS = (("scorer", "bodyparts", "coords"), ("scorer", "individuals", "bodyparts", "coords"))
"""First cells of the header rows of a table without individuals, and of one with individuals."""
UNIQUE = "single"
"""Individual of DeepLabCut for keypoints that belong to no animal, such as the corners of a cage."""
DECIMAL = re.compile(r"^\s*(-?\d+),(\d+)\s*$")
"""Cell with a number that is written with a decimal comma."""
KEY = "/df_with_missing"
"""Place of the table in DeepLabCut's HDF5 files."""
MISSING = frozenset({"", "nan", "na", "n/a", "none", "null", "<na>"})
"""Cells of missing coordinates, in lower case."""
UNNAMED = re.compile(r"Unnamed: \d+_level_\d+")
"""Text that pandas writes into a header cell that was empty."""
EXTRA = "type: pip install 'edgehrnet[formats]', or pass the .csv with the same content"
Line: TypeAlias = tuple[int, Sequence[str]]
"""Number of a line, and its cells."""


@dataclass(frozen=True, eq=False)
class Row:
    """The labels of one picture."""

    picture: str
    """Path of the picture as the table has it, with its parts joined by slashes."""
    place: str
    """Line or row, for error messages."""
    points: NDArray[np.float64]
    """``(I, K, 2)`` x, y of each individual's keypoints. NaN where not labeled."""


@dataclass(frozen=True, eq=False)
class Table:
    """Content of a table."""

    path: Path
    """File."""
    individuals: tuple[str, ...]
    """Names of the individuals. A table without individuals has one, whose name is empty."""
    keypoints: tuple[str, ...]
    """Keypoint names in the order of the columns."""
    rows: Sequence[Row]
    """All rows."""


def read_table(path: Path, remarks: Remarks) -> Table:
    """Read a ``.csv`` or ``.h5`` with the header rows scorer, individuals if there are several, bodyparts and coords.

    Each further row has the path of a picture in one or several index columns, such as folder, video and file, and the
    x and y of each keypoint. A keypoint that lacks one of them is not labeled. Other columns, such as likelihood, are
    not used. Keypoints of DeepLabCut's individual "single" that the animals do not have are left out.

    Args:
        path: file.
        remarks: collects what was left out.

    Raises:
        InputError: the table cannot be read or has another layout. The message names file, line and cell.
        MissingExtraError: an ``.h5`` is read without pandas and tables.
    """
    word, lines = ("row", _hdf_lines(path)) if path.suffix.lower() == ".h5" else ("line", _csv_lines(path))
    columns = _Columns.read(path, lines, remarks)
    rows = list(_Reader(path, word, columns, remarks).rows(lines[columns.head :]))
    return Table(path, columns.individuals, columns.keypoints, rows)


def label(path: Path) -> str:
    """Return a table's folder and name for remarks. The name alone is often the same for all videos."""
    return "/".join(path.absolute().parts[-2:])


def _csv_lines(path: Path) -> list[Line]:
    """Return the lines of a CSV file that are not blank. Commas, semicolons or tabs separate the cells.

    If they are not commas, numbers may have decimal commas, as Excel writes them in many countries.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            first = file.readline()
            file.seek(0)
            separator = next((mark for mark in ",;\t" if mark in first), ",")
            reader = csv.reader(file, delimiter=separator)
            lines: list[Line] = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except (OSError, ValueError, csv.Error) as error:
        advice = "; save it as UTF-8" if isinstance(error, UnicodeError) else ""
        raise InputError(f"cannot read {path}: {error}{advice}") from None
    if separator == ",":
        return lines
    return [(number, [DECIMAL.sub(r"\1.\2", cell) for cell in row]) for number, row in lines]


def _hdf_lines(path: Path) -> list[Line]:
    """Return a table in HDF5 as the lines that it has in CSV.

    HDF5 files of pandas can hold pickled objects, which run code when they are read.
    """
    try:
        import pandas
        import tables  # noqa: F401  # pandas opens HDF5 with it
    except ImportError as error:
        raise MissingExtraError(f"{path} needs pandas and tables ({error}); {EXTRA}") from None
    try:
        with pandas.HDFStore(str(path), mode="r") as store:
            keys = store.keys()
            frame = store[KEY if KEY in keys else keys[0]] if keys else None
    except Exception as error:  # pandas and PyTables raise a dozen types of error on damaged data
        raise InputError(f"cannot read {path}: {type(error).__name__}: {error}") from None
    if not isinstance(frame, pandas.DataFrame):
        raise InputError(f"{path} is not a table of keypoints: it has no pandas table")
    return list(_frame_lines(frame))


def _frame_lines(frame: Any) -> Iterator[Line]:
    """Yield the header rows of a pandas table, all numbered 0, and its rows from 1."""
    count, head = frame.columns.nlevels, {len(head): head for head in HEADS}
    for level in range(count):
        name = frame.columns.names[level] or head.get(count, ("",) * count)[level]
        cells = frame.columns.get_level_values(level)
        yield 0, [str(name), *[""] * (frame.index.nlevels - 1), *map(str, cells)]
    for number, (index, values) in enumerate(zip(frame.index, frame.to_numpy(), strict=True), start=1):
        yield number, [*map(str, index if isinstance(index, tuple) else [index]), *map(str, values)]


@dataclass(frozen=True)
class _Columns:
    """Where the columns of a table are."""

    head: int
    """Number of header rows."""
    index: int
    """Number of index columns."""
    width: int
    """Number of all columns."""
    individuals: tuple[str, ...]
    keypoints: tuple[str, ...]
    places: NDArray[np.intp]
    """``(I, K, 2)`` columns of x and y. -1 where an individual does not have the keypoint."""

    @classmethod
    def read(cls, path: Path, lines: Sequence[Line], remarks: Remarks) -> _Columns:
        rows = [["" if UNNAMED.fullmatch(cell) else cell.strip() for cell in cells] for _, cells in lines[:4]]
        head = next((head for head in HEADS if tuple(row[0] for row in rows[: len(head)]) == head), None)
        if head is None:
            found = [row[0] for row in rows]
            raise InputError(f"{path} is not a table of keypoints: its first cells are {shortened(found)}, expected "
                             f"{', '.join(HEADS[0])}, or {', '.join(HEADS[1])}")  # fmt: skip
        named = dict(zip(head, rows, strict=False))
        used = [column for column, cell in enumerate(named["coords"]) if cell and column]
        if not used:
            raise InputError(f"{path} is not a table of keypoints: its header has no columns of coordinates")
        width = used[-1] + 1
        for name, row in named.items():
            if len(row) < width or (name != "scorer" and not all(row[used[0] : width])):
                raise InputError(f"{path}: the header row {name!r} has columns without a name")
        individuals = _individuals(path, named, used)
        places = _animals(path, individuals, remarks)
        keypoints = tuple(dict.fromkeys(name for parts in places.values() for name in parts))
        table = [[places[animal].get(name, (-1, -1)) for name in keypoints] for animal in places]
        others = dict.fromkeys(named["coords"][column] for column in used if named["coords"][column] not in ("x", "y"))
        if others:
            kind = "tables with columns besides x and y, which are not used; points of low likelihood count as labeled"
            remarks.add("warning", kind, f"{label(path)}: {', '.join(others)}")
        return cls(len(head), used[0], width, tuple(places), keypoints, np.array(table))


def _individuals(
    path: Path, head: Mapping[str, Sequence[str]], used: Sequence[int]
) -> dict[str, dict[str, tuple[int, int]]]:
    """Return the columns of x and y by individual and keypoint. Without individuals, the only name is empty."""
    names = head.get("individuals")
    found: dict[tuple[str, str], dict[str, int]] = {}
    for column in used:
        key = ("" if names is None else names[column], head["bodyparts"][column])
        coords, coord = found.setdefault(key, {}), head["coords"][column]
        if coord in coords:
            raise InputError(f"{path} has the column {coord!r} of {' '.join(key).strip()!r} twice; keep one")
        coords[coord] = column
    individuals: dict[str, dict[str, tuple[int, int]]] = {}
    for (individual, part), coords in found.items():
        if not {"x", "y"} <= set(coords):
            raise InputError(f"{path}: {part!r} has the columns {', '.join(coords)}, and must have x and y")
        individuals.setdefault(individual, {})[part] = coords["x"], coords["y"]
    return individuals


def _animals(
    path: Path, individuals: Mapping[str, dict[str, tuple[int, int]]], remarks: Remarks
) -> Mapping[str, dict[str, tuple[int, int]]]:
    """Leave out the keypoints that belong to no animal."""
    animals = {name: parts for name, parts in individuals.items() if name != UNIQUE}
    shared = {name for parts in animals.values() for name in parts}
    unique = [name for name in individuals.get(UNIQUE, ()) if name not in shared]
    if not animals or not unique:
        return individuals
    remarks.add("dropped", f"keypoints of the individual {UNIQUE!r}, which the animals do not have",
                f"{label(path)}: {', '.join(unique)}")  # fmt: skip
    return animals


@dataclass(frozen=True)
class _Reader:
    """Turns lines into rows."""

    path: Path
    word: str
    columns: _Columns
    remarks: Remarks

    def rows(self, lines: Sequence[Line]) -> Iterator[Row]:
        for place, (number, cells) in enumerate(lines):
            if place == 0 and self._names_index(cells):
                continue
            yield self.row(f"{self.word} {number}", cells)

    def _names_index(self, cells: Sequence[str]) -> bool:
        """Return whether these are the names of the index columns, which pandas writes below the header."""
        index = self.columns.index
        return not any(cell.strip() for cell in cells[index:]) and not any("." in cell for cell in cells[:index])

    def row(self, place: str, cells: Sequence[str]) -> Row:
        """Return one row.

        Raises:
            InputError: a cell is not a number, there are too few or too many, or no picture is named.
        """
        where, index, width = f"{self.path}, {place}", self.columns.index, self.columns.width
        if len(cells) < width or any(cells[width:]):
            raise InputError(f"{where} has {len(cells) - index} cells besides the picture, expected {width - index} "
                             "numbers or empty cells")  # fmt: skip
        picture = "/".join(cell.strip() for cell in cells[:index] if cell.strip())
        if picture.isdecimal() or not picture or "\0" in picture:
            raise InputError(f"{where} begins with {picture!r}, expected the path of a picture; save the frames of a "
                             "video as pictures, and write their paths instead of their numbers")  # fmt: skip
        values = np.full(width + 1, math.nan)  # the last is that of column -1
        for column in np.unique(self.columns.places):
            if column >= 0:
                values[column] = self._number(cells[column], where, int(column))
        points = values[self.columns.places]
        source = f"{label(self.path)}, {place}"
        if (np.abs(points) > LARGEST).any():
            self.remarks.add("dropped", "points without finite coordinates, which count as not labeled", source)
        labeled = np.abs(points) <= LARGEST  # False for NaN too
        if (labeled.any(axis=2) != labeled.all(axis=2)).any():
            self.remarks.add("dropped", "points with only one coordinate, which count as not labeled", source)
        return Row(picture, place, np.where(labeled.all(axis=2)[..., None], points, math.nan))

    def _number(self, cell: str, where: str, column: int) -> float:
        text = cell.strip(" \t")
        if text.lower() in MISSING:
            return math.nan
        try:
            if "_" in text or not text.isascii():  # Python's own numbers: 1_000
                raise ValueError
            return float(text)
        except ValueError:
            raise InputError(f"{where}, column {column + 1} is {shortened(cell)}, expected a number or an empty "
                             "cell") from None  # fmt: skip
