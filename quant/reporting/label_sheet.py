"""Draw labels on their pictures: some at random, and those that are most unlike the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from edgehrnet.drawing.overlay import PALETTE
from edgehrnet.picture.sources import read_image
from quant.data.annotations import Annotations, Instance
from quant.data.strangeness import strangeness

SHOWN, COLUMNS = 16, 8
"""Instances in each of the two parts, and in a row."""
CELL, GAP, CAPTION, HEADING = 200, 6, 30, 34
"""Sizes in pixels."""
MARGIN = 0.25
"""Surroundings of a box that are shown, as a share of its longer side."""
BACKGROUND, INK, MUTED, LINE = (250, 250, 248), (30, 30, 30), (110, 110, 110), (255, 255, 255)


def label_sheet(annotations: Annotations, seed: int = 0) -> Image.Image:
    """Draw `SHOWN` random instances and the `SHOWN` strangest ones with their keypoints.

    Args:
        annotations: complete labels with at least one instance to find.
        seed: seed of the random choice.
    """
    instances = list(annotations.trained())
    scores = strangeness(instances)
    worst = np.nan_to_num(scores, nan=-1.0)
    strangest = np.argsort(-worst.max(axis=1), kind="stable")[:SHOWN].tolist()
    chosen = sorted(np.random.default_rng(seed).permutation(len(instances))[:SHOWN].tolist())
    sections = (
        (f"{len(chosen)} of {len(instances)} instances at random", [(index, "") for index in chosen]),
        (
            f"the {len(strangest)} that are most unlike the others; the keypoint that is farthest from its usual place",
            [(index, f"{annotations.keypoints[worst[index].argmax()]}, {worst[index].max():.1f} times as far as usual")
             for index in strangest],
        ),
    )  # fmt: skip
    width = COLUMNS * (CELL + GAP) + GAP
    rows = [-(-len(cells) // COLUMNS) for _, cells in sections]
    height = sum(HEADING + count * (CELL + CAPTION + GAP) for count in rows) + GAP
    sheet = Image.new("RGB", (width, height), BACKGROUND)
    pen, top = ImageDraw.Draw(sheet), 0
    for (title, cells), count in zip(sections, rows, strict=True):
        pen.text((GAP, top + 8), title, fill=INK, font=ImageFont.load_default(15))
        top += HEADING
        for place, (index, note) in enumerate(cells):
            row, column = divmod(place, COLUMNS)
            corner = GAP + column * (CELL + GAP), top + row * (CELL + CAPTION + GAP)
            _paste(sheet, corner, instances[index], annotations.skeleton)
            _caption(pen, (corner[0], corner[1] + CELL + 2), (instances[index].picture.path.name, note))
        top += count * (CELL + CAPTION + GAP)
    return sheet


def _paste(
    sheet: Image.Image, corner: tuple[int, int], instance: Instance, skeleton: Sequence[tuple[int, int]]
) -> None:
    """Draw one instance with its surroundings, scaled to fit a cell."""
    picture = Image.fromarray(read_image(instance.picture.path))
    x, y, w, h = instance.box or (0.0, 0.0, float(picture.width), float(picture.height))
    side = min(max(w, h) * (1 + 2 * MARGIN), float(max(picture.size)))
    left, top = x + w / 2 - side / 2, y + h / 2 - side / 2
    scale = CELL / side
    cut = picture.transform(
        (CELL, CELL), Image.Transform.AFFINE, (1 / scale, 0, left, 0, 1 / scale, top), Image.Resampling.BILINEAR,
        fillcolor=(225, 225, 222),
    )  # fmt: skip
    pen = ImageDraw.Draw(cut)
    pen.rectangle(((x - left) * scale, (y - top) * scale, (x + w - left) * scale, (y + h - top) * scale), outline=LINE)
    points = (instance.points + 0.5 - (left, top)) * scale
    for a, b in skeleton:
        if instance.labeled[a] and instance.labeled[b]:
            pen.line((*points[a], *points[b]), fill=LINE, width=1)
    for k in np.flatnonzero(instance.labeled):
        color = PALETTE[k % len(PALETTE)]
        fill = color if instance.visibility[k] == 2 else None  # hidden points are rings
        pen.circle(tuple(points[k]), 3.5, fill=fill, outline=(0, 0, 0) if fill else color)
    sheet.paste(cut, corner)


def _caption(pen: ImageDraw.ImageDraw, corner: tuple[int, int], lines: Sequence[str]) -> None:
    """Write lines under a cell, each cut to its width."""
    font = ImageFont.load_default(11)
    for number, line in enumerate(lines):
        text = line
        while text and pen.textlength(text, font) > CELL:
            text = text[:-2] + "…"
        pen.text((corner[0], corner[1] + 13 * number), text, fill=MUTED if number else INK, font=font)
