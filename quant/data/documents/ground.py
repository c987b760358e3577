"""Draw the background of a document: one surface, two that meet, or the scene behind a sheet held up."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageFilter

from quant.data.documents import pages, pictures, poses, sheets, surfaces
from quant.data.documents.difficulty import Difficulty
from quant.data.documents.framing import Framing
from quant.data.documents.poses import Size
from quant.data.documents.props import Props

PATTERNS = ("stripes", "checks", "dots")


def background(
    rng: np.random.Generator, props: Props, size: Size, framing: Framing | None, hard: Difficulty, names: set[str]
) -> Image.Image:
    """Return the background. Names of its conditions are added to ``names``."""
    # As for graphic pages, no random number is consumed at a rate of 0.
    if hard.scene > 0 and rng.random() < hard.scene:
        ground = pictures.photo(rng, size)
        names.add("scene")
    else:
        ground = _ground(rng, props, size, framing, hard, names)
    if rng.random() < hard.edge:  # a table edge or wall: a strong line that is not a document
        other = _ground(rng, props, size, None, hard, names)
        if rng.random() < 0.4:  # the room beyond the table, out of focus
            other = other.filter(ImageFilter.BoxBlur(rng.uniform(2, 10) * max(size) / 512))
        far, way = 4.0 * max(size), rng.uniform(0, 2 * np.pi)
        normal = np.array([np.cos(way), np.sin(way)])
        start = np.array(size) / 2 + normal * rng.uniform(0.1, 0.45) * min(size)
        half_plane = poses.rectangle_at(start + normal * far / 2, (far, far), way)
        share = sheets.coverage(half_plane, (0, 0, *size))
        ground.paste(other, (0, 0), Image.fromarray((share * 255).astype(np.uint8)))
        names.add("edge")
    return ground


def _ground(
    rng: np.random.Generator, props: Props, size: Size, framing: Framing | None, hard: Difficulty, names: set[str]
) -> Image.Image:
    """Return one surface in perspective."""
    surface = props.surface(rng)
    names.add("pattern" if surface.kind in PATTERNS else surface.kind)
    # The view of the textured plane is a randomly rotated trapezoid inside the square texture.
    flat = (poses.rectangle(size) - np.array(size) / 2) / max(size)
    near_far = 1 + rng.uniform(-0.25, 0.25) * np.sign(flat[:, 1])
    turn = rng.choice([0.0, np.pi / 2, rng.uniform(0, 2 * np.pi)])
    rotation = np.array([(np.cos(turn), -np.sin(turn)), (np.sin(turn), np.cos(turn))])
    view = (flat * near_far[:, None]) @ rotation.T
    extent = np.ptp(view, axis=0).max()
    view = view / extent * surfaces.SIDE * rng.uniform(0.5, 1.0)
    low, high = view.min(axis=0), view.max(axis=0)
    view = view - low + rng.uniform(0, 1, 2) * (surfaces.SIDE - (high - low))
    matrix = poses.homography(poses.rectangle(size), view)
    coefficients = tuple(float(v) for v in matrix.reshape(9)[:8])
    ground = surface.tone.transform(size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR)
    curve = surfaces.color_curve(rng, surface.kind)
    if framing is not None and rng.random() < hard.low_contrast:  # nearly the color of the paper
        paper = np.asarray(framing.page.image)[pages.MARGIN].mean(axis=0)
        curve = (curve - curve[128]) * rng.uniform(0.2, 0.7) + paper + rng.normal(0, 7) + rng.normal(0, 2, 3)
        names.add("low-contrast")
    tables = np.clip(curve, 0, 255).astype(int).T.tolist()
    return Image.merge("RGB", [ground.point(table) for table in tables])
