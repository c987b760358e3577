"""Draw videos of moving documents whose corners are known."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quant.data.documents import ground, poses, sheets
from quant.data.documents.difficulty import USUAL
from quant.data.documents.poses import Size
from quant.data.documents.props import Props

FPS = 30
SIZE = (640, 480)  # width, height
GRAIN, QUALITY = 4.0, 80  # noise of the camera in gray levels, JPEG quality of each frame
Floats = NDArray[np.float64]


def track(seed: int, frames: int, *, size: Size = SIZE) -> Floats:
    """Return the corners ``(T, 4, 2)`` of a document in px, with pixel centers at integers.

    The document rests, then moves to another place, and so on. Moves take 0.4 to 1.2 s and have the least jerk (Flash
    and Hogan 1985). All the time it sways by some px, as held in a hand, at 0.3 to 2 Hz.
    """
    rng = np.random.default_rng([seed, 0])
    time = np.arange(frames) / FPS
    pose = np.tile(_pose(rng, size), (frames, 1))
    at = rng.uniform(0.3, 1.0)
    while at < time[-1]:
        taken, goal = rng.uniform(0.4, 1.2), _pose(rng, size)
        u = np.clip((time - at) / taken, 0, 1)[:, None]
        pose += (10 * u**3 - 15 * u**4 + 6 * u**5) * (goal - pose[-1])
        at += taken + rng.uniform(0.3, 1.2)
    for _ in range(4):
        sway = np.array([1.5, 1.5, 2.0, 0.004, 0.01, 0.01]) * rng.uniform(-1, 1, 6)
        pose += np.sin(2 * np.pi * rng.uniform(0.3, 2.0) * time + rng.uniform(0, 6.3))[:, None] * sway
    return np.stack([_corners(row, size) for row in pose])


def _pose(rng: np.random.Generator, size: Size) -> Floats:
    """Return a random center (x, y), height in px, roll, and two tilts in rad."""
    low, high = np.array(size) * 0.42, np.array(size) * 0.58
    return np.array([*rng.uniform(low, high), size[1] * rng.uniform(0.45, 0.62), *rng.uniform(-0.35, 0.35, 3)])


def _corners(pose: Floats, size: Size) -> Floats:
    x, y, height, roll, lean, swing = pose
    flat = (poses.rectangle((0.75, 1.0)) - (0.375, 0.5)) * height
    turn = np.array([(np.cos(roll), -np.sin(roll)), (np.sin(roll), np.cos(roll))])
    flat = flat @ turn.T
    depth = 1 + (flat[:, 0] * np.sin(swing) + flat[:, 1] * np.sin(lean)) / max(size)
    return np.asarray(flat * (np.cos(swing), np.cos(lean)) / depth[:, None] + (x, y) - 0.5)


def draw(seed: int, corners: Floats, *, size: Size = SIZE) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames ``(H, W, 3)`` u8 RGB of a document on a table, with noise and compression of their own."""
    rng, props = np.random.default_rng([seed, 1]), Props(1)
    page = props.page(rng)
    table = ground.background(rng, props, size, None, USUAL, set())
    for quad in corners + 0.5:
        canvas = sheets.cast_sheet_shadow(np.random.default_rng(seed), table, quad)
        sheets.place_page(canvas, page, quad)
        noisy = np.asarray(canvas) + rng.normal(0, GRAIN, (size[1], size[0], 3)).astype(np.float32)
        buffer = io.BytesIO()
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=QUALITY)
        yield np.asarray(Image.open(buffer).convert("RGB"))
