"""Recognize left and right in keypoint names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+|\d+")
"""A word of a name: capitals, a capital with lower-case letters, or digits. "LShoulder" is L and Shoulder."""
SIDE = re.compile(r"(?:left|lt|l)|(?:right|rt|r)", re.IGNORECASE)
LIMB = re.compile(r"[LR][FHB]|[FHB][LR]")
"""Word of two letters, one for the side and one for front, hind or back, as in the names of paws: LF, HR."""


def side_of(name: str) -> tuple[str, int] | None:
    """Return the name without its side, and the side: 0 for left, 1 for right. None if no single word is a side.

    >>> side_of("L_Eye"), side_of("lShoulder"), side_of("ear_l"), side_of("paw1LH"), side_of("nose")
    (('eye', 0), ('shoulder', 0), ('ear', 0), ('paw 1 h', 0), None)
    """
    words = WORD.findall(name)
    places = [index for index, word in enumerate(words) if SIDE.fullmatch(word)]
    # "left" wins over "l", as in "left_eye_l1".
    places = [index for index in places if len(words[index]) > 2] or places
    if len(places) == 1 and len(words) > 1:
        rest, side = [*words[: places[0]], *words[places[0] + 1 :]], words[places[0]]
    else:
        limbs = [index for index, word in enumerate(words) if LIMB.fullmatch(word)]
        if places or len(limbs) != 1 or len(words) == 1:
            return None
        limb = words[limbs[0]]
        side = limb[0] if limb[0] in "LR" else limb[1]
        rest = [limb.replace(side, "", 1) if word is limb else word for word in words]
    return " ".join(rest).lower(), int(side[0].lower() == "r")


def pair_sides(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Return pairs of indices (left, right) of keypoints that have the same name apart from the side.

    >>> pair_sides(["nose", "L_Eye", "R_Eye", "ear_l", "lhand", "rhand"])
    ((1, 2), (4, 5))
    """
    parts: defaultdict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for index, name in enumerate(names):
        found = side_of(name)
        if found is not None:
            parts[found[0]][found[1]].append(index)
    pairs = [(left[0], right[0]) for left, right in parts.values() if len(left) == len(right) == 1]
    left_over = [index for index in range(len(names)) if not any(index in pair for pair in pairs)]
    by_name = {names[index].lower(): index for index in left_over}
    for index in left_over:
        partners = {by_name[other] for other in _right_names(names[index]) if other in by_name}
        if len(partners) == 1 and not any(partners & {*pair} for pair in pairs):
            pairs.append((index, partners.pop()))
    return tuple(sorted(pairs))


def unpaired(names: Sequence[str], pairs: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    """Return the names with a left or right that are in none of the pairs.

    >>> unpaired(["nose", "L_Eye", "R_Eye", "ear_l"], [(1, 2)])
    ('ear_l',)
    """
    paired = {index for pair in pairs for index in pair}
    return tuple(name for index, name in enumerate(names) if side_of(name) and index not in paired)


def _right_names(name: str) -> Iterator[str]:
    """Yield possible names of the right partner if the side is part of a word, as in lefteye, lhand, FL and TL."""
    if re.fullmatch("[FHBT]L", name, re.IGNORECASE):  # front, hind, back or bottom, top
        yield f"{name[0]}r".lower()
    for found in re.finditer("left", name, re.IGNORECASE):
        yield f"{name[: found.start()]}right{name[found.end() :]}".lower()
    for found in WORD.finditer(name):
        if found.group()[0] in "lL":
            yield f"{name[: found.start()]}r{name[found.start() + 1 :]}".lower()
