"""Read the boxes of many pictures from a JSON file.

Three kinds of content are accepted:

- COCO detections: ``[{"image_id": 785, "bbox": [x, y, w, h], "score": 0.98}, ...]``, or with ``file_name`` in place of
  ``image_id``
- COCO annotations: ``{"images": [{"id": 785, "file_name": "photo.jpg"}], "annotations": [{"image_id": 785, "bbox":
  [x, y, w, h]}, ...]}``. Crowds are left out.
- boxes by file name: ``{"photo.jpg": [[x, y, w, h], ...]}``

The boxes of a picture are found by its file name. If the JSON file has ids instead of names, the id of a picture is its
file name without the suffix, or else the last digits in it: ``COCO_val2014_000000000785.jpg`` is picture 785.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

from edgehrnet.errors import InputError, MissingFileError, nearest
from edgehrnet.picture.crops import BOX_LIMIT, MIN_BOX_SIDE
from edgehrnet.picture.matching import Key, PictureBoxes, Row, image_id

BoxFormat = Literal["xywh", "xyxy"]
BOX_FORMATS: tuple[BoxFormat, ...] = get_args(BoxFormat)
ACCEPTED_FILES = (
    'a list of {"image_id" or "file_name": ..., "bbox": [x, y, w, h]}, a COCO file with "images" and "annotations", '
    'or {"photo.jpg": [[x, y, w, h], ...]}'
)


def read_boxes(
    path: str | Path, box_format: str = "xywh", *, min_score: float | None = None, category: int | None = None
) -> PictureBoxes:
    """Read the boxes of a JSON file.

    Args:
        path: The file, see the head of this module.
        box_format: ``xywh`` is left, top, width, height. ``xyxy`` is left, top, right, bottom.
        min_score: Leave out entries with a lower ``score``. An entry without one is kept. None keeps all.
        category: Leave out entries with another ``category_id``. An entry without one is kept. None keeps all.

    Raises:
        MissingFileError: There is no such file.
        InputError: The file is not JSON, or an entry is malformed. The message names the entry.
    """
    if box_format not in BOX_FORMATS:
        raise InputError(f"box_format={box_format!r}; {nearest(str(box_format), BOX_FORMATS)}")
    boxes = PictureBoxes(str(path))
    try:
        for where, entry, key, values in _entries(_content(path)):
            if _is_kept(where, entry, min_score, category):
                boxes.add(key, _box(where, values, box_format))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return boxes


def _content(path: str | Path) -> Any:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
        return json.loads(text)
    except FileNotFoundError:
        raise MissingFileError(f"{str(path)!r} does not exist; pass a JSON file of boxes") from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}") from None
    except RecursionError:
        raise InputError(f"is nested too deeply; use {ACCEPTED_FILES}") from None
    except ValueError as error:  # not UTF-8, not JSON, or a number of thousands of digits
        raise InputError(f"is not JSON: {error}; use {ACCEPTED_FILES}") from None


def _entries(content: Any) -> Iterator[tuple[str, Mapping[str, Any], Key, Any]]:
    """Yield for each box its place in the file, its entry, its picture and its values."""
    if isinstance(content, list):
        yield from _rows(content, "", None)
    elif isinstance(content, dict) and "annotations" in content:
        names = _names(content["images"]) if "images" in content else None
        rows = _list(content["annotations"], "annotations")
        yield from _rows(rows, "annotations", names)
    elif isinstance(content, dict):
        for name, boxes in content.items():
            for number, values in enumerate(_list(boxes, repr(name))):
                yield f"{name!r}[{number}]", {}, _file_name(name, repr(name)), values
    else:
        raise InputError(f"holds {reprlib.repr(content)}; use {ACCEPTED_FILES}")


def _rows(
    rows: Sequence[Any], inside: str, names: Mapping[int | str, str] | None
) -> Iterator[tuple[str, Mapping[str, Any], Key, Any]]:
    for number, row in enumerate(rows):
        where = f"{inside}[{number}]"
        entry = _object(row, where)
        if entry.get("iscrowd") not in (None, False, 0, "", "0", "false"):
            continue
        yield f"{where}['bbox']", entry, _key(entry, where, names), _field(entry, "bbox", where)


def _key(entry: Mapping[str, Any], where: str, names: Mapping[int | str, str] | None) -> Key:
    """Return the file name or the id of an entry's picture."""
    if "file_name" in entry:
        return _file_name(entry["file_name"], f"{where}['file_name']")
    if "image_id" not in entry:
        raise InputError(f"{where} has neither 'image_id' nor 'file_name'; use {ACCEPTED_FILES}")
    found = _id(entry["image_id"], f"{where}['image_id']")
    if names is None:
        return found
    if found not in names:
        raise InputError(
            f"{where} has image_id {reprlib.repr(found)}, which is not in 'images'; add it there, or correct the id"
        )
    return PurePosixPath(names[found])


