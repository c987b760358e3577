"""Note labels that can be read but look wrong."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edgehrnet.picture.crops import MIN_BOX_SIDE
from quant.data.annotations import Annotations, Instance, Picture
from quant.data.augmentation import inside
from quant.data.examples import Box
from quant.data.remarks import Remarks

RELATIVE = 1.5
"""Points of a whole data set that are all below this look like shares of the picture's sides, in 0..1."""
CORNERS = "boxes that look like left, top, right, bottom; write left, top, width, height"
BEYOND, SHARE = 1.05, 0.3
"""How far a box reaches beyond its picture, as a share of the sides, and share of such boxes, that look wrong."""
SEVERAL = 3
"""Points or boxes that have to look wrong together."""
MARGIN = 0.1
"""Share of a box's sides by which points may lie outside of it."""
CENTERS = "boxes that fit their keypoints only as center x, center y, width, height; write left, top, width, height"
EXCHANGED = "boxes that fit their keypoints only if x and y of either are exchanged; exchange them"
AXES = "points that lie in their pictures only if x and y are exchanged; exchange them"
HELD = 0.8, 0.95
"""Mean share of keypoints in their boxes that looks wrong, and the one that shows another reading to be right."""
ASIDE = 0.2, 0.15
"""Median distance of keypoints from the middle of their boxes, as a share of the sides, that looks wrong, and largest
usual one that shows another reading to be right."""
OUTSIDE = 0.1
"""Share of points outside their pictures that looks wrong."""
AREAS = 1e-3, 1.2
"""Least and largest area as a share of the box."""


def look_like_corners(boxes: Sequence[Box], sizes: Sequence[tuple[int, int]]) -> bool:
    """Return whether many boxes ``xywh`` leave their pictures, and all lie inside if read as two corners.

    Args:
        boxes: boxes.
        sizes: size (height, width) of the picture of each box.
    """
    if len(boxes) < SEVERAL:
        return False
    values, limits = np.array(boxes), np.array(sizes)[:, ::-1] * BEYOND
    first, last = values[:, :2], values[:, 2:]
    beyond = (first + last > limits).any(axis=1)
    return bool(beyond.mean() > SHARE and (first >= 0).all() and (last > first).all() and (last <= limits).all())


def check_boxes(instances: Sequence[Instance], sizes: Sequence[tuple[int, int]], remarks: Remarks) -> None:
    """Note boxes and areas, as the labels give them, that look wrong.

    Args:
        instances: instances.
        sizes: size (height, width) of the picture of each instance.
        remarks: collects what was found.
    """
    pairs = [(instance, instance.box, size) for instance, size in zip(instances, sizes, strict=True)
             if instance.trained and instance.box is not None and min(instance.box[2:]) >= MIN_BOX_SIDE]  # fmt: skip
    labeled = [(instance.points[instance.labeled], box) for instance, box, _ in pairs]
    if look_like_corners([box for _, box, _ in pairs], [size for _, _, size in pairs]) or _fit_as_corners(labeled):
        remarks.add("error", CORNERS, f"{pairs[0][0].source} and others")
        return
    misread = _other_reading(labeled)
    if misread is not None:
        remarks.add("warning", misread, f"{pairs[0][0].source} and others")
    for instance, (x, y, width, height), _ in pairs:
        points = instance.points[instance.labeled]
        held = _held(points, (x, y, width, height))
        if misread is None and 2 * held.sum() < len(points):
            remarks.add("warning", "boxes that hold less than half of their keypoints",
                        f"{instance.source}: {held.sum()} of {len(points)}")  # fmt: skip
        share = None if instance.area is None else instance.area / (width * height)
        if share is not None and not AREAS[0] <= share <= AREAS[1]:
            kind = "areas that do not fit their boxes, which makes AP wrong; remove them to use those of the boxes"
            remarks.add("warning", kind, f"{instance.source}: {instance.area:g} in {width:g}x{height:g} px")


def _held(points: NDArray[np.float64], box: Box) -> NDArray[np.bool_]:
    """Return which points lie in a box or at most `MARGIN` outside."""
    corner, sides = np.array(box[:2]), np.array(box[2:])
    held: NDArray[np.bool_] = (np.abs(points - corner - sides / 2) <= (0.5 + MARGIN) * sides).all(axis=1)
    return held


