"""A labeled person -> another crop of the same: turned, scaled, mirrored, cut to half of the body.

Ranges and odds as the published HRNet trains on COCO (Sun, CVPR 2019, and its code).
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from edgehrnet.picture.crops import MARGIN
from edgehrnet.spec import ModelSpec
from quant.data.examples import Box, Example

TURN = 45.0  # degrees; the standard deviation, clipped at two of them
TURNED = 0.6  # share of the examples that are turned
SCALE = 0.35  # the standard deviation of the crop's size, clipped at one
MIRRORED = 0.5
HALVED, HALVED_FROM = 0.3, 8  # share of the examples with more visible keypoints than that
HALF_MARGIN = 1.5  # how much larger than its keypoints' extent half a body's box is


def augment_person(example: Example, spec: ModelSpec, rng: np.random.Generator) -> Example:
    """Return a copy with another box, and rotation and scale of its crop; mirrored if the spec has pairs to swap."""
    assert example.box is not None
    if example.visible.sum() > HALVED_FROM and rng.random() < HALVED:
        example = dataclasses.replace(example, box=half_body(example, rng))
    scale = float(np.clip(1 + SCALE * rng.standard_normal(), 1 - SCALE, 1 + SCALE))
    rotation = float(np.clip(TURN * rng.standard_normal(), -2 * TURN, 2 * TURN)) if rng.random() < TURNED else 0.0
    example = dataclasses.replace(example, scale=scale, rotation=rotation)
    return mirrored(example, spec.flip_pairs) if spec.flip_pairs and rng.random() < MIRRORED else example


def mirrored(example: Example, flip_pairs: tuple[tuple[int, int], ...]) -> Example:
    """Return the example as a mirror shows it: left keypoints become right ones."""
    width = example.image.shape[1]
    order = np.arange(len(example.points))
    for a, b in flip_pairs:
        order[[a, b]] = b, a
    points = np.where(example.visible[:, None], (width - 1, 0) + example.points * (-1, 1), 0.0)[order]
    x, y, w, h = example.box or (0.0, 0.0, float(width), float(example.image.shape[0]))
    return dataclasses.replace(
        example,
        image=np.ascontiguousarray(example.image[:, ::-1]),
        points=points,
        visible=example.visible[order],
        box=None if example.box is None else (width - 1 - x - w, y, w, h),
        rotation=-example.rotation,
    )


def half_body(example: Example, rng: np.random.Generator) -> Box | None:
    """Return the box of the upper or the lower keypoints, by height in the picture; the old one if too few are seen."""
    assert example.box is not None
    seen = example.points[example.visible]
    middle = np.median(seen[:, 1])
    part: NDArray[np.float64] = seen[seen[:, 1] <= middle] if rng.random() < 0.5 else seen[seen[:, 1] > middle]
    if len(part) < 3:
        return example.box
    low, size = part.min(axis=0), np.maximum(np.ptp(part, axis=0), 1.0) * HALF_MARGIN / MARGIN
    center = low + np.ptp(part, axis=0) / 2
    x, y = center - size / 2
    return float(x), float(y), float(size[0]), float(size[1])
