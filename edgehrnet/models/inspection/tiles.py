"""A sheet of captioned tiles in rows. Pillow alone; knows nothing of networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

GROUND, LINE, TEXT, FAINT = (17, 19, 26), (52, 57, 72), (236, 238, 244), (146, 152, 170)
NOT_FINITE = (255, 0, 255)
# From low to high, ever brighter, so that it also reads in gray: night, violet, red, orange, cream.
RAMP = ((10, 10, 30), (64, 28, 110), (152, 40, 110), (222, 78, 72), (250, 152, 62), (253, 240, 190))
MARGIN, GAP = 28, 14  # px around the sheet, and between tiles
HEADING, CAPTION, NOTE = 16, 13, 12  # px, sizes of type
SMALLEST, ELLIPSIS = 9, "..."
LOW, HIGH = 1.0, 99.0  # percentiles of a map that become black and white
LEGEND = (220, 10)  # px


@dataclass(frozen=True)
class Tile:
    """A map ``(h, w)`` of any real numbers, and two lines of text below it; ``inside`` as `colors` takes it."""

    caption: str
    note: str
    cells: NDArray[np.floating[Any]]
    inside: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Row:
    """Tiles under a heading; as many lines of them as are needed."""

    heading: str
    tiles: tuple[Tile, ...]


def colors(cells: NDArray[np.floating[Any]], inside: NDArray[np.bool_] | None = None) -> NDArray[np.uint8]:
    """Map numbers ``(h, w)`` to colors ``(h, w, 3)`` u8, between the percentiles `LOW` and `HIGH` of the finite ones.

    ``inside`` ``(h, w)``: of these alone, the others are clipped. A constant map is dark; what is not finite has a
    color of its own.

    >>> colors(np.array([[0.0, 1.0, np.nan]]))[0].tolist()
    [[10, 10, 30], [253, 240, 190], [255, 0, 255]]
    """
    finite = np.isfinite(cells)
    values = np.where(finite, cells, 0.0).astype(np.float64)
    seen = finite if inside is None else finite & inside
    low, high = np.percentile(values[seen], (LOW, HIGH)) if seen.any() else (0.0, 0.0)
    strength = np.clip((values - low) / (high - low), 0, 1) if high > low else np.zeros_like(values)
    stops = np.linspace(0, 1, len(RAMP))
    painted = np.stack([np.interp(strength, stops, channel) for channel in zip(*RAMP, strict=True)], axis=-1)
    painted[~finite] = NOT_FINITE
    return np.asarray(np.rint(painted), np.uint8)


class Sheet:
    """Lays out tiles of one size.

    Args:
        tile: (width, height), px.
        columns: the widest line.
    """

    def __init__(self, tile: tuple[int, int], columns: int) -> None:
        self.tile, self.columns = tile, columns
        self._step = (tile[0] + GAP, tile[1] + CAPTION + NOTE + 12 + GAP)
        self._width = 2 * MARGIN + columns * self._step[0] - GAP

    def draw(self, title: str, text: Sequence[str], picture: NDArray[np.uint8], rows: Sequence[Row]) -> Image.Image:
        """Draw the picture ``(H, W, 3 or more)`` with the title and the lines of text beside it, then the rows."""
        lines = [-(-len(row.tiles) // self.columns) for row in rows]
        top = MARGIN + max(self.tile[1], 130) + 2 * GAP
        height = top + sum(2 * HEADING + GAP + count * self._step[1] for count in lines) + MARGIN - GAP
        sheet = Image.new("RGB", (self._width, height), GROUND)
        pen = ImageDraw.Draw(sheet)
        self._head(sheet, pen, title, text, picture)
        for row, count in zip(rows, lines, strict=True):
            self._heading(pen, row.heading, top)
            top += 2 * HEADING
            for index, tile in enumerate(row.tiles):
                line, column = divmod(index, self.columns)
                self._tile(sheet, pen, tile, (MARGIN + column * self._step[0], top + line * self._step[1]))
            top += count * self._step[1] + GAP
        return sheet

    def _head(
        self,
        sheet: Image.Image,
        pen: ImageDraw.ImageDraw,
        title: str,
        text: Sequence[str],
        picture: NDArray[np.uint8],
    ) -> None:
        sheet.paste(Image.fromarray(picture[..., :3]).resize(self.tile, Image.Resampling.BOX), (MARGIN, MARGIN))
        self._frame(pen, (MARGIN, MARGIN))
        left, room = MARGIN + self._step[0] + GAP, self._width - 2 * MARGIN - self._step[0] - GAP
        _write(pen, (left, MARGIN - 4), title, 26, TEXT, room)
        for index, line in enumerate(text):
            _write(pen, (left, MARGIN + 38 + 20 * index), line, CAPTION + 1, FAINT, room)
        top = MARGIN + 52 + 20 * len(text)
        ramp = np.broadcast_to(np.linspace(0, 1, LEGEND[0]), LEGEND[::-1])
        for x, word in ((0, "low"), (LEGEND[0] + 50, "high")):
            _write(pen, (left + x, top - 3), word, NOTE, FAINT, 40)
        sheet.paste(Image.fromarray(colors(ramp)), (left + 36, top))

    def _heading(self, pen: ImageDraw.ImageDraw, text: str, top: int) -> None:
        end = _write(pen, (MARGIN, top), text, HEADING, TEXT, self._width - 2 * MARGIN)
        middle = top + HEADING * 0.65
        pen.line((end + GAP, middle, self._width - MARGIN, middle), fill=LINE)

    def _tile(self, sheet: Image.Image, pen: ImageDraw.ImageDraw, tile: Tile, at: tuple[int, int]) -> None:
        x, y = at
        # Cells stay cells: what is smooth in a picture of a map is the map.
        picture = Image.fromarray(colors(tile.cells, tile.inside)).resize(self.tile, Image.Resampling.NEAREST)
        sheet.paste(picture, at)
        self._frame(pen, at)
        below = y + self.tile[1] + 6
        _write(pen, (x, below), tile.caption, CAPTION, TEXT, self.tile[0])
        _write(pen, (x, below + CAPTION + 5), tile.note, NOTE, FAINT, self.tile[0])

    def _frame(self, pen: ImageDraw.ImageDraw, at: tuple[int, int]) -> None:
        x, y = at
        pen.rectangle((x - 1, y - 1, x + self.tile[0], y + self.tile[1]), outline=LINE)


def _write(
    pen: ImageDraw.ImageDraw, at: tuple[float, float], text: str, size: int, fill: tuple[int, int, int], room: float
) -> float:
    """Write a line, smaller where there is not enough room, then without its beginning; return the x where it ends."""
    while size > SMALLEST and pen.textlength(text, font=ImageFont.load_default(size)) > room:
        size -= 1
    font = ImageFont.load_default(size)
    # The end of a layer's name, or of a file's, tells more than its beginning.
    while len(text) > len(ELLIPSIS) and pen.textlength(text, font=font) > room:
        text = ELLIPSIS + text[len(ELLIPSIS) + 1 :]
    pen.text(at, text, font=font, fill=fill)
    return at[0] + pen.textlength(text, font=font)
