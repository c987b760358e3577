"""Provide the elements of print and writing: pens, colors, words and smooth strokes.

Boxes are (left, top, right, bottom) in page px. Colors are RGB, 0..255. Masks are L images, 255 where there is ink.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]
Box = tuple[float, float, float, float]
Curve = NDArray[np.float64]
"""``(n, 2)`` points x, y in px."""

_SYLLABLES = (
    *("an", "be", "con", "da", "er", "fu", "gan", "hi", "in", "ju", "ka", "lor", "me", "nu", "or", "pa", "qui", "ra"),
    *("st", "te", "um", "vi", "wo", "xy", "za", "str", "ing", "tion", "ed", "ly", "al", "ou", "el", "ot", "is", "ar"),
)
_HUES = (0.0, 0.02, 0.07, 0.12, 0.3, 0.36, 0.48, 0.54, 0.58, 0.6, 0.62, 0.66, 0.78, 0.93)


@dataclass(frozen=True)
class Face:
    """Words of one script at one size."""

    script: str
    """Name of the script, such as ``latin``."""

    words: tuple[Image.Image, ...]
    """Masks of words, all 1.6 * size px high with a common baseline."""

    size: int
    """Height of a capital letter and a descender together, in px."""

    space: float
    """Space between words in px."""

    leftward: bool = False
    """Whether the script runs from right to left."""

    sway: float = 0.0
    """Standard deviation of the baseline in px."""


@dataclass(frozen=True)
class Pen:
    """A page and everything needed to print or write on it."""

    image: Image.Image
    """The page."""

    draw: ImageDraw.ImageDraw
    """Drawing context of the page."""

    rng: np.random.Generator
    """Random stream of the page."""

    paper: Color
    """Color of the paper."""

    ink: Color
    """Color of text."""

    accent: Color
    """Second color, for bands, logos and headings."""

    face: Face
    """Words of the body text."""

    marks: set[str]
    """Names of what was drawn so far, out of `quant.data.documents.pages.MARKS`."""

    def chance(self, rate: float) -> bool:
        """Return True with probability ``rate``."""
        return bool(self.rng.random() < rate)

    def between(self, low: float, high: float) -> float:
        """Return a random number between ``low`` and ``high``."""
        return float(self.rng.uniform(low, high))

    def count(self, low: int, high: int) -> int:
        """Return a random integer in low..high, both included."""
        return int(self.rng.integers(low, high + 1))


def random_color(rng: np.random.Generator, low: int = 0, high: int = 256) -> Color:
    """Return a random color with independent channels, each in low..high - 1."""
    r, g, b = (int(v) for v in rng.integers(low, high, 3))
    return r, g, b


def from_hsv(hue: float, saturation: float, value: float) -> Color:
    """Convert a hue in turns, a saturation 0..1 and a value 0..1 to a color.

    >>> from_hsv(0.0, 1.0, 1.0)
    (255, 0, 0)
    """
    r, g, b = (round(255 * v) for v in colorsys.hsv_to_rgb(hue % 1.0, saturation, value))
    return r, g, b


def print_color(rng: np.random.Generator) -> Color:
    """Return a random color of letterheads, bands and logos. Blue and red are the most common."""
    hue = _HUES[int(rng.integers(len(_HUES)))] + rng.normal(0, 0.012)
    return from_hsv(hue, float(rng.uniform(0.4, 0.95)), float(rng.uniform(0.35, 0.85)))


def mix(first: Color, second: Color, share: float) -> Color:
    """Return a mixture of two colors. ``share`` 0..1 is the part of the second one.

    >>> mix((0, 0, 0), (100, 200, 50), 0.5)
    (50, 100, 25)
    """
    r, g, b = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return r, g, b


def luma(color: Color) -> float:
    """Return the brightness 0..255 of a color (ITU-R BT.601).

    >>> luma((255, 255, 255))
    255.0
    """
    return 0.299 * color[0] + 0.587 * color[1] + 0.114 * color[2]


@lru_cache(maxsize=48)
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's default font at a size in px. It has Latin letters without accents, and digits."""
    return ImageFont.load_default(size)


def word(rng: np.random.Generator) -> str:
    """Return a random pronounceable word without meaning, rarely a number."""
    if rng.random() < 0.08:
        return str(int(rng.integers(1, 3000)))
    text = "".join(_SYLLABLES[i] for i in rng.integers(0, len(_SYLLABLES), int(rng.integers(1, 5))))
    text = text.capitalize() if rng.random() < 0.2 else text
    return text + ("" if rng.random() < 0.85 else ",.;:"[int(rng.integers(4))])


def phrase(rng: np.random.Generator, count: int) -> str:
    """Return ``count`` random words in title case."""
    return " ".join(word(rng).strip(",.;:").capitalize() for _ in range(count))


def write(pen: Pen, at: tuple[float, float], text: str, size: int, anchor: str = "la") -> None:
    """Print Latin text at a size in px. ``anchor`` is a Pillow text anchor."""
    pen.draw.text(at, text, pen.ink, font(max(4, size)), anchor)


def smooth(points: Curve, steps: int = 5) -> Curve:
    """Return the Catmull-Rom curve through ``(n, 2)`` points, n >= 2, with ``steps`` points per segment."""
    ends = np.concatenate([points[:1], points, points[-1:]])
    a, b, c, d = ends[:-3, None], ends[1:-2, None], ends[2:-1, None], ends[3:, None]
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    curve = 2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    return np.concatenate([curve.reshape(-1, 2) / 2, points[-1:]])


def stroke_mask(size: tuple[int, int], lines: Sequence[Curve], width: float, scale: int = 3) -> Image.Image:
    """Return a mask of (width, height) px with lines of a width in px, drawn ``scale`` times larger for soft edges."""
    mask = Image.new("L", (size[0] * scale, size[1] * scale), 0)
    draw = ImageDraw.Draw(mask)
    thick = max(1, round(width * scale))
    for line in lines:
        draw.line([(x, y) for x, y in (line * scale).tolist()], fill=255, width=thick, joint="curve")
    return mask.reduce(scale)


def strokes(pen: Pen, lines: Sequence[Curve], width: float, color: Color | None = None) -> None:
    """Draw lines of a width in px with soft edges, clipped to the page."""
    if not lines:
        return
    points = np.concatenate(lines)
    low = np.clip(np.floor(points.min(axis=0) - width - 1), 0, pen.image.size).astype(int)
    high = np.clip(np.ceil(points.max(axis=0) + width + 1), 0, pen.image.size).astype(int)
    w, h = (int(v) for v in high - low)
    if w <= 0 or h <= 0:
        return
    mask = stroke_mask((w, h), [line - low for line in lines], width, 2)
    pen.image.paste(pen.ink if color is None else color, (int(low[0]), int(low[1])), mask)
