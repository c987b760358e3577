"""Add what labels lack, and check them, so that the code that uses them need not."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from edgehrnet.picture.crops import MIN_BOX_SIDE, CropConvention, clip_box
from quant.data.annotations import Annotations, Instance
from quant.data.augmentation import inside
from quant.data.examples import Box
from quant.data.exchanged_sides import check_sides
from quant.data.picture_files import check_pictures
from quant.data.plausibility import (
    check_axes,
    check_boxes,
    check_duplicates,
    check_points,
    check_relative,
    check_unlabeled,
)
from quant.data.remarks import Remarks

GROWTH = 0.1
"""Margin of a box that is derived from keypoints, as a share of their extent's longer side."""


def completed(annotations: Annotations) -> Annotations:
    """Open the header of every picture, and return labels that are complete.

    Each instance gets a box and an area. Points outside the picture stay as they are, and count as
    not visible when an example is made. What is derived, dropped or looks wrong is added to the remarks. Instances
    with an error are left out.
    """
    remarks = annotations.remarks
    sizes = check_pictures(annotations.pictures, remarks)
    given = [instance for instance in annotations.instances if instance.picture in sizes]
    check_boxes(given, [sizes[instance.picture] for instance in given], remarks)
    check_axes([instance for instance in given if instance.trained], sizes, remarks)
    instances = [found for instance in given
                 if (found := _complete(instance, sizes[instance.picture], remarks)) is not None]  # fmt: skip
    complete = dataclasses.replace(annotations, instances=instances, sizes=sizes)
    trained = list(complete.trained())
    if not trained and not remarks.of("error"):
        remarks.add(
            "error",
            "labels without an instance to train on; type python -m quant.check DATA to see what was dropped",
            str(annotations.source),
        )
    check_relative(trained, sizes, remarks)
    check_unlabeled(complete)
    check_duplicates(trained, remarks)
    check_sides(complete)
    return complete


def _complete(instance: Instance, size: tuple[int, int], remarks: Remarks) -> Instance | None:
    """Return the instance with a box and an area, or None if no keypoint and no box of it can be used.

    The size of the picture is (height, width). Boxes of instances that are trained on are cut to the picture. Those of
    the others stay as they are, because COCO's evaluation uses them so.
    """
    height, width = size
    points, given = instance.points[instance.labeled], instance.box
    if not instance.trained:
        box = points_box(points, size) if given is None and len(points) else given
        area = 0.0 if box is None else max(0.0, box[2]) * max(0.0, box[3])
        if box is None and instance.crowd:
            remarks.add("dropped", "crowds without a box", instance.source)
        return None if box is None else dataclasses.replace(instance, box=box, area=instance.area or area)
    check_points(instance, size, remarks)
    if not inside(points, width, height).any():
        remarks.add("dropped", "instances without a keypoint in the picture", instance.source)
        return None
    clipped = None if given is None or min(given[2:]) <= 0 else clip_box(given, width, height)
    if given is None or clipped is None or min(clipped[2:]) < MIN_BOX_SIDE:
        kind = "boxes computed from the keypoints" + (
            "" if given is None else ", as the given ones have no area in the picture"
        )
        remarks.add("derived", kind, instance.source)
        given = clipped = points_box(points, size)
    if instance.area is None:
        remarks.add("derived", "areas computed from the boxes", instance.source)
    return dataclasses.replace(instance, box=clipped, area=instance.area or given[2] * given[3])


def points_box(points: NDArray[np.float64], size: tuple[int, int]) -> Box:
    """Return a box ``xywh`` around points ``(N, 2)``, grown by `GROWTH` and cut to the picture.

    The box is the whole picture if all points lie in one place, or if it would have no area in the picture.

    Args:
        points: points in picture pixels.
        size: size (height, width) of the picture.
    """
    low, extent = points.min(axis=0), np.ptp(points, axis=0)
    margin = GROWTH * float(extent.max())
    left, top = np.maximum(low - margin, 0)
    right, bottom = np.minimum(low + extent + margin, size[::-1])
    if min(margin, right - left, bottom - top) < MIN_BOX_SIDE:
        return 0.0, 0.0, float(size[1]), float(size[0])
    return float(left), float(top), float(right - left), float(bottom - top)


def usual_crop(annotations: Annotations) -> CropConvention | None:
    """Return ``hrnet`` crops if a picture shows several instances, and otherwise None for whole pictures."""
    counts = Counter(instance.picture.path for instance in annotations.trained())
    return "hrnet" if max(counts.values(), default=0) > 1 else None
