"""List the pictures of a run in a file, and cut the list into parts."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from edgehrnet.errors import ImageError, InputError
from edgehrnet.picture.limits import Limits
from edgehrnet.sources.files import Files
from edgehrnet.sources.frame import Frame
from edgehrnet.sources.opening import Source, frames_of_file
from edgehrnet.sources.tables import TABLE_SUFFIX, row_groups, rows_of

LARGEST_PART = 1000  # pictures


def write_list(path: Path, sources: Iterable[str], *, recursive: bool) -> int:
    """Write a line for each picture file, and for each row group of a Parquet file. Return the number of pictures.

    A line is JSON: a path, the number of a row group or null, and the number of pictures.

    Raises:
        InputError: A source is a camera or an address.
        ImageError: A source has no pictures.
    """
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for source in sources:
            if Source(source).is_live():
                raise InputError(f"{source!r} is a camera or an address, which one machine reads; leave out --ray")
            for found in Files(source, recursive=recursive):
                for group, rows in _groups(found):
                    file.write(json.dumps([str(found), group, rows]) + "\n")
                    count += rows
    return count


def _groups(path: Path) -> list[tuple[int | None, int]]:
    """Return the row groups of a Parquet file and their sizes, and one without a number for other files."""
    if path.suffix.lower() != TABLE_SUFFIX:
        return [(None, 1)]
    return [(number, rows) for number, rows in enumerate(row_groups(path)) if rows]


def cut(path: Path, count: int) -> list[tuple[int, int]]:
    """Cut a list into parts. Return the first byte of each and its number of lines.

    Few pictures are cut into as many parts as a part has pictures, so that all workers end at about the same time.

    Args:
        path: The list.
        count: Number of pictures in the list.
    """
    size = min(LARGEST_PART, math.isqrt(count) or 1)
    parts, start, place, lines, pictures = [], 0, 0, 0, 0
    with path.open("rb") as file:
        for line in file:
            place, lines, pictures = place + len(line), lines + 1, pictures + json.loads(line)[2]
            if pictures >= size:
                parts.append((start, lines))
                start, lines, pictures = place, 0, 0
    return [*parts, (start, lines)] if lines else parts


def frames_of_part(path: Path, start: int, lines: int, folder: Path, limits: Limits) -> Iterator[Frame]:
    """Yield the frames of a part. Their sources are the paths as they were typed.

    Args:
        path: The list.
        start: First byte of the part.
        lines: Number of its lines.
        folder: Folder from which relative paths begin.
        limits: Pictures that are accepted.
    """
    with path.open("rb") as file:
        file.seek(start)
        for _ in range(lines):
            name, group, _ = json.loads(file.readline())
            place = Path(folder, name)
            try:
                frames = rows_of(place, group) if group is not None else frames_of_file(place, limits)
                for frame in frames:
                    yield replace(frame, source=name)
            except ImageError as error:
                yield Frame(error, source=name)
