"""Augment the crop of a labeled person: rotate, scale, mirror, or cut to half of the body.

The ranges and probabilities are those of the published HRNet on COCO (Sun, CVPR 2019, and its code).
"""

from __future__ import annotations

import dataclasses

import numpy as np
from numpy.typing import NDArray

from edgehrnet.picture.crops import MARGIN
from edgehrnet.spec import ModelSpec
from quant.data.examples import Box, Example

TURN = 45.0
"""Standard deviation of the rotation in degrees. Rotations are clipped at twice this."""
TURNED = 0.6
"""Probability of a rotation."""
SCALE = 0.35
"""Standard deviation of the crop's relative size. Changes are clipped at this."""
MIRRORED = 0.5
"""Probability of mirroring."""
HALVED = 0.3
"""Probability of cutting to half of the body."""
HALVED_FROM = 8
"""Only persons with more visible keypoints than this are cut to half of the body."""
HALF_MARGIN = 1.5
"""Size of the box of half a body, relative to the extent of its keypoints."""


def augment_person(example: Example, spec: ModelSpec, rng: np.random.Generator, *, mirror: bool = True) -> Example:
    """Return a copy with another box, rotation and scale, and mirrored at random.

    With ``mirror=False`` it is never mirrored.
    """
    assert example.box is not None
    if example.visible.sum() > HALVED_FROM and rng.random() < HALVED:
        example = dataclasses.replace(example, box=half_body(example, rng))
    scale = float(np.clip(1 + SCALE * rng.standard_normal(), 1 - SCALE, 1 + SCALE))
    rotation = float(np.clip(TURN * rng.standard_normal(), -2 * TURN, 2 * TURN)) if rng.random() < TURNED else 0.0
    example = dataclasses.replace(example, scale=scale, rotation=rotation)
    mirror = mirror and bool(spec.flip_pairs)
    return mirrored(example, spec.flip_pairs) if mirror and rng.random() < MIRRORED else example


def mirrored(example: Example, flip_pairs: tuple[tuple[int, int], ...]) -> Example:
    """Return the example mirrored left to right, with the keypoints of each pair exchanged."""
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


def half_body(example: Example, rng: np.random.Generator) -> Box:
    """Return a box ``xywh`` around the upper or the lower half of the visible keypoints.

    The halves are split at the median y. The box stays the same if the chosen half has fewer than three keypoints.
    """
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
