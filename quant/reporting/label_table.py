"""Describe labels as text: their numbers, what was derived or dropped, and what looks wrong."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edgehrnet.cli.tables import rows_table, table
from quant.data.annotations import Annotations
from quant.data.normalization import usual_crop
from quant.data.remarks import Remarks


def label_table(annotations: Annotations) -> str:
    """Return counts of pictures, instances and keypoints, with one row for each keypoint."""
    instances = list(annotations.trained())
    labeled = {instance.picture for instance in instances}
    crowds = sum(instance.crowd for instance in annotations.instances)
    others = len(annotations.instances) - len(instances) - crowds
    takes = (
        "whole pictures" if usual_crop(annotations) is None else "crops of boxes, as a picture shows several instances"
    )
    rows = [
        ("labels", str(annotations.source)),
        ("pictures", f"{len(annotations.pictures)}, of which {len(labeled)} have labeled keypoints"),
        ("sizes", _sizes(annotations)),
        ("instances", f"{len(instances)} to learn or to find, {crowds} crowds, {others} without a labeled keypoint"),
        ("objects", _objects(annotations)),
        ("network takes", f"{takes} (--crop auto)"),
    ]
    names = annotations.keypoints
    partner = {a: names[b] for pair in annotations.flip_pairs for a, b in (pair, pair[::-1])}
    visibility = np.array([instance.visibility for instance in instances]).reshape(len(instances), len(names))
    keypoints = [
        (
            name,
            *(f"{int((visibility[:, k] == value).sum())}" for value in (2, 1, 0)),
            partner.get(k, "?" if name in annotations.unpaired else ""),
        )
        for k, name in enumerate(names)
    ]
    head = ("keypoint", "visible", "hidden", "not labeled", "left/right partner")
    return f"{rows_table(rows)}\n\n{table(head, keypoints)}"


def remark_lines(remarks: Remarks) -> Iterator[str]:
    """Yield the remarks as paragraphs: level, number of places and kind, then the first places, each on a line."""
    for remark in remarks:
        more = [f"and {remark.count - len(remark.places)} more"] if remark.count > len(remark.places) else []
        places = "\n".join(f"    {place}" for place in (*remark.places, *more))
        yield f"{remark.level}: {remark.count} x {remark.kind}\n{places}"


def _sizes(annotations: Annotations) -> str:
    """Return the range of the sizes of the pictures."""
    if not annotations.sizes:
        return "no picture can be read"
    sizes = np.array(list(annotations.sizes.values()))
    (low_h, low_w), (high_h, high_w) = sizes.min(axis=0), sizes.max(axis=0)
    if (low_h, low_w) == (high_h, high_w):
        return f"{low_h}x{low_w} px (height x width)"
    return f"{low_h}x{low_w} to {high_h}x{high_w} px (height x width)"


def _objects(annotations: Annotations) -> str:
    """Return the range and the median of the objects' sizes. A size is the square root of an area."""
    sides = np.sqrt([instance.area for instance in annotations.trained() if instance.area])
    if not len(sides):
        return "none"
    low, middle, high = np.percentile(sides, (0, 50, 100))
    return f"{low:.0f} to {high:.0f} px, median {middle:.0f} px (square root of the area)"
