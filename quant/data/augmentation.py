"""Augment a labeled photograph: rotate, scale, shift, and change light and noise.

The ranges are those between two photographs taken a moment apart.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quant.data.examples import Example

TURN = 10.0
"""Largest rotation to either side, in degrees."""
SCALE = 0.2
"""Largest change of size, as a natural logarithm."""
MOVE = 0.06
"""Largest shift, as a share of the picture's side."""
LIGHT = 0.25
"""Largest change of brightness and contrast, as shares."""
NOISE = 6.0
"""Largest standard deviation of the noise, in gray levels."""


def reduced(example: Example, longest: int) -> Example:
    """Return the example with its picture reduced by a whole factor. The longer side stays at least ``longest``.

    Each new pixel is the mean of a block. Augmenting the picture of a phone takes longer than learning from it.
    """
    factor = max(example.image.shape[:2]) // longest
    if factor < 2:
        return example
    return dataclasses.replace(
        example,
        image=np.asarray(Image.fromarray(example.image).reduce(factor)),
        points=(example.points + 0.5) / factor - 0.5,
        area=example.area / factor**2,
        box=None,
    )


def augment(example: Example, rng: np.random.Generator) -> Example:
    """Return a randomly rotated, scaled, shifted and relit copy of the example.

    The size of the picture stays the same, and areas from outside are black before light and noise are applied. A
    point that leaves the picture becomes invisible. Pictures are not mirrored.
    """
    height, width = example.image.shape[:2]
    matrix = _similarity(rng, width, height)
    inverse = np.linalg.inv(matrix)
    picture = Image.fromarray(example.image).transform(
        (width, height), Image.Transform.AFFINE, tuple(inverse[:2].ravel()), Image.Resampling.BILINEAR
    )
    # Pillow's coordinates put the center of the first pixel at a half.
    points = (np.c_[example.points + 0.5, np.ones(len(example.points))] @ matrix.T)[:, :2] - 0.5
    return dataclasses.replace(
        example,
        image=_relight(np.asarray(picture), rng),
        points=points,
        visible=example.visible & inside(points, width, height),
        area=example.area * float(np.linalg.det(matrix)),
    )


def inside(points: NDArray[np.float64], width: int, height: int) -> NDArray[np.bool_]:
    """Return ``(K,)``, True for each of the points ``(K, 2)`` that lies in a picture of this size in pixels."""
    return np.asarray(((points >= -0.5) & (points < np.array([width, height]) - 0.5)).all(axis=1))


def _similarity(rng: np.random.Generator, width: int, height: int) -> NDArray[np.float64]:
    """Choose a random rotation, scale and shift.

    Returns:
        Matrix ``(3, 3)`` from old to new continuous picture coordinates.
    """
    angle = math.radians(rng.uniform(-TURN, TURN))
    scale = math.exp(rng.uniform(-SCALE, SCALE))
    cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
    center = np.array([width / 2, height / 2])
    turn = np.array([[cosine, -sine], [sine, cosine]])
    shift = center - turn @ center + rng.uniform(-MOVE, MOVE, 2) * (width, height)
    return np.vstack([np.c_[turn, shift], [0.0, 0.0, 1.0]])


def _relight(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    gain, brightness = 1 + rng.uniform(-LIGHT, LIGHT), 255 * rng.uniform(-LIGHT, LIGHT) / 2
    noise = rng.normal(0.0, rng.uniform(0.0, NOISE), image.shape[:2])[..., None]
    lit = (image - 128.0) * gain + 128.0 + brightness + noise
    return np.clip(np.rint(lit), 0, 255).astype(np.uint8)
