"""Find the boxes of a picture among those of many pictures, by its file name or its image id."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import TypeAlias

from edgehrnet.errors import InputError

Row: TypeAlias = tuple[float, float, float, float]  # xywh in pixels of the picture
Key: TypeAlias = PurePosixPath | int | str  # a file name, or an image id
LONGEST_ID = 18  # digits. Longer numbers are not taken as image ids


def image_id(text: str) -> int | str:
    """Convert an image id that is a text: to a number if it has digits only. Other texts stay as they are.

    >>> image_id("000000000785"), image_id("street")
    (785, 'street')
    """
    return int(text) if re.fullmatch(rf"[0-9]{{1,{LONGEST_ID}}}", text) else text


def image_ids(path: Path) -> list[int | str]:
    """Return the image ids that a picture may have: the stem of its file name, and the last digits in it.

    >>> image_ids(Path("val2014/COCO_val2014_000000000785.jpg"))
    ['COCO_val2014_000000000785', 785]
    """
    digits = re.findall(r"[0-9]+", path.stem)
    return list(dict.fromkeys([image_id(path.stem), *map(image_id, digits[-1:])]))


class PictureBoxes:
    """Boxes xywh of many pictures.

    >>> boxes = PictureBoxes("detections.json")
    >>> boxes.add(785, (10.0, 20.0, 30.0, 40.0))
    >>> boxes.of_each([Path("000000000785.jpg"), Path("street.jpg")])
    [[(10.0, 20.0, 30.0, 40.0)], []]
    """

    def __init__(self, origin: str) -> None:
        self.origin = origin
        """File that the boxes were read from, for messages."""
        self._rows: dict[Key, list[Row]] = {}
        self._full_names: dict[str, list[PurePosixPath]] = {}

    def add(self, key: Key, row: Row) -> None:
        """Add a box of the picture with this file name or image id."""
        if key not in self._rows and isinstance(key, PurePosixPath):
            self._full_names.setdefault(key.name, []).append(key)
        self._rows.setdefault(key, []).append(row)

    def of_each(self, paths: Iterable[str | Path]) -> list[list[Row]]:
        """Return the boxes of each picture in the order of the file. A picture without boxes has an empty list.

        Raises:
            InputError: No picture has a box, or it is not clear to which picture some boxes belong.
        """
        pictures = [Path(path) for path in paths]
        keys = [self._key(path) for path in pictures]
        if pictures and all(key is None for key in keys):
            raise InputError(self._no_match(pictures))
        owners: dict[Key, Path] = {}
        for path, key in zip(pictures, keys, strict=True):
            if key is not None and owners.setdefault(key, path).absolute() != path.absolute():
                raise InputError(
                    f"{self.origin} has boxes for {str(key)!r}, which fits {str(owners[key])!r} and {str(path)!r}; "
                    "pass only one of these pictures, or write file names with folders into the file"
                )
        return [[] if key is None else list(self._rows[key]) for key in keys]

    def of(self, path: str | Path) -> list[Row]:
        """Return the boxes of one picture, none if the file has none for it."""
        key = self._key(Path(path))
        return [] if key is None else list(self._rows[key])

    def _key(self, path: Path) -> Key | None:
        """Return the file name or the id under which the file has the boxes of a picture. None if it has none."""
        names = self._full_names.get(path.name, [])
        if names:
            return self._nearest_name(path, names)
        return next((key for key in image_ids(path) if key in self._rows), None)

    def _nearest_name(self, path: Path, names: Sequence[PurePosixPath]) -> PurePosixPath:
        """Return the file name that shares the most folders with a path, counted from the end."""
        own = path.absolute().parts
        shared = [_same_at_the_end(own, name.parts) for name in names]
        best = [name for name, count in zip(names, shared, strict=True) if count == max(shared)]
        if len(best) > 1:
            raise InputError(
                f"{self.origin} has boxes for {str(best[0])!r} and {str(best[1])!r}, and {str(path)!r} fits both; "
                "pass the picture with its folder"
            )
        return best[0]

    def _no_match(self, pictures: Sequence[Path]) -> str:
        path, known = pictures[0], [repr(str(key)) for key in list(self._rows)[:3]]
        ids = " or ".join(repr(key) for key in image_ids(path))
        others = "" if len(pictures) == 1 else f", and in the same way for {len(pictures) - 1} more pictures"
        has = (
            f"the file has boxes for {len(self._rows)} pictures, such as {', '.join(known)}"
            if known
            else "the file has no boxes, or the score and the category that were asked for excluded all"
        )
        return (
            f"{self.origin} has no box for any of the pictures; looked for the file name {path.name!r} and the image "
            f"id {ids}{others}; {has}"
        )


def _same_at_the_end(a: Sequence[str], b: Sequence[str]) -> int:
    """Count the parts that two paths share, from the end.

    >>> _same_at_the_end(("/", "x", "a", "1.jpg"), ("a", "1.jpg"))
    2
    """
    pairs = zip(reversed(a), reversed(b), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
