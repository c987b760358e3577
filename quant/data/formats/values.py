"""Read numbers, boxes and other values from label files, and detect those that cannot be used."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgehrnet.errors import InputError
from quant.data.examples import Box

SHORT = reprlib.Repr()
SHORT.maxstring = SHORT.maxother = SHORT.maxlong = 200
SHORT.maxlist = SHORT.maxdict = SHORT.maxtuple = 20
"""Shortens values for error messages."""
NAMELESS = "names of keypoints, as the labels have none; left and right are unknown without --flip-pairs"
"""Remark on keypoints that are numbered."""
LARGEST = 1e7
"""Largest coordinate in pixels. A larger one is not a place in a picture."""


def read_json(path: Path, what: str) -> Any:
    """Return the content of a JSON file in UTF-8, UTF-16 or UTF-32.

    Raises:
        InputError: the file cannot be read. The message says ``what`` was expected.
    """
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not {what}: {type(error).__name__}: {error}") from None


def begins_with(path: Path, text: str) -> bool:
    """Return whether a file begins with a text, after blanks. False if it cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return file.read(1000).lstrip().startswith(text)
    except OSError:
        return False


def entries(content: Any, name: str, path: Path) -> list[Mapping[str, Any]]:
    """Return a list of objects in a JSON object.

    Raises:
        InputError: there is no such list, or an entry of it is not an object.
    """
    found = content.get(name) if isinstance(content, Mapping) else None
    if not isinstance(found, list):
        raise InputError(f"{path} has no list {name!r}; a COCO file has 'images', 'annotations' and 'categories'")
    for index, entry in enumerate(found):
        if not isinstance(entry, Mapping):
            raise InputError(f"{path}: {name}[{index}] is {shortened(entry)}, and must be an object")
    return found


def number(value: Any, largest: float = LARGEST) -> float | None:
    """Return a number, NaN for null and numbers that are not finite, and None for anything that is not a number.

    Numbers beyond ``largest`` count as not finite.

    >>> number(3), number(None), number("3")
    (3.0, nan, None)
    """
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        result = float(value)
    except OverflowError:  # an integer of hundreds of digits
        return math.nan
    return result if abs(result) <= largest else math.nan


def numbers(values: Any) -> list[float] | None:
    """Return a list of numbers as `number` does. None if it is not a list, or an entry is not a number."""
    if not isinstance(values, Sequence) or isinstance(values, str):
        return None
    found = [number(value) for value in values]
    return None if any(value is None for value in found) else found  # type: ignore[return-value]


def size_of(height: Any, width: Any) -> tuple[int, int] | None:
    """Return a size (height, width). None unless both are whole numbers of at least 1, since 0 and -1 mean unknown.

    >>> size_of(80, "120"), size_of(-1, 120)
    ((80, 120), None)
    """
    sides = [number(int(side[:9]) if isinstance(side, str) and side.isdecimal() else side) for side in (height, width)]
    if any(side is None or not side >= 1 or side != int(side) for side in sides):
        return None
    return int(sides[0] or 0), int(sides[1] or 0)


def box_of(values: Any) -> Box | None:
    """Return a box of four finite numbers, or None for anything else. Its sides may be 0 or negative."""
    found = numbers(values)
    if found is None or len(found) != 4 or not all(math.isfinite(value) for value in found):
        return None
    return found[0], found[1], found[2], found[3]


def flag(value: Any) -> bool | None:
    """Return True or False for a number or a text that means it, and None for anything else.

    >>> flag(1), flag("0"), flag("true"), flag(None), flag("x")
    (True, False, True, False, None)
    """
    if isinstance(value, str):
        return {"": False, "0": False, "false": False, "1": True, "true": True}.get(value.strip().lower())
    if value is None or value == [] or value == {}:
        return False
    return bool(value) if isinstance(value, int | float) else None


def shortened(value: Any) -> str:
    """Return a value for an error message, cut to 60 characters."""
    text = SHORT.repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
