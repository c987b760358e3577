"""Compare the keypoint names of two sides, and bring labels into another order."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from edgehrnet.errors import InputError
from quant.data.annotations import Annotations

COUNTED = re.compile(r"(keypoint|kp|point|landmark|joint)? ?\d+")
"""A keypoint name that only counts."""


def keypoint_order(have: Sequence[str], want: Sequence[str]) -> list[int] | None:
    """Return the indices that bring the keypoints ``have`` into the order of ``want``, or None if the names differ.

    Names that count keypoints, such as ``keypoint-3``, say nothing: the order is kept if one side has only such names.
    Otherwise letter case and separators do not matter.

    >>> keypoint_order(["nose", "left_ear"], ["Left ear", "Nose"])
    [1, 0]
    """
    if len(have) != len(want):
        return None
    ours, theirs = ([re.sub(r"[\W_]+", " ", name).strip().casefold() for name in names] for names in (have, want))
    if set(ours) == set(theirs) and len(set(ours)) == len(ours):
        return [ours.index(name) for name in theirs]
    if ours == theirs or any(all(COUNTED.fullmatch(name) for name in names) for names in (ours, theirs)):
        return list(range(len(have)))
    return None


def check_order(have: Sequence[str], want: Sequence[str], name: str, other: str) -> list[int]:
    """Return `keypoint_order`.

    Raises:
        InputError: the names differ. The message lists both sides, called ``name`` and ``other``.
    """
    order = keypoint_order(have, want)
    if order is None:
        raise InputError(
            f"{name} and {other} have different keypoints, and must have the same, in any order. "
            f"{name} has {len(have)}: {', '.join(have)}. {other} has {len(want)}: {', '.join(want)}"
        )
    return order


def reordered(annotations: Annotations, order: Sequence[int]) -> Annotations:
    """Return labels whose keypoint k is the keypoint ``order[k]`` of ``annotations``."""
    place = {old: new for new, old in enumerate(order)}
    instances = [
        dataclasses.replace(instance, points=instance.points[list(order)], visibility=instance.visibility[list(order)])
        for instance in annotations.instances
    ]
    return dataclasses.replace(
        annotations,
        instances=instances,
        keypoints=tuple(annotations.keypoints[index] for index in order),
        skeleton=tuple((place[a], place[b]) for a, b in annotations.skeleton),
        flip_pairs=tuple((place[a], place[b]) for a, b in annotations.flip_pairs),
        sigmas=tuple(annotations.sigmas[index] for index in order) if annotations.sigmas else (),
    )
