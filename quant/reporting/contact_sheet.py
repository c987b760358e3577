"""Draw a contact sheet of training pictures with their keypoints."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from edgehrnet.drawing.overlay import PALETTE
from edgehrnet.errors import InputError
from quant.data.examples import DataSet

BACKGROUND = (48, 48, 48)
LINE = (255, 90, 60)
GAP = 4  # px between pictures


def contact_sheet(data: DataSet, count: int, *, seed: int = 0, start: int = 0, cell: int = 240) -> Image.Image:
    """Draw training pictures on a nearly square grid, augmented as in training.

    Visible keypoints are marked, and joined by the lines of the data set's skeleton.

    Args:
        data: Data set.
        count: Number of pictures.
        seed: Seed of the augmentation.
        start: Index of the first picture.
        cell: Size of a cell in pixels. Larger pictures are shrunk to fit.

    Raises:
        InputError: ``count`` or ``cell`` is less than 1.
    """
    for name, value in (("count", count), ("cell", cell)):
        if value < 1:
            raise InputError(f"{name}={value}: must be at least 1")
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    sheet = Image.new("RGB", (columns * (cell + GAP) + GAP, rows * (cell + GAP) + GAP), BACKGROUND)
    for place in range(count):
        picture = _thumbnail(data, seed, start + place, cell)
        row, column = divmod(place, columns)
        corner = [GAP + at * (cell + GAP) for at in (column, row)]
        margin = [(cell - side) // 2 for side in picture.size]
        sheet.paste(picture, (corner[0] + margin[0], corner[1] + margin[1]))
    return sheet


def _thumbnail(data: DataSet, seed: int, index: int, cell: int) -> Image.Image:
    """Return one training picture with its keypoints, shrunk to fit a cell."""
    example = data.training(seed, index)
    picture = Image.fromarray(example.image)
    scale = min(cell / max(picture.size), 1.0)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    points = (example.points + 0.5) * (np.array(size) / picture.size)
    small = picture.resize(size, Image.Resampling.BOX)
    pen = ImageDraw.Draw(small)
    for a, b in data.spec.skeleton:
        if example.visible[a] and example.visible[b]:
            pen.line((*points[a], *points[b]), fill=LINE)
    for k in np.flatnonzero(example.visible):
        pen.circle(tuple(points[k]), 2, fill=PALETTE[k % len(PALETTE)])
    return small
