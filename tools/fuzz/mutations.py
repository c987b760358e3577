"""Damage bytes, texts and JSON values at random."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Sequence
from random import Random
from typing import Any

NUMBERS: tuple[Any, ...] = (
    *(0, -1, 1, 2, 255, 256, 65536, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**63, 2**64, 10**400, -(10**400)),
    *(0.5, -0.0, 1e-308, 1e7, 1e50, 1e308, -1e308, float("nan"), float("inf"), float("-inf")),
)
"""Numbers at the ends of what computers hold."""
OTHERS: tuple[Any, ...] = (
    *(None, True, False, [], {}, [[]], [None], {"": None}, [0, 0], [1, 2, 3, 4]),
    *("", "0", "-1", "nan", "1e999", "a" * 5000, "\0", "\ud800", "\x1b[31m", "../../x", "/etc", "ä€😀", "\n"),
)
TEXT_NUMBERS = ("0", "-1", "1", "nan", "inf", "-inf", "1e999", "-1e308", "9" * 400, "9" * 5000, "", "x", "0x10", "1,5")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
BYTES = (0, 1, 0x7F, 0x80, 0xFE, 0xFF)


def damaged_bytes(rng: Random, seeds: Sequence[bytes], most: int = 8) -> bytes:
    """Return one of the seeds after a few flipped bits, extreme numbers, cuts, repeats and splices."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 1, 2, most))):
        _damage(rng, data, seeds)
    return bytes(data)


def _damage(rng: Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    """Do one kind of damage to bytes, in place."""
    kind, place = rng.randrange(8), rng.randrange(len(data) + 1)
    end = min(len(data), place + rng.choice((1, 2, 4, 8, 64, 1000)))
    if kind == 0 and place < len(data):
        data[place] ^= 1 << rng.randrange(8)
    elif kind == 1 and place < len(data):
        data[place] = rng.choice(BYTES)
    elif kind == 2:
        width = rng.choice((2, 4, 8))
        value = rng.choice((0, 1, -1, 1 << (8 * width - 1), (1 << (8 * width - 1)) - 1, rng.randrange(1 << 16)))
        number = (value % (1 << 8 * width)).to_bytes(width, rng.choice(("little", "big")))  # type: ignore[arg-type]
        data[place : place + width] = number
    elif kind == 3 and rng.random() < 0.5:
        del data[place:]
    elif kind == 4:
        del data[place:end]
    elif kind == 5:
        data[place:place] = data[place:end] * rng.choice((1, 2, 50))
    elif kind == 6:
        other = rng.choice(seeds)
        start = rng.randrange(len(other) + 1)
        data[place:end] = other[start : start + rng.choice((4, 64, len(other)))]
    elif kind == 7:
        data[place:end] = bytes(end - place)


def damaged_text(rng: Random, seeds: Sequence[str]) -> bytes:
    """Return one of the seeds after a few changed numbers and lines, sometimes with damaged bytes."""
    text = rng.choice(seeds)
    for _ in range(rng.choice((1, 1, 2, 4))):
        kind = rng.randrange(4)
        lines = text.split("\n")
        line = rng.randrange(len(lines))
        if kind == 0:
            found = list(NUMBER.finditer(text))
            if found:
                place = rng.choice(found)
                text = text[: place.start()] + rng.choice(TEXT_NUMBERS) + text[place.end() :]
        elif kind == 1:
            lines[line : line + 1] = rng.choice(([], lines[line : line + 1] * 2, [""], [lines[line][::2]]))
            text = "\n".join(lines)
        elif kind == 2:
            words = re.split(r"(\W)", lines[line])
            words[rng.randrange(len(words))] = rng.choice(("", "x", "\0", "ä", "\x1b", *TEXT_NUMBERS))
            lines[line] = "".join(words)
            text = "\n".join(lines)
        else:
            other = rng.choice(seeds).split("\n")
            lines.insert(line, rng.choice(other))
            text = "\n".join(lines)
    content = text.encode(rng.choice(("utf-8",) * 8 + ("utf-16", "utf-8-sig")), "replace")
    return damaged_bytes(rng, [content]) if rng.random() < 0.15 else content


def extreme(rng: Random) -> Any:
    """Return a value that is rarely expected."""
    if rng.random() < 0.04:
        return nested(rng.choice((3, 70, 300)), rng.random() < 0.5)
    return copy.copy(rng.choice(NUMBERS if rng.random() < 0.6 else OTHERS))


def nested(depth: int, objects: bool = False) -> Any:
    """Return lists, or objects, inside each other."""
    value: Any = {} if objects else []
    for _ in range(depth):
        value = {"a": value} if objects else [value]
    return value


def damaged_json(rng: Random, seeds: Sequence[Any]) -> Any:
    """Return a copy of one of the seeds with a few values replaced, removed, repeated, moved or wrapped."""
    holder = [copy.deepcopy(rng.choice(seeds))]
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        parent, key = _place(rng, holder)
        kind = rng.randrange(8)
        if kind <= 3:
            parent[key] = extreme(rng)
        elif kind == 4 and parent is not holder:
            del parent[key]
        elif kind == 5:
            parent[key] = rng.choice(([parent[key]], {"a": parent[key]}, [parent[key]] * 2, str(parent[key])[:200]))
        elif kind == 6 and isinstance(parent, dict):
            parent[rng.choice(("x", "", "optional", "format", f"{key}s"))] = parent[key]
        else:
            other, name = _place(rng, holder)
            parent[key] = copy.deepcopy(other[name])
    return holder[0]


def _place(rng: Random, holder: Any) -> tuple[Any, Any]:
    """Return a list or object somewhere in a value, and a key of it."""
    parent, key = holder, 0
    while isinstance(parent[key], list | dict) and parent[key] and rng.random() < 0.8:
        parent = parent[key]
        key = rng.choice(list(parent)) if isinstance(parent, dict) else rng.randrange(len(parent))
    return parent, key


def damaged_json_text(rng: Random, seeds: Sequence[Any]) -> bytes:
    """Return JSON of `damaged_json`, sometimes with a repeated key, deep brackets or damaged bytes."""
    text = json.dumps(damaged_json(rng, seeds))
    kind = rng.randrange(20)
    if kind == 0:
        text = text.replace("{", rng.choice(('{"name":0,', '{"":0,', '{"format":1,"format":2,')), 1)
    elif kind == 1:
        place = rng.randrange(len(text) + 1)
        text = text[:place] + rng.choice('[{"1') * rng.choice((1, 65, 20_000)) + text[place:]
    elif kind in (2, 3):
        return damaged_bytes(rng, [text.encode("utf-8", "replace")])
    return text.encode("utf-8", "replace")
