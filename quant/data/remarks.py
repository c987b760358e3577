"""Collect what was derived, dropped or looks wrong while labels were read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, get_args

from edgehrnet.errors import InputError

Level: TypeAlias = Literal["error", "warning", "dropped", "derived"]
LEVELS: tuple[Level, ...] = get_args(Level)
"""Levels, the most serious first."""
LONGEST = 400
"""Most characters of a place that are kept."""
PLACES = 3
"""Places that are kept for each kind of remark."""


@dataclass
class Remark:
    """One kind of remark and where it applies."""

    level: Level
    """``error`` ends a command, ``dropped`` and ``derived`` say what was done."""
    kind: str
    """What was found, in the plural, and what to do about it if it is an error or a warning."""
    count: int = 0
    """Number of places."""
    places: list[str] = field(default_factory=list)
    """First `PLACES` places, each with file and annotation or row."""

    def text(self) -> str:
        """Return the remark as one line."""
        more = f" and {self.count - len(self.places)} more" if self.count > len(self.places) else ""
        return f"{self.kind}: {', '.join(self.places)}{more}"


def _printable(text: str) -> str:
    """Return a text with its control characters escaped, and without its middle if it is too long.

    Names in label files may have characters that change the colors or the title of a terminal.
    """
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]}...{text[-LONGEST // 2 :]}"
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class Remarks:
    """All remarks about one data set, in the order in which their kinds were first met."""

    def __init__(self) -> None:
        self._found: dict[tuple[Level, str], Remark] = {}

    def add(self, level: Level, kind: str, place: str) -> None:
        """Note that a kind of remark applies at a place."""
        remark = self._found.setdefault((level, kind), Remark(level, kind))
        remark.count += 1
        if len(remark.places) < PLACES:
            remark.places.append(_printable(place))

    def extend(self, other: Remarks) -> None:
        """Add the remarks of another collection."""
        for key, remark in other._found.items():
            mine = self._found.setdefault(key, Remark(remark.level, remark.kind))
            mine.count += remark.count
            mine.places = [*mine.places, *remark.places][:PLACES]

    def __iter__(self) -> Iterator[Remark]:
        """Iterate over the remarks, the most serious level first."""
        return iter(sorted(self._found.values(), key=lambda remark: LEVELS.index(remark.level)))

    def of(self, *levels: Level) -> list[Remark]:
        """Return the remarks of the given levels."""
        return [remark for remark in self if remark.level in levels]

    def raise_errors(self, name: str) -> None:
        """Raise InputError if there is an error. The message lists all kinds with their first places."""
        errors = self.of("error")
        if errors:
            raise InputError(f"{name}: " + "\n  ".join(["the labels cannot be used", *(e.text() for e in errors)]))
