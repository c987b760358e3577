"""Read the categories of COCO keypoint files: their ids, keypoints, skeletons and sigmas."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgehrnet.errors import InputError
from edgehrnet.keypoint_sets import COCO_PERSON
from quant.data.annotations import ImageId
from quant.data.formats.values import numbers, shortened
from quant.data.remarks import Remarks

WHOLE = re.compile(r"0|-?[1-9][0-9]{,99}")
"""A whole number as Python writes it."""


def image_key(value: Any) -> ImageId | None:
    """Return an id such that 7, 7.0 and "7" are the same, or None if it is not an id.

    >>> image_key("007"), image_key(7.0), image_key("7"), image_key("-7"), image_key("a7")
    ('007', 7, 7, -7, 'a7')
    """
    if isinstance(value, str):
        return int(value) if WHOLE.fullmatch(value) else value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if type(value) is int else None


@dataclass(frozen=True)
class Categories:
    """Categories that have keypoints, and the ids of those that have none."""

    keypoints: tuple[str, ...]
    names: dict[ImageId, str]
    """Names of the categories with keypoints by their ids."""
    others: frozenset[ImageId]
    """Ids of the categories without keypoints."""
    skeletons: list[Any]
    sigmas: list[Any]

    @classmethod
    def read(
        cls, listed: Sequence[Mapping[str, Any]], annotations: Sequence[Mapping[str, Any]], path: Path
    ) -> Categories:
        """Read the list ``categories``. Without names of keypoints there, their number comes from ``annotations``.

        Raises:
            InputError: no category has keypoints, or annotations are of several with different ones.
        """
        used = [c for c in listed if c.get("keypoints")]
        lists = [_keypoint_names(c["keypoints"], path) for c in used]
        if len(set(lists)) > 1:
            used, lists = _with_annotations(used, lists, annotations)
        if len(set(lists)) > 1:
            shown = "; ".join(f"{c.get('name')}: {', '.join(names)}" for c, names in zip(used, lists, strict=True))
            raise InputError(f"{path}: its categories have {len(set(lists))} different lists of keypoints ({shown}); "
                             "keep the annotations of one list in this file, and train a network for each")  # fmt: skip
        if not used:
            lengths = {len(a["keypoints"]) for a in annotations if isinstance(a.get("keypoints"), list)}
            if len(lengths) != 1 or not lengths <= {3 * k for k in range(1, 10_000)}:
                raise InputError(f"{path} has no category with 'keypoints'; add the list of their names to it")
            used, lists = list(listed), [tuple(f"keypoint-{k}" for k in range(lengths.pop() // 3))]
        names = {key: str(c.get("name", key)) for c in used if (key := image_key(c.get("id", 1))) is not None}
        fields = ([c.get(field) for c in used] for field in ("skeleton", "sigmas"))
        others = frozenset(key for c in listed if (key := image_key(c.get("id"))) is not None and key not in names)
        return cls(lists[0], names or {1: "object"}, others, *fields)


def _with_annotations(
    used: Sequence[Mapping[str, Any]], lists: list[tuple[str, ...]], annotations: Sequence[Mapping[str, Any]]
) -> tuple[list[Mapping[str, Any]], list[tuple[str, ...]]]:
    """Return the categories of which there are annotations with keypoints, or all if there are none."""
    found = {image_key(entry.get("category_id")) for entry in annotations if entry.get("keypoints")}
    pairs = list(zip(used, lists, strict=True))
    kept = [pair for pair in pairs if image_key(pair[0].get("id")) in found] or pairs
    return [category for category, _ in kept], [names for _, names in kept]


def _keypoint_names(values: Any, path: Path) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(name, str) for name in values):
        raise InputError(f"{path}: a category's 'keypoints' is {shortened(values)}, and must be a list of names")
    if len(set(values)) < len(values):
        twice = next(name for name in values if values.count(name) > 1)
        raise InputError(f"{path}: a category has two keypoints with the name {twice!r}; give each a name of its own")
    return tuple(values)


def skeleton_of(categories: Categories, path: Path, remarks: Remarks) -> tuple[tuple[int, int], ...]:
    """Return pairs of indices from 0. Pairs that cannot be used are left out, as they are only drawn."""
    names = categories.keypoints
    pairs = [pair for skeleton in categories.skeletons if isinstance(skeleton, list) for pair in skeleton]
    found: list[tuple[int, int]] = []
    ends = {end for pair in pairs if isinstance(pair, list) for end in pair if type(end) is int}
    # COCO counts from 1. If 0 occurs, and the number of keypoints does not, all pairs count from 0.
    start = 0 if 0 in ends and len(names) not in ends else 1
    if start == 0:
        remarks.add("derived", "skeletons that count keypoints from 0 instead of 1", path.name)
    for pair in pairs:
        given = pair if isinstance(pair, list) else []
        indices = [names.index(end) if isinstance(end, str) and end in names else
                   end - start if type(end) is int else -1 for end in given]  # fmt: skip
        if len(indices) == 2 and all(0 <= index < len(names) for index in indices):
            found.append((indices[0], indices[1]))
        else:
            remarks.add(
                "warning", "lines of the skeleton that do not name two keypoints", f"{path.name}: {shortened(pair)}"
            )
    return tuple(dict.fromkeys(found))


def sigmas_of(categories: Categories, path: Path, remarks: Remarks) -> tuple[float, ...]:
    """Return the OKS constants that the file states, or COCO's for COCO's keypoints, in any order."""
    names = categories.keypoints
    for given in (sigmas for sigmas in categories.sigmas if sigmas):
        values = numbers(given)
        if values is not None and len(values) == len(names) and all(value > 0 for value in values):
            return tuple(values)
        kind = f"'sigmas' that are not used, because they are not {len(names)} positive numbers"
        remarks.add("warning", kind, f"{path.name} has {shortened(given)}")
    known = dict(zip(COCO_PERSON.names, COCO_PERSON.sigmas, strict=True))
    return tuple(known[name] for name in names) if set(names) == set(known) else ()
