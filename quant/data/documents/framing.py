"""Choose the document of a picture and its position."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from quant.data.documents import poses
from quant.data.documents.difficulty import Difficulty
from quant.data.documents.pages import Page
from quant.data.documents.poses import Quad, Size
from quant.data.documents.props import Props

SIDES = (320, 720)
"""Minimum and maximum of the long side of a picture, in px."""

_ASPECTS = (4 / 3, 16 / 9, 3 / 2, 20 / 9, 1.0)
_ASPECT_RATES = (0.45, 0.27, 0.12, 0.08, 0.08)


@dataclass(frozen=True)
class Framing:
    """A document and its position in the picture."""

    page: Page
    """The document."""

    quad: Quad
    """Its corners in continuous picture coordinates."""

    conditions: frozenset[str]
    """Names of the conditions that hold, such as ``small`` or ``card``."""


def draw_size(rng: np.random.Generator) -> Size:
    """Choose a random picture size (width, height) in px with a common camera aspect ratio."""
    long_side = int(rng.integers(SIDES[0], SIDES[1] + 1))
    short = round(long_side / float(rng.choice(_ASPECTS, p=_ASPECT_RATES)))
    return (short, long_side) if rng.random() < 0.6 else (long_side, short)


def draw_framing(rng: np.random.Generator, props: Props, size: Size, hard: Difficulty) -> Framing:
    """Choose a random page and its position in a picture of (width, height) px."""
    # At a rate of 0, no random number is consumed, so that validation pictures stay as they were before such pages.
    graphic = hard.graphic > 0 and rng.random() < hard.graphic
    page = props.graphic(rng) if graphic else props.page(rng)
    outside, touching, tilted = (bool(rng.random() < rate) for rate in (hard.outside, hard.touching, hard.tilted))
    draw = rng.random()
    small, large = draw < hard.small, draw > 1 - hard.large
    scale = rng.uniform(0.1, 0.3) if small else rng.uniform(0.93, 1.1) if large else rng.uniform(0.42, 0.95)
    scale = max(scale, rng.uniform(0.6, 1.1)) if outside else scale
    draw = rng.random()
    roll = rng.normal(0, 0.07) if draw < 0.3 else rng.uniform(-0.53, 0.53)
    roll = rng.uniform(-np.pi, np.pi) if draw > 0.7 else roll
    tilt = rng.uniform(0.5, 0.95) if tilted else rng.uniform(0, 0.5)
    stretch = rng.uniform(0.92, 1.08)
    sheet = (page.size[0] * stretch, float(page.size[1]))
    quad = poses.draw_quad(rng, size, sheet, scale=scale, roll=roll, tilt=tilt, outside=outside, touching=touching)
    gap = np.minimum(quad.min(axis=0), np.array(size) - quad.max(axis=0))
    facts = {
        page.kind: True,
        "card": "card" in page.kind,
        "book": page.kind in ("book", "spread"),
        "form": page.kind in ("form", "invoice"),
        "notebook": page.kind in ("notebook", "note"),
        "outside": outside,
        "touching": touching and not outside and gap.min() < 0.01 * max(size),
        "rotated": abs(roll) > np.pi / 6,
        "tilted": tilt > 0.5,
        "small": poses.area(quad) < 0.08 * size[0] * size[1],
        "large": (np.ptp(quad, axis=0) / size).max() > 0.9,
    }
    return Framing(page, quad, frozenset(name for name, holds in facts.items() if holds) | page.marks)
