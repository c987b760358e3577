"""A labeled photograph -> one that could have been taken a moment later: turned, scaled, moved, lit differently."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quant.data.examples import Example

TURN = 10.0  # degrees to either side
SCALE = 0.2  # share by which the picture grows or shrinks
MOVE = 0.06  # share of the picture's side
LIGHT = 0.25  # brightness and contrast, as shares
NOISE = 6.0  # gray levels, the largest standard deviation


def augment(example: Example, rng: np.random.Generator) -> Example:
    """Return a copy of the example, turned, scaled and moved about its center, with other light and noise.

    The size stays; what comes in from outside is black, before light and noise; a point that leaves the picture is
    no longer visible. Never mirrored: left and right of a labeled thing need not be alike.
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
    """Return ``(K,)``: which of the points ``(K, 2)`` lie on a pixel of a picture of this size."""
    return np.asarray(((points >= -0.5) & (points < np.array([width, height]) - 0.5)).all(axis=1))


def _similarity(rng: np.random.Generator, width: int, height: int) -> NDArray[np.float64]:
    """Draw a turn, a scale and a shift; ``(3, 3)``, from old to new continuous picture coordinates."""
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
