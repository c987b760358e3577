"""Draw a contact sheet of training pictures with their keypoints."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from edgehrnet.drawing.overlay import PALETTE
from edgehrnet.errors import InputError
from edgehrnet.preparation import prepare
from edgehrnet.spec import ModelSpec
from quant.data.examples import DataSet, Example

BACKGROUND = (48, 48, 48)
LINE = (255, 90, 60)
GAP = 4  # px between pictures


def contact_sheet(
    data: DataSet, count: int, *, spec: ModelSpec | None = None, seed: int = 0, start: int = 0, cell: int = 240
) -> Image.Image:
    """Draw training pictures on a nearly square grid, augmented as in training. Of data for crops, draw the crops.

    Visible keypoints are marked, and joined by the lines of the data set's skeleton.

    Args:
        data: Data set.
        count: Number of pictures.
        spec: Input size of the crops. None takes that of the data set.
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
        picture = _thumbnail(data.training(seed, start + place), spec or data.spec, cell)
        row, column = divmod(place, columns)
        corner = [GAP + at * (cell + GAP) for at in (column, row)]
        margin = [(cell - side) // 2 for side in picture.size]
        sheet.paste(picture, (corner[0] + margin[0], corner[1] + margin[1]))
    return sheet


def _thumbnail(example: Example, spec: ModelSpec, cell: int) -> Image.Image:
    """Return one training picture or crop with its keypoints, shrunk to fit a cell."""
    image, at = example.image, example.points
    if (box := example.box_for(spec)) is not None:
        inputs, (transform,) = prepare(image, spec, [box], rotation=example.rotation, scale=example.scale)
        image, at = np.ascontiguousarray(inputs[0, ..., :3]), transform.forward(at)
    picture = Image.fromarray(image)
    scale = min(cell / max(picture.size), 1.0)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    points = (at + 0.5) * (np.array(size) / picture.size)
    small = picture.resize(size, Image.Resampling.BOX)
    pen = ImageDraw.Draw(small)
    for a, b in spec.skeleton:
        if example.visible[a] and example.visible[b]:
            pen.line((*points[a], *points[b]), fill=LINE)
    for k in np.flatnonzero(example.visible):
        pen.circle(tuple(points[k]), 2, fill=PALETTE[k % len(PALETTE)])
    return small
