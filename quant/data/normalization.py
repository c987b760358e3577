"""Complete and check labels, so that everything that uses them can rely on them."""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehrnet.picture.crops import CropConvention, clip_box
from quant.data.annotations import Annotations, Instance
from quant.data.augmentation import inside
from quant.data.examples import Box
from quant.data.picture_files import check_pictures
from quant.data.remarks import Remarks

GROWTH = 0.1
"""Margin of a box that is derived from keypoints, as a share of their extent's longer side."""
RELATIVE = 1.5
"""Points of a whole data set that are all below this look like shares of the picture's sides, in 0..1."""


def completed(annotations: Annotations) -> Annotations:
    """Open the header of every picture, and return labels that are complete.

    Each instance gets a box and an area. Points outside the picture stay as they are, and count as
    not visible when an example is made. What is derived, dropped or looks wrong is added to the remarks. Instances
    with an error are left out.
    """
    remarks = annotations.remarks
    sizes = check_pictures(annotations.pictures, remarks)
    instances = [found for instance in annotations.instances if instance.picture in sizes
                 and (found := _complete(instance, sizes[instance.picture], remarks)) is not None]  # fmt: skip
    _check_relative(instances, remarks)
    _check_duplicates(instances, remarks)
    complete = dataclasses.replace(annotations, instances=instances, sizes=sizes)
    _check_sides(complete)
    return complete


def _complete(instance: Instance, size: tuple[int, int], remarks: Remarks) -> Instance | None:
    """Return the instance with a box and an area, or None if it has nothing to find in the picture.

    The size of the picture is (height, width). Only the boxes of instances to be trained are cut to the picture.
    COCO's evaluation uses the other ones as they are.
    """
    height, width = size
    points, given = instance.points[instance.labeled], instance.box
    if not instance.trained:
        box = points_box(points, size) if given is None and len(points) else given
        area = 0.0 if box is None else max(0.0, box[2]) * max(0.0, box[3])
        return None if box is None else dataclasses.replace(instance, box=box, area=instance.area or area)
    _check_points(instance, size, remarks)
    if not inside(points, width, height).any():
        remarks.add("dropped", "instances without a keypoint in the picture", instance.source)
        return None
    clipped = None if given is None or min(given[2:]) <= 0 else clip_box(given, width, height)
    if given is None or clipped is None or min(clipped[2:]) <= 0:
        kind = "box from the keypoints" + ("" if given is None else ", as the given one has no area in the picture")
        remarks.add("derived", kind, instance.source)
        given = clipped = points_box(points, size)
    if instance.area is None:
        remarks.add("derived", "area from the box", instance.source)
    return dataclasses.replace(instance, box=clipped, area=instance.area or given[2] * given[3])


def _check_points(instance: Instance, size: tuple[int, int], remarks: Remarks) -> None:
    """Note points outside the picture of a size (height, width), and points that stand for missing ones."""
    points = instance.points[instance.labeled]
    outside = int((~inside(points, size[1], size[0])).sum())
    if outside:
        remarks.add("warning", "points outside the picture, neither trained nor scored",
                    f"{instance.source}: {outside} outside {size[1]}x{size[0]} px")  # fmt: skip
    if (points == 0).all(axis=1).any():
        remarks.add("warning", "points at exactly (0, 0), which some tools write for missing points", instance.source)


def points_box(points: NDArray[np.float64], size: tuple[int, int]) -> Box:
    """Return a box ``xywh`` around points ``(N, 2)``, grown by `GROWTH` and cut to the picture.

    It is the whole picture if the points have no extent.

    Args:
        points: points in picture pixels.
        size: size (height, width) of the picture.
    """
    low, extent = points.min(axis=0), np.ptp(points, axis=0)
    margin = GROWTH * float(extent.max())
    if not margin:
        return 0.0, 0.0, float(size[1]), float(size[0])
    left, top = np.maximum(low - margin, 0)
    right, bottom = np.minimum(low + extent + margin, size[::-1])
    return float(left), float(top), float(right - left), float(bottom - top)


def _check_relative(instances: Sequence[Instance], remarks: Remarks) -> None:
    """Note an error if all points look like shares of the picture's sides."""
    points = [instance.points[instance.labeled] for instance in instances if instance.trained]
    if points and max(float(np.abs(values).max()) for values in points) <= RELATIVE:
        first = next(instance for instance in instances if instance.trained)
        remarks.add("error", "coordinates that look like shares in 0..1; multiply x by the picture's width, y by its "
                    "height", first.source)  # fmt: skip


def _check_duplicates(instances: Iterable[Instance], remarks: Remarks) -> None:
    """Note instances of one picture with the same points."""
    seen: dict[tuple[str, bytes], str] = {}
    for instance in instances:
        if instance.trained:
            key = str(instance.picture.path), np.c_[instance.points, instance.visibility].tobytes()
            if key in seen:
                place = f"{instance.source} and {seen[key]}"
                remarks.add("warning", "instances that are the same as another one", place)
            seen.setdefault(key, instance.source)


def _check_sides(annotations: Annotations) -> None:
    """Note instances in which left and right seem to be exchanged, as most other pairs show."""
    pairs = np.array(annotations.flip_pairs, int).reshape(-1, 2)
    found: list[tuple[Instance, NDArray[np.float64]]] = []
    for instance in annotations.trained():
        both = instance.labeled[pairs].all(axis=1)
        gap = instance.points[pairs[:, 0], 0] - instance.points[pairs[:, 1], 0]
        width = instance.box[2] if instance.box else 1.0
        found.append((instance, np.where(both & (np.abs(gap) > 0.1 * width), np.sign(gap), 0.0)))
    for instance, signs in found:
        for pair in np.flatnonzero(signs):
            others = np.delete(signs, pair)
            if (others * signs[pair] < 0).sum() >= 3 and not (others * signs[pair] > 0).any():
                left, right = (annotations.keypoints[index] for index in pairs[pair])
                annotations.remarks.add("warning", "left and right that seem exchanged: one pair against all others",
                                        f"{instance.source}: {left} and {right}")  # fmt: skip


def usual_crop(annotations: Annotations) -> CropConvention | None:
    """Return the kind of model that fits the labels: crops if a picture has several instances, else whole pictures."""
    counts = Counter(instance.picture.path for instance in annotations.trained())
    return "hrnet" if max(counts.values(), default=0) > 1 else None


def note_duplicates(ours: Annotations, others: Annotations) -> None:
    """Note in the remarks of ``ours`` which pictures are also in the validation set ``others``, under any name."""
    by_size: defaultdict[int, list[Path]] = defaultdict(list)
    for path in {picture.path for picture in ours.pictures if picture.path.is_file()}:
        by_size[path.stat().st_size].append(path)
    for other in sorted({picture.path for picture in others.pictures if picture.path.is_file()}):
        for path in by_size.get(other.stat().st_size, ()):
            if path.samefile(other) or path.read_bytes() == other.read_bytes():
                kind = "pictures in both the training set and the validation set"
                ours.remarks.add("warning", kind, f"{path} and {other}")
