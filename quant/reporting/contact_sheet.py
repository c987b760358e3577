"""Draw a contact sheet of training pictures with their keypoints."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from edgehrnet.drawing.overlay import PALETTE
from edgehrnet.errors import InputError
from quant.data.examples import DataSet

GROUND = (48, 48, 48)


MARK = (255, 90, 60)


GAP = 4  # px between pictures


def contact_sheet(data: DataSet, count: int, *, seed: int = 0, start: int = 0, cell: int = 240) -> Image.Image:
    """Draw training pictures ``start`` to ``start + count - 1`` of the stream of a seed in rows, about as wide as high.

    Each is shrunk to at most ``cell`` px and augmented as training sees it; visible keypoints are marked, joined as
    the data's skeleton says. Raises InputError for a count or cell below 1.
    """
    if count < 1 or cell < 1:
        raise InputError(f"count={count}, cell={cell}: at least 1 each")
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    sheet = Image.new("RGB", (columns * (cell + GAP) + GAP, rows * (cell + GAP) + GAP), GROUND)
    for place in range(count):
        picture = _thumbnail(data, seed, start + place, cell)
        row, column = divmod(place, columns)
        corner = [GAP + at * (cell + GAP) for at in (column, row)]
        room = [(cell - side) // 2 for side in picture.size]
        sheet.paste(picture, (corner[0] + room[0], corner[1] + room[1]))
    return sheet


def _thumbnail(data: DataSet, seed: int, number: int, cell: int) -> Image.Image:
    example = data.training(seed, number)
    picture = Image.fromarray(example.image)
    scale = min(cell / max(picture.size), 1.0)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    points = (example.points + 0.5) * (np.array(size) / picture.size)
    small = picture.resize(size, Image.Resampling.BOX)
    pen = ImageDraw.Draw(small)
    for a, b in data.spec.skeleton:
        if example.visible[a] and example.visible[b]:
            pen.line((*points[a], *points[b]), fill=MARK)
    for k in np.flatnonzero(example.visible):
        pen.circle(tuple(points[k]), 2, fill=PALETTE[k % len(PALETTE)])
    return small