def _names(images: Any) -> dict[int | str, str]:
    """Return the file names of the list ``images`` by id."""
    names = {}
    for number, image in enumerate(_list(images, "images")):
        where = f"images[{number}]"
        entry = _object(image, where)
        name = _file_name(_field(entry, "file_name", where), f"{where}['file_name']")
        names[_id(_field(entry, "id", where), f"{where}['id']")] = str(name)
    return names


def _is_kept(where: str, entry: Mapping[str, Any], min_score: float | None, category: int | None) -> bool:
    if min_score is not None and "score" in entry:
        score = entry["score"]
        if not _is_number(score) or score != score:
            raise InputError(f"{where}: the score is {reprlib.repr(score)}, and must be a number")
        if score < min_score:
            return False
    return category is None or entry.get("category_id", category) == category


def _box(where: str, values: Any, box_format: str) -> Row:
    """Return a box as xywh."""
    names = "[x, y, w, h]" if box_format == "xywh" else "[left, top, right, bottom]"
    if not isinstance(values, list) or len(values) != 4 or not all(map(_is_number, values)):
        raise InputError(f"{where} is {reprlib.repr(values)}; a box must be four numbers, {names}")
    if not all(abs(value) <= BOX_LIMIT for value in values):  # not true for NaN
        raise InputError(f"{where} is {reprlib.repr(values)}; numbers must be within {BOX_LIMIT:g} px of 0")
    x, y, w, h = map(float, values)
    if box_format == "xyxy":
        w, h = w - x, h - y
    if not (MIN_BOX_SIDE <= w <= BOX_LIMIT and MIN_BOX_SIDE <= h <= BOX_LIMIT):
        raise InputError(
            f"{where} is {reprlib.repr(values)}, {w:g} wide and {h:g} high as {names}; width and height must be from "
            f"{MIN_BOX_SIDE:g} to {BOX_LIMIT:g} px"
        )
    return x, y, w, h


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _id(value: Any, where: str) -> int | str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise InputError(f"{where} is {reprlib.repr(value)}; an id must be a whole number or text")
    return image_id(value) if isinstance(value, str) else value


def _file_name(value: Any, where: str) -> PurePosixPath:
    name = PurePosixPath(value.replace("\\", "/") if isinstance(value, str) else "")
    if not name.name:
        raise InputError(f"{where} is {reprlib.repr(value)}; use the file name of a picture, such as 'photo.jpg'")
    return name


def _list(value: Any, where: str) -> list[Any]:
    if not isinstance(value, list):
        raise InputError(f"{where} is {reprlib.repr(value)}; it must be a list")
    return value


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"{where} is {reprlib.repr(value)}; it must be an object in {{}}")
    return value


def _field(entry: Mapping[str, Any], name: str, where: str) -> Any:
    if name not in entry:
        raise InputError(f"{where} has no {name!r}; it has {reprlib.repr(sorted(entry))}")
    return entry[name]