def _fit_as_corners(pairs: Sequence[tuple[NDArray[np.float64], Box]]) -> bool:
    """Return whether keypoints lie in the middle of boxes only if these are read as two corners."""
    if len(pairs) < SEVERAL:
        return False
    values = np.array([box for _, box in pairs])
    middle = np.array([(points.min(axis=0) + points.max(axis=0)) / 2 for points, _ in pairs])
    first, last = values[:, :2], values[:, 2:]
    if not (last > first).all():
        return False
    aside = np.abs(middle - first - last / 2) / last
    aside_as_corners = np.abs(middle - (first + last) / 2) / (last - first)
    return bool(np.median(aside.max(axis=1)) > ASIDE[0] and np.quantile(aside_as_corners.max(axis=1), 0.9) < ASIDE[1])


def _other_reading(pairs: Sequence[tuple[NDArray[np.float64], Box]]) -> str | None:
    """Return the remark if few points lie in their boxes, but nearly all do in another reading. None otherwise."""
    readings = {
        "": pairs,
        CENTERS: [(points, (x - w / 2, y - h / 2, w, h)) for points, (x, y, w, h) in pairs],
        EXCHANGED: [(points[:, ::-1], box) for points, box in pairs],
    }
    if len(pairs) < SEVERAL:
        return None
    shares = {kind: float(np.mean([_held(*pair).mean() for pair in read])) for kind, read in readings.items()}
    best = max(shares, key=lambda kind: shares[kind])
    return best if shares[""] <= HELD[0] and shares[best] >= HELD[1] else None


def check_axes(instances: Sequence[Instance], sizes: Mapping[Picture, tuple[int, int]], remarks: Remarks) -> None:
    """Note if many points lie outside their pictures, and none does with x and y exchanged."""
    pairs = [(instance.points[instance.labeled], sizes[instance.picture]) for instance in instances]
    outside = [~inside(points, width, height) for points, (height, width) in pairs]
    exchanged = [inside(points[:, ::-1], width, height) for points, (height, width) in pairs]
    count = sum(int(found.sum()) for found in outside)
    if count >= max(SEVERAL, OUTSIDE * sum(map(len, outside))) and all(found.all() for found in exchanged):
        places = [instance.source for instance, found in zip(instances, outside, strict=True) if found.any()]
        remarks.add("warning", AXES, f"{places[0]} and others")


def check_points(instance: Instance, size: tuple[int, int], remarks: Remarks) -> None:
    """Note points outside the picture of a size (height, width), and points that stand for missing ones."""
    points = instance.points[instance.labeled]
    outside = int((~inside(points, size[1], size[0])).sum())
    if outside:
        kind = "instances with points outside the picture, which are not trained on, and count only in AP"
        remarks.add("warning", kind, f"{instance.source}: {outside} outside {size[1]}x{size[0]} px")
    if (points == 0).all(axis=1).any():
        kind = "instances with a point at exactly (0, 0), as some tools write for a missing one; remove it if so"
        remarks.add("warning", kind, instance.source)
    if len(points) >= SEVERAL and np.ptp(points, axis=0).max() <= 1:
        remarks.add("warning", "instances whose points all lie within one pixel", instance.source)


def check_relative(instances: Sequence[Instance], sizes: Mapping[Picture, tuple[int, int]], remarks: Remarks) -> None:
    """Note if all points look like shares of the picture's sides, in 0..1 or in percent."""
    points: list[NDArray[np.float64]] = [instance.points[instance.labeled] for instance in instances]
    largest = max((float(np.abs(values).max()) for values in points), default=math.inf)
    smallest = min((min(sizes[instance.picture]) for instance in instances), default=0)
    if RELATIVE < largest <= 100 and smallest >= 200 and len({instance.picture for instance in instances}) >= SEVERAL:
        remarks.add("warning", "coordinates that look like percent of the picture's sides, as none is above 100",
                    f"{instances[0].source} and others")  # fmt: skip
    if largest <= RELATIVE:
        remarks.add("error", "coordinates that look like shares of the picture's sides in 0..1; multiply x by the "
                    "width, y by the height", instances[0].source)  # fmt: skip


def check_unlabeled(annotations: Annotations) -> None:
    """Note keypoints that no instance has."""
    labeled = [instance.labeled for instance in annotations.trained()]
    for name, found in zip(annotations.keypoints, np.any(labeled, axis=0) if labeled else (), strict=False):
        if not found:
            kind = "keypoints that are labeled nowhere, so that a network cannot learn them"
            annotations.remarks.add("warning", kind, name)


def check_duplicates(instances: Iterable[Instance], remarks: Remarks) -> None:
    """Note instances of one picture with the same points."""
    seen: dict[tuple[str, bytes], str] = {}
    for instance in instances:
        key = str(instance.picture.path), np.c_[instance.points, instance.visibility].tobytes()
        if key in seen:
            place = f"{instance.source} and {seen[key]}"
            remarks.add("warning", "instances with the same points as another one; remove one of them", place)
        seen.setdefault(key, instance.source)
