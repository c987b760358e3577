"""Find instances in which left and right seem to be exchanged, in some pairs of keypoints or in all.

Labels tell three things apart: one or two pairs against the others, half of the body against the other half, and all
pairs against the other instances.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from quant.data.annotations import Annotations, Instance

OTHERS = 3
"""Pairs that have to agree before another one is doubted."""
ALIGNED = 0.85
"""How well the other pairs have to agree on a direction, from 0 to 1. In a twisted body they do not."""
SHARE = 0.5
"""Least distance across, as a share of the usual one, of keypoints that are taken for exchanged. Crossed wrists are
nearer to each other."""
MANY = 10
"""Instances from which the usual shape of an object is known."""
CONSISTENT = 0.95
"""Least share of instances that have to show the same side of the object before the others are doubted."""
OPPOSED = 0.7
"""Cosine of the angle at which hips point against shoulders, without its sign."""
TRUNK = "shoulder", "hip"
"""Words in the names of the pairs between which no animal can be twisted by half a turn."""
ROUNDS = 3
"""Rounds in which the usual shape is found."""


def check_sides(annotations: Annotations) -> None:
    """Note in the remarks the instances in which left and right seem to be exchanged."""
    instances, names, remarks = list(annotations.trained()), annotations.keypoints, annotations.remarks
    if not instances or not annotations.flip_pairs:
        return
    pairs = np.array(annotations.flip_pairs, int)
    points = np.stack([instance.points for instance in instances])
    labeled = np.stack([instance.labeled for instance in instances])
    single = exchanged_pairs(points, labeled, pairs)
    for instance, found in _of(instances, single):
        shown = ", ".join(f"{names[left]} and {names[right]}" for left, right in pairs[found])
        remarks.add("warning", "instances in which left and right of some pairs seem exchanged, because they point "
                    "against the other pairs; exchange them if so", f"{instance.source}: {shown}")  # fmt: skip
    trunk = [next((pair for pair in pairs if word in names[pair[0]].casefold()), None) for word in TRUNK]
    if trunk[0] is not None and trunk[1] is not None:
        halves = opposed_trunks(points, labeled, trunk[0], trunk[1]) & ~single.any(axis=1)
        shown = " against ".join(f"{names[left]} and {names[right]}" for left, right in (trunk[1], trunk[0]))
        for instance, _ in _of(instances, halves[:, None]):
            kind = "instances in which left and right of the upper or the lower half of the body seem exchanged"
            remarks.add("warning", kind, f"{instance.source}: {shown}")
    for instance, _ in _of(instances, exchanged_instances(points, labeled, pairs)[:, None]):
        remarks.add("warning", "instances in which left and right of all pairs seem exchanged, or which show another "
                    "side of the object than nearly all others; exchange them if so", instance.source)  # fmt: skip


def _of(instances: Sequence[Instance], found: NDArray[np.bool_]) -> Iterator[tuple[Instance, NDArray[np.bool_]]]:
    return ((instance, row) for instance, row in zip(instances, found, strict=True) if row.any())


def exchanged_pairs(
    points: NDArray[np.float64], labeled: NDArray[np.bool_], pairs: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Return ``(N, P)``, True where a pair points the other way than most pairs of its instance.

    The way from right to left of the other pairs gives the direction, so that objects may be turned. Where a pair's
    distance in this direction is not at least `SHARE` of its usual distance, it may be real, as of crossed wrists.

    Args:
        points: keypoints ``(N, K, 2)`` of N instances.
        labeled: ``(N, K)``, which of them are labeled.
        pairs: indices ``(P, 2)`` of the keypoints on the left and the right.
    """
    across = points[:, pairs[:, 0]] - points[:, pairs[:, 1]]
    length = np.linalg.norm(across, axis=2)
    used = labeled[:, pairs].all(axis=2) & (length > 0)
    units = np.where(used[..., None], across / np.maximum(length, 1e-9)[..., None], 0.0)
    direction = units.sum(axis=1, keepdims=True) - units  # (N, P, 2), of all other pairs
    strength = np.linalg.norm(direction, axis=2)
    direction /= np.maximum(strength, 1e-9)[..., None]
    along = np.einsum("nod,npd->npo", across, direction)  # distance of the pair o in the direction for the pair p
    others = used[:, None, :] & ~np.eye(len(pairs), dtype=bool)
    agree, against = others & (along > 0), (others & (along < 0)).sum(axis=2)
    known = used & (agree.sum(axis=2) >= OTHERS) & (3 * against <= agree.sum(axis=2))
    known &= strength >= ALIGNED * (agree.sum(axis=2) - against)
    middle = np.full(known.shape, np.nan)
    middle[known] = np.nanmedian(np.where(agree, along, np.nan)[known], axis=1)
    ratio = np.einsum("npp->np", along) / middle  # NaN where not known
    found = np.zeros(known.shape, bool)
    for p in range(len(pairs)):
        usual = ratio[:, p][ratio[:, p] > 0]
        found[:, p] = ratio[:, p] < -SHARE * (float(np.median(usual)) if len(usual) >= OTHERS else 1.0)
    return found


