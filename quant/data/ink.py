"""Marks on paper: text, headlines, tables, pictures, stamps, signatures.

Boxes are (left, top, right, bottom) in page px; colours are RGB, 0..255.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]
Box = tuple[float, float, float, float]

_SYLLABLES = tuple(
    part
    for line in (
        "an be con da er fu gan hi in ju ka lor me nu or pa qui ra st te um vi wo xy za str ing tion",
        "19 20 7 Ar Be Co De El Fa Ge Ho It Jo Ka Lu Ma No Pe Ru Sa To Un Ve",
    )
    for part in line.split()
)


@dataclass(frozen=True)
class Pen:
    """What a mark is drawn with: the page, a random stream, an ink and an accent colour (RGB, 0..255)."""

    image: Image.Image
    draw: ImageDraw.ImageDraw
    rng: np.random.Generator
    ink: Colour
    accent: Colour


@lru_cache(maxsize=48)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _words(rng: np.random.Generator, count: int) -> str:
    syllables = rng.integers(0, len(_SYLLABLES), (count, 3))
    lengths = rng.integers(1, 4, count)
    return " ".join("".join(_SYLLABLES[i] for i in row[:n]) for row, n in zip(syllables, lengths, strict=True))


def printed_text(pen: Pen, box: Box, size: int) -> None:
    """Fill a box with lines of printed words at a font size in px."""
    left, top, right, bottom = box
    font, step = _font(size), size * pen.rng.uniform(1.15, 1.7)
    per_line = max(1, int((right - left) / (size * 2.9)))
    y = top
    while y + size <= bottom:
        last = pen.rng.random() < 0.15
        count = max(1, int(per_line * pen.rng.uniform(0.2, 0.9))) if last else per_line
        pen.draw.text((left, y), _words(pen.rng, count), fill=pen.ink, font=font)
        y += step * (1.6 if last else 1.0)


def block_text(pen: Pen, box: Box, size: int) -> None:
    """Fill a box with word-like bars, as any script looks from far away."""
    left, top, right, bottom = box
    step = size * pen.rng.uniform(1.3, 2.0)
    for y in np.arange(top, bottom - size, step):
        x, end = left, right - pen.rng.random() ** 4 * (right - left)
        while x < end:
            width = size * pen.rng.uniform(0.6, 4.5)
            height = size * pen.rng.uniform(0.45, 0.75)
            pen.draw.rectangle((x, y, min(x + width, right), y + height), fill=pen.ink)
            x += width + size * pen.rng.uniform(0.3, 0.8)


def glyph_text(pen: Pen, box: Box, size: int) -> None:
    """Fill a box with glyphs made of a few strokes in a square each, as in East Asian or hand print."""
    left, top, right, bottom = box
    for y in np.arange(top, bottom - size, size * 1.6):
        columns = np.arange(left, right - size, size * 1.15)
        keep = columns[: int(len(columns) * (1.0 - pen.rng.random() ** 4))]
        ends = pen.rng.uniform(0, size * 0.9, (len(keep), 3, 4))
        for x, strokes in zip(keep, ends, strict=True):
            for x0, y0, x1, y1 in strokes:
                pen.draw.line((x + x0, y + y0, x + x1, y + y1), fill=pen.ink, width=max(1, size // 9))


def handwriting(pen: Pen, box: Box, size: int) -> None:
    """Fill a box with lines of connected up-and-down strokes."""
    left, top, right, bottom = box
    for y in np.arange(top + size, bottom, size * pen.rng.uniform(1.6, 2.2)):
        end = right - pen.rng.random() ** 2 * (right - left) * 0.7
        x = np.arange(left, end, size * 0.22)
        heights = pen.rng.uniform(0.1, 0.9, len(x)) * size * (np.arange(len(x)) % 2)
        gaps = np.flatnonzero(pen.rng.random(len(x)) < 0.12)
        for run in np.split(np.stack([x, y - heights], axis=1), gaps):
            if len(run) > 1:
                pen.draw.line([(float(a), float(b)) for a, b in run], fill=pen.ink, width=max(1, size // 10))


def headline(pen: Pen, box: Box, size: int) -> None:
    """Write one large line at the top of a box; the colour is the ink's or the accent's."""
    colour = pen.accent if pen.rng.random() < 0.4 else pen.ink
    count = max(1, int((box[2] - box[0]) / (size * 3.5)))
    text = _words(pen.rng, count)
    pen.draw.text((box[0], box[1]), text.upper() if pen.rng.random() < 0.3 else text, colour, _font(size))


def table(pen: Pen, box: Box, size: int) -> None:
    """Draw a ruled table with short entries."""
    left, top, right, bottom = box
    rows = max(2, int((bottom - top) / (size * 1.9)))
    xs = np.sort(np.concatenate([[left, right], pen.rng.uniform(left, right, pen.rng.integers(1, 5))]))
    ys = np.linspace(top, bottom, rows + 1)
    if pen.rng.random() < 0.5:
        pen.draw.rectangle((left, top, right, ys[1]), fill=pen.accent)
    for y in ys:
        pen.draw.line((left, y, right, y), fill=pen.ink)
    if pen.rng.random() < 0.7:
        for x in xs:
            pen.draw.line((x, top, x, bottom), fill=pen.ink)
    for y in ys[:-1]:
        for x, end in pairwise(xs):
            count = max(1, int((end - x) / (size * 4)))
            if end - x > size * 4:
                pen.draw.text((x + 3, y + 2), _words(pen.rng, count)[: 3 * count + 2], pen.ink, _font(size))


def picture(pen: Pen, box: Box) -> None:
    """Paste a procedural photo: a smooth two-axis colour field with a few blobs."""
    left, top, right, bottom = (int(v) for v in box)
    if right - left < 8 or bottom - top < 8:
        return
    rows, columns = pen.rng.integers(2, 9, 2)
    light = pen.rng.uniform(20, 235, (rows, columns, 1))
    hue = pen.rng.normal(0, pen.rng.uniform(5, 45), (rows, columns, 3))
    photo = Image.fromarray(np.clip(light + hue, 0, 255).astype(np.uint8)).resize(
        (right - left, bottom - top), Image.Resampling.BICUBIC
    )
    draw = ImageDraw.Draw(photo)
    for _ in range(int(pen.rng.integers(0, 5))):
        x, y = pen.rng.uniform(0, photo.width), pen.rng.uniform(0, photo.height)
        r = pen.rng.uniform(0.05, 0.35) * min(photo.size)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=random_colour(pen.rng))
    pen.image.paste(photo, (left, top))


def stamp(pen: Pen, box: Box, size: int) -> None:
    """Draw a round or square ink stamp somewhere in a box."""
    r = size * pen.rng.uniform(2.0, 5.0)
    x, y = pen.rng.uniform(box[0], box[2]), pen.rng.uniform(box[1], box[3])
    colour = ((190, 40, 50), (40, 60, 170), (30, 110, 70))[int(pen.rng.integers(3))]
    shape = pen.draw.ellipse if pen.rng.random() < 0.6 else pen.draw.rectangle
    for radius in (r, r * 0.75):
        shape((x - radius, y - radius, x + radius, y + radius), outline=colour, width=2)
    pen.draw.text((x - r * 0.55, y - size / 2), _words(pen.rng, 1)[:6], colour, _font(size))


def signature(pen: Pen, box: Box) -> None:
    """Draw chained cubic Bezier strokes inside a box."""
    left, top, right, bottom = box
    t = np.linspace(0, 1, 14)[:, None]
    start = np.array([left, (top + bottom) / 2])
    colour = (20, 30, 130) if pen.rng.random() < 0.6 else pen.ink
    for _ in range(int(pen.rng.integers(3, 7))):
        knots = pen.rng.uniform((left, top), (right, bottom), (3, 2))
        curve = (1 - t) ** 3 * start + 3 * (1 - t) ** 2 * t * knots[0]
        curve = curve + 3 * (1 - t) * t**2 * knots[1] + t**3 * knots[2]
        pen.draw.line([(float(a), float(b)) for a, b in curve], fill=colour, width=2)
        start = knots[2]


def random_colour(rng: np.random.Generator, low: int = 0, high: int = 256) -> Colour:
    """Return a colour with independent channels, each in low..high - 1."""
    r, g, b = (int(v) for v in rng.integers(low, high, 3))
    return r, g, b


TEXTS: tuple[Callable[[Pen, Box, int], None], ...] = (printed_text, block_text, glyph_text, handwriting)


def fill(pen: Pen, box: Box, size: int) -> None:
    """Lay blocks of one text style, headlines, tables and pictures out from the top of a box to its end."""
    left, top, right, bottom = box
    body = TEXTS[int(pen.rng.choice(4, p=[0.55, 0.2, 0.12, 0.13]))]
    y = top
    if pen.rng.random() < 0.6:
        headline(pen, box, int(size * pen.rng.uniform(1.5, 3.5)))
        y += size * 4
    while y < bottom - 3 * size:
        height = min(size * pen.rng.uniform(4, 22), bottom - y)
        block = (left, y, right, y + height)
        kind = pen.rng.random()
        if kind < 0.66:
            body(pen, block, size)
        elif kind < 0.78:
            table(pen, block, size)
        elif kind < 0.88:
            picture(pen, (left, y, left + (right - left) * pen.rng.uniform(0.3, 1.0), y + height))
        elif kind < 0.94:
            headline(pen, block, int(size * pen.rng.uniform(1.3, 2.0)))
            height = size * 3
        y += height + size * pen.rng.uniform(0.5, 3)
