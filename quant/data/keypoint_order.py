"""Compare two lists of keypoint names, and reorder the keypoints of labels."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from edgehrnet.errors import InputError
from quant.data.annotations import Annotations

COUNTED = re.compile(r"(keypoint|kp|point|landmark|joint)? ?\d+")
"""A keypoint name that is only a number, such as "keypoint-3"."""


def keypoint_order(have: Sequence[str], want: Sequence[str]) -> list[int] | None:
    """Return indices such that ``have[index]`` gives the order of ``want``, or None if the names differ.

    Letter case and separators do not matter. If one of the lists has only numbers as names, such as ``keypoint-3``, the
    order is kept.

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
    """Return the indices of `keypoint_order`.

    Raises:
        InputError: the names differ. The message lists those of both, which it calls ``name`` and ``other``.
    """
    order = keypoint_order(have, want)
    if order is None:
        raise InputError(
            f"{name} and {other} must have the same keypoints, in any order, and have different ones. "
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
