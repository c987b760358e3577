"""Photos of documents with exact corners, composed from a seed alone."""

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
    """A photo and where its document is.

    image: (H, W, 3) uint8, RGB. corners: (4, 2) float64, x and y in px of the picture, pixel centers at
    integers, clockwise as seen in the picture, the first one the smallest in x/W + y/H; always finite, the
    picture's center where there is no document. visible: (4,), whether the corner lies inside the picture
    (-0.5 <= x < W - 0.5, likewise y), also when something hides it; all False without a document.
    conditions: what makes the scene hard ("shadow", "defocus", "hand", "empty", ...), what the document is ("card")
    and what is on it ("table").
    """

    image: NDArray[np.uint8]
    corners: NDArray[np.float64]
    visible: NDArray[np.bool_]
    conditions: frozenset[str]


def document_scene(seed: int, *, size: Size | None = None, pool: int = 0, hard: Difficulty = USUAL) -> Scene:
    """Compose the scene of a seed (>= 0): equal arguments give equal bytes.

    size: (width, height) in px; drawn with a long side of 320..720 px and a usual camera aspect when None.
    pool: which pages, surfaces and things it is made of; scenes of different pools have none in common.
    hard: how often each thing happens that makes a picture hard.
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
    # A lens moves corners over the border, both ways.
    conditions = conditions - {"outside"} if visible.all() else conditions | {"outside"}
    return Scene(image, corners, visible, conditions)
