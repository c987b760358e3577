"""Read JSON of bounded size and depth."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

MOST_BYTES = 4 << 20  # the picture and the heatmaps for the self-check take up to half of it
DEPTH = 64
_TEXT = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"', re.DOTALL)


def read_json(path: Path) -> Any:
    """Parse a JSON file, see `parse_json`. Raises OSError if it cannot be read."""
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    return parse_json(content.decode("utf-8"))


def parse_json(text: str) -> Any:
    """Parse JSON of at most `MOST_BYTES` characters, with lists and objects at most `DEPTH` deep.

    >>> parse_json("[" * 65)
    Traceback (most recent call last):
    ValueError: more than 64 lists or objects inside each other

    Raises:
        ValueError: It is no JSON, or beyond these limits.
    """
    if len(text) > MOST_BYTES:
        raise ValueError(f"longer than {MOST_BYTES} characters")
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", _TEXT.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > DEPTH:
            raise ValueError(f"more than {DEPTH} lists or objects inside each other")
    return json.loads(text)