def opposed_trunks(
    points: NDArray[np.float64], labeled: NDArray[np.bool_], shoulders: NDArray[np.intp], hips: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Return ``(N,)``, True where the hips point the other way than the shoulders.

    In a twisted body they may, but are then both seen from the side. Where one of the two distances is not at least
    `SHARE` of its usual one, relative to the object's size, the result is False.

    Args:
        points: keypoints ``(N, K, 2)`` of N instances.
        labeled: ``(N, K)``, which of them are labeled.
        shoulders: indices of the left and the right shoulder.
        hips: indices of the left and the right hip.
    """
    used = labeled[:, [*shoulders, *hips]].all(axis=1)
    weights = labeled / np.maximum(labeled.sum(axis=1, keepdims=True), 1)
    center = np.einsum("nk,nkd->nd", weights, points)
    size = np.sqrt(np.einsum("nk,nkd->n", weights, (points - center[:, None]) ** 2))
    ways = np.stack([points[:, pair[0]] - points[:, pair[1]] for pair in (shoulders, hips)])
    ways = ways / np.maximum(size, 1e-9)[:, None]
    length = np.linalg.norm(ways, axis=2)
    usual = np.median(length[:, used], axis=1, keepdims=True) if used.any() else np.ones((2, 1))
    wide = (length >= SHARE * usual).all(axis=0)
    found: NDArray[np.bool_] = used & wide & ((ways[0] * ways[1]).sum(axis=1) < -OPPOSED * length.prod(axis=0))
    return found


def exchanged_instances(
    points: NDArray[np.float64], labeled: NDArray[np.bool_], pairs: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Return ``(N,)``, True where the mirror image of the usual shape fits much better than the shape itself.

    Sizes and directions do not matter. It is False for all unless there are `MANY` instances, and nearly all of them
    show the same side of the object. People seen from the front and from behind do not.

    Args:
        points: keypoints ``(N, K, 2)`` of N instances.
        labeled: ``(N, K)``, which of them are labeled.
        pairs: indices ``(P, 2)`` of the keypoints on the left and the right.
    """
    swapped = np.arange(points.shape[1])
    swapped[pairs[:, 0]], swapped[pairs[:, 1]] = pairs[:, 1], pairs[:, 0]
    places = points[..., 0] + 1j * points[..., 1]
    shape = places[labeled.sum(axis=1).argmax()]
    shape = np.where(labeled[labeled.sum(axis=1).argmax()], shape, np.nan)
    for _ in range(ROUNDS):
        fit, aligned = _fit(shape, places, labeled)
        weights = np.where(labeled & np.isfinite(aligned), fit[:, None], 0.0)
        total = weights.sum(axis=0)
        shape = np.where(total > 0, (np.nan_to_num(aligned) * weights).sum(axis=0) / np.maximum(total, 1e-9), np.nan)
    gain = _fit(shape, places, labeled)[0] - _fit(shape, places[:, swapped], labeled[:, swapped])[0]
    gain[~(labeled[:, pairs].all(axis=2).sum(axis=1) >= 2)] = 0.0
    usual = gain[gain > 0]
    telling = np.abs(gain) > SHARE * (np.median(usual) if len(usual) else 1.0)
    consistent = telling.sum() >= MANY and (gain[telling] > 0).mean() >= CONSISTENT
    return telling & (gain < 0) if consistent else np.zeros(len(gain), bool)


def _fit(
    shape: NDArray[np.complex128], places: NDArray[np.complex128], labeled: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
    """Return how well a shape ``(K,)``, moved, scaled and turned, fits each row of places ``(N, K)``.

    Returns:
        The share ``(N,)`` of each row's spread that the shape explains, 0..1, and the rows brought to the shape.
    """
    used = labeled & np.isfinite(shape)
    count = np.maximum(used.sum(axis=1, keepdims=True), 1)
    model, found = np.where(used, shape, 0), np.where(used, places, 0)
    middle, center = model.sum(axis=1, keepdims=True) / count, found.sum(axis=1, keepdims=True) / count
    model, found = np.where(used, model - middle, 0), np.where(used, found - center, 0)
    product = (model.conj() * found).sum(axis=1)
    size, spread = (np.abs(model) ** 2).sum(axis=1), (np.abs(found) ** 2).sum(axis=1)
    share = np.abs(product) ** 2 / np.maximum(size * spread, 1e-9)
    scale = product / np.maximum(size, 1e-9)
    turned = (places - center) / np.where(scale == 0, 1.0, scale)[:, None] + middle
    return share, np.where((scale != 0)[:, None], turned, np.nan)
