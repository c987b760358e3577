"""Draw labels on their pictures: some at random, and those that differ most from the others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from edgehrnet.drawing.overlay import PALETTE
from edgehrnet.picture.sources import read_image
from quant.data.annotations import Annotations, Instance
from quant.data.strangeness import strangeness

SHOWN, COLUMNS = 16, 8
"""Largest number of instances in each of the two parts, and number in a row."""
CELL, GAP, CAPTION, HEADING, LINE_HEIGHT, TEXT = 200, 6, 34, 34, 20, 12
"""Sizes in pixels."""
MARGIN = 0.25
"""Margin that is shown around a box, as a share of its longer side."""
BACKGROUND, INK, MUTED, LINE, RING = (250, 250, 248), (30, 30, 30), (110, 110, 110), (255, 255, 255), (230, 0, 60)


def label_sheet(annotations: Annotations, seed: int = 0) -> Image.Image:
    """Draw `SHOWN` random instances and the `SHOWN` strangest ones with their keypoints.

    Args:
        annotations: complete labels with at least one instance to train on.
        seed: seed of the random choice.
    """
    instances = list(annotations.trained())
    worst = np.nan_to_num(strangeness(instances), nan=-1.0)
    sections = _sections(worst, seed)
    width = COLUMNS * (CELL + GAP) + GAP
    rows = [-(-len(cells) // COLUMNS) for _, cells in sections]
    places = _legend_places(annotations.keypoints, width)
    top = places[-1][1] + LINE_HEIGHT
    height = top + sum(HEADING + count * (CELL + CAPTION + GAP) for count in rows) + GAP
    sheet = Image.new("RGB", (width, height), BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    _legend(pen, annotations.keypoints, places)
    for (title, cells), count in zip(sections, rows, strict=True):
        pen.text((GAP, top + 8), title, fill=INK, font=ImageFont.load_default(15))
        top += HEADING
        for place, (index, strange) in enumerate(cells):
            row, column = divmod(place, COLUMNS)
            corner = GAP + column * (CELL + GAP), top + row * (CELL + CAPTION + GAP)
            sheet.paste(_cell(instances[index], annotations.skeleton, strange), corner)
            note = (
                ""
                if strange is None
                else f"{annotations.keypoints[strange]}, {worst[index, strange]:.1f} x the usual distance"
            )
            _caption(pen, (corner[0], corner[1] + CELL + 2), (instances[index].picture.path.name, note))
        top += count * (CELL + CAPTION + GAP)
    return sheet


def _sections(worst: NDArray[np.float64], seed: int) -> list[tuple[str, list[tuple[int, int | None]]]]:
    """Choose the instances to draw, and return a title and pairs (instance, strangest keypoint) for each part.

    Args:
        worst: strangeness ``(N, K)`` of each keypoint, -1 where not labeled.
        seed: seed of the random choice.
    """
    chosen = sorted(np.random.default_rng(seed).permutation(len(worst))[:SHOWN].tolist())
    strangest = np.argsort(-worst.max(axis=1), kind="stable")[:SHOWN].tolist()
    title = f"the {len(strangest)} that differ most, with a ring around the keypoint farthest from its usual place"
    return [
        (f"{len(chosen)} of {len(worst)} instances at random", [(index, None) for index in chosen]),
        (title, [(index, int(worst[index].argmax())) for index in strangest]),
    ]


def _legend_places(names: Sequence[str], width: int) -> list[tuple[int, int]]:
    """Return the left and top of each name of a legend, in lines that are at most ``width`` long."""
    font, left, top, places = ImageFont.load_default(TEXT), GAP, GAP, []
    for name in names:
        length = 12 + int(font.getlength(name)) + 18
        if left > GAP and left + length > width:
            left, top = GAP, top + LINE_HEIGHT
        places.append((left, top))
        left += length
    return places


def _legend(pen: ImageDraw.ImageDraw, names: Sequence[str], places: Sequence[tuple[int, int]]) -> None:
    """Write the names of the keypoints beside their colors."""
    for k, (name, (left, top)) in enumerate(zip(names, places, strict=True)):
        pen.circle((left + 5, top + 8), 4.5, fill=PALETTE[k % len(PALETTE)], outline=(0, 0, 0))
        pen.text((left + 14, top), name, fill=INK, font=ImageFont.load_default(TEXT))


def _cell(instance: Instance, skeleton: Sequence[tuple[int, int]], strange: int | None) -> Image.Image:
    """Draw one instance with its surroundings, and a ring around its strangest keypoint."""
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
        if k == strange:
            pen.circle(tuple(points[k]), 11, outline=RING, width=2)
    return cut


def _caption(pen: ImageDraw.ImageDraw, corner: tuple[int, int], lines: Sequence[str]) -> None:
    """Write lines under a cell, each cut to its width."""
    font = ImageFont.load_default(TEXT)
    for number, line in enumerate(lines):
        text = line
        while text and pen.textlength(text, font) > CELL:
            text = text[:-2] + "…"
        pen.text((corner[0], corner[1] + 15 * number), text, fill=MUTED if number else INK, font=font)
