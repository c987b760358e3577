"""Compose photos of documents with exact corners from a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgehrnet.decoding.outline import cyclic_order
from quant.data.documents import bends, camera, poses
from quant.data.documents.difficulty import USUAL, Difficulty
from quant.data.documents.framing import draw_framing, draw_size
from quant.data.documents.ground import background
from quant.data.documents.poses import Size
from quant.data.documents.props import Props
from quant.data.documents.scenery import Scenery


@dataclass(frozen=True)
class Scene:
    """A photo and the corners of its document."""

    image: NDArray[np.uint8]
    """``(H, W, 3)`` uint8 RGB."""

    corners: NDArray[np.float64]
    """``(4, 2)`` x, y in px of the picture, with pixel centers at integers.

    The corners are clockwise, and the first one has the smallest x/W + y/H. Without a document, all are the center of
    the picture.
    """

    visible: NDArray[np.bool_]
    """``(4,)`` mask of the corners inside the picture (-0.5 <= x < W - 0.5, likewise y), even if they are covered.

    All False without a document.
    """

    conditions: frozenset[str]
    """Names of hard conditions (such as ``shadow``), of the document (``card``) and of its content (``table``)."""


def document_scene(seed: int, *, size: Size | None = None, pool: int = 0, hard: Difficulty = USUAL) -> Scene:
    """Compose the scene of a seed. Equal arguments give equal bytes.

    Args:
        seed: Integer >= 0.
        size: (width, height) in px. None chooses a long side of 320..720 px and a common camera aspect ratio.
        pool: Index of the pool of pages, surfaces and objects. Different pools have none in common.
        hard: Probabilities of hard conditions.
    """
    framing_rng, ground_rng, things_rng, camera_rng = (np.random.default_rng([seed, part]) for part in range(4))
    drawn = draw_size(framing_rng)
    size = drawn if size is None else size
    props = Props(pool)
    framing = None if framing_rng.random() < hard.empty else draw_framing(framing_rng, props, size, hard)
    names = set(framing.conditions) if framing else {"empty"}
    canvas = background(ground_rng, props, size, framing, hard, names)
    scenery = Scenery(things_rng, props, hard, canvas, names)
    if framing is not None:
        canvas = scenery.lay(framing)
    elif things_rng.random() < 0.85:
        scenery.clutter(None)
    quad = np.tile(np.array(size) / 2, (4, 1)) if framing is None else framing.quad
    if camera_rng.random() < hard.lens:
        bend = bends.lens(size, float(camera_rng.uniform(-0.12, 0.15)))
        canvas, quad = bends.apply(canvas, bend), bends.moved(quad, bend)
        names.add("lens")
    image, effects = camera.develop(camera_rng, canvas, hard)
    conditions = frozenset(names) | effects
    if framing is None:
        return Scene(image, quad - 0.5, np.zeros(4, bool), conditions)
    corners = quad - 0.5
    corners = corners[cyclic_order(corners, size)]
    visible = poses.contains(corners + 0.5, size)
    # Lens distortion may move corners across the border in both directions.
    conditions = conditions - {"outside"} if visible.all() else conditions | {"outside"}
    return Scene(image, corners, visible, conditions)
