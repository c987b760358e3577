"""Bring pairs of keypoints that a mirrored picture exchanges into the order (left, right)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from edgehrnet.sides import pair_sides


def left_first(pairs: Iterable[tuple[int, int]], names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Return each pair of indices once, sorted. The left keypoint is the first where the names tell which one it is.

    >>> left_first([(0, 2), (2, 0), (1, 3)], ["R_ear", "tip", "L_ear", "root"])
    ((1, 3), (2, 0))
    """
    by_names = {frozenset(pair): pair for pair in pair_sides(names)}
    return tuple(sorted({by_names.get(frozenset(pair), (min(pair), max(pair))) for pair in pairs}))
