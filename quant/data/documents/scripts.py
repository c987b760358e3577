"""Draw text in several scripts and in handwriting, as it looks at small sizes.

Latin letters come from a font. The others imitate the texture of a script without meaning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageOps

from quant.data.documents import ink
from quant.data.documents.ink import Box, Color, Curve, Face, Pen

_HEIGHT = 1.6
_BASE = 1.1
"""Height of a word's mask, and distance of the baseline from its top, as multiples of the size."""

Drawn = Callable[[np.random.Generator, int], Image.Image]


def _latin(rng: np.random.Generator, size: int, text: str | None = None) -> Image.Image:
    # Drawn at twice the size and halved, for soft edges and fractional widths.
    text = ink.word(rng) if text is None else text
    type_face = ink.font(2 * size)
    width = int(np.ceil(type_face.getlength(text))) + 2
    mask = Image.new("L", (width + width % 2, 2 * round(size * _HEIGHT)), 0)
    ImageDraw.Draw(mask).text((1, 2 * size * _BASE), text, 255, type_face, "ls")
    return mask.reduce(2)


def _cyrillic(rng: np.random.Generator, size: int) -> Image.Image:
    """Draw small capitals, some of them mirrored or upside down, which resemble Cyrillic or Greek."""
    letters = [_latin(rng, size, "HNRTKAMBEOPXUWIL"[i]) for i in rng.integers(0, 16, rng.integers(1, 10))]
    row = Image.new("L", (sum(letter.width for letter in letters), letters[0].height), 0)
    x, top, base = 0, round(size * (_BASE - 0.72)), round(size * _BASE)
    small = rng.random() < 0.85
    for letter in letters:
        if rng.random() < 0.45:
            letter = ImageOps.mirror(letter)
        if rng.random() < 0.2:
            upper = letter.crop((0, top, letter.width, base))
            letter.paste(ImageOps.flip(upper), (0, top))
        row.paste(letter, (x, 0))
        x += letter.width
    return _lowered(row, size) if small else row


def _lowered(row: Image.Image, size: int) -> Image.Image:
    """Shrink capitals to the height of small letters on the same baseline."""
    squeezed = row.resize((max(2, round(row.width * 0.82)), round(row.height * 0.8)), Image.Resampling.BILINEAR)
    result = Image.new("L", (squeezed.width, row.height), 0)
    result.paste(squeezed, (0, round(size * _BASE * 0.2)))
    return result


def _square(rng: np.random.Generator, size: int) -> Image.Image:
    """Draw one to five square glyphs of bars, which resemble Chinese, Japanese or Korean."""
    count = int(rng.integers(1, 6))
    lines: list[Curve] = []
    for k in range(count):
        corner = np.array([k * size * 1.06 + 0.5, size * (_BASE - 0.92)])
        bars, stems = rng.integers(2, 5), rng.integers(1, 4)
        # One bar per row and one stem per column, so that a glyph fills its square.
        for y in (np.arange(bars) + rng.uniform(0.1, 0.8, bars)) / bars:
            a, b = rng.uniform(0, 0.35), rng.uniform(0.6, 0.95)
            lines.append(corner + size * np.array([(a, y), (b, y)]))
        for x in (np.arange(stems) + rng.uniform(0.1, 0.8, stems)) / stems:
            a, b = rng.uniform(0, 0.45), rng.uniform(0.6, 0.98)
            lines.append(corner + size * np.array([(x, a), (x, b)]))
        for _ in range(int(rng.integers(0, 3))):
            lines.append(corner + size * rng.uniform(0, 0.95, (2, 2)))
    return ink.stroke_mask((round(count * size * 1.06) + 1, round(size * _HEIGHT)), lines, max(0.7, size / 13))


def _arabic(rng: np.random.Generator, size: int) -> Image.Image:
    """Draw a connected line with teeth, stems, bowls and dots, which resembles Arabic."""
    teeth = int(rng.integers(2, 9))
    x = np.arange(teeth + 1) * size * 0.42 + 1
    rise = rng.choice([0.0, 0.12, 0.25, 0.32, 0.85, -0.38], teeth + 1, p=_RISES) * size
    points = [(x[0], 0.1 * size)]
    for left, up in zip(x, rise, strict=True):
        points += [(left + size * 0.14, -up), (left + size * 0.34, 0.0)]
    main = np.array(points) * (1, 1) + (0, size * _BASE * 0.92)
    lines = [ink.smooth(main)]
    for _ in range(int(rng.integers(1, 4))):
        dot = np.array([rng.uniform(x[0], x[-1]), size * (_BASE + rng.choice([0.28, -0.62]))])
        lines += [dot + np.array([(k, 0), (k + size * 0.1, size * 0.06)]) for k in (0.0, size * 0.22)]
    return ink.stroke_mask((int(x[-1] + size * 0.5), round(size * _HEIGHT)), lines, max(0.9, size / 9))


_RISES = (0.25, 0.2, 0.2, 0.12, 0.13, 0.1)


def _devanagari(rng: np.random.Generator, size: int) -> Image.Image:
    """Draw letters that hang from a head line, some with marks, which resemble Devanagari."""
    count, step = int(rng.integers(1, 7)), size * 0.56
    head, foot = size * (_BASE - 0.7), size * _BASE
    lines = [np.array([(0.0, head), (count * step + 1, head)])]
    for k in range(count):
        right = (k + 0.85) * step
        lines.append(np.array([(right, head), (right, foot)]))
        bowl = rng.uniform((0, 0.2), (0.8, 0.95), (int(rng.integers(2, 5)), 2)) * (step, foot - head)
        lines.append(ink.smooth(np.add(bowl, (k * step, head))))
        if rng.random() < 0.3:
            mark = np.array([(0.1, -0.2), (0.5, -0.36), (0.9, 0.0)]) if rng.random() < 0.7 else bowl[:2] / size + 0.7
            lines.append(ink.smooth(np.add(mark * size, (k * step, head))))
    return ink.stroke_mask((int(count * step) + 2, round(size * _HEIGHT)), lines, max(0.8, size / 11))


def _hand(rng: np.random.Generator, size: int) -> Image.Image:
    """Draw a cursive word: a smooth slanted line through arches, ascenders and descenders."""
    letters = int(rng.integers(2, 9))
    at, points = size * 0.2, [(0.0, 0.0)]
    for _ in range(letters):
        wide = size * rng.uniform(0.28, 0.5)
        reach = size * rng.choice([0.42, 0.42, 0.5, 0.95, -0.4], p=[0.35, 0.25, 0.15, 0.15, 0.1])
        points += [(at + wide * 0.35, reach), (at + wide * rng.uniform(0.0, 0.5), reach * 0.75)]
        points += [(at + wide * 0.55, rng.uniform(-0.06, 0.08) * size), (at + wide, size * 0.12)]
        at += wide
    curve = np.array(points)
    curve[:, 0] += 0.22 * curve[:, 1] + size * 0.15
    curve[:, 1] = size * _BASE - curve[:, 1]
    lines = [ink.smooth(curve, 4)]
    if rng.random() < 0.4:
        x = rng.uniform(0.2, 0.8) * at
        lines.append(np.array([(x, size * 0.4), (x + size * rng.choice([0.08, 0.35]), size * 0.4)]))
    return ink.stroke_mask((int(at + size * 0.5), round(size * _HEIGHT)), lines, max(1.0, size / 12))


@dataclass(frozen=True)
class _Script:
    """Settings of one script."""

    draw: Drawn
    """Function that draws one word at a size in px."""

    space: float
    """Space between words as a multiple of the size."""

    leftward: bool = False
    """Whether the script runs from right to left."""

    sway: float = 0.0
    """Standard deviation of the baseline as a multiple of the size."""


_SCRIPTS = {
    "latin": _Script(_latin, 0.28),
    "cyrillic": _Script(_cyrillic, 0.32),
    "square": _Script(_square, 0.12),
    "arabic": _Script(_arabic, 0.2, leftward=True),
    "devanagari": _Script(_devanagari, 0.32),
    "hand": _Script(_hand, 0.35, sway=0.06),
}
FOREIGN = ("cyrillic", "square", "arabic", "devanagari")


def face(rng: np.random.Generator, script: str, size: int, *, words: int = 26, bold: bool = False) -> Face:
    """Return random words of a script at a size in px, all with the same width, slant and weight."""
    row = _SCRIPTS[script]
    size = max(5, size)
    masks = [row.draw(rng, size) for _ in range(words)]
    if script in ("latin", "cyrillic"):
        stretch, lean = rng.uniform(0.82, 1.12), 0.2 if rng.random() < 0.12 else 0.0
        masks = [_shaped(mask, stretch, lean) for mask in masks]
    if bold:
        masks = [mask.filter(ImageFilter.GaussianBlur(0.35 + size / 60)).point(_BOLD) for mask in masks]
    return Face(script, tuple(masks), size, row.space * size, row.leftward, row.sway * size)


_BOLD = [min(255, round(v * 1.9)) for v in range(256)]


def _shaped(mask: Image.Image, stretch: float, lean: float) -> Image.Image:
    width = max(2, round(mask.width * stretch + lean * mask.height))
    matrix = (1 / stretch, lean / stretch, -lean * mask.height * 0.7 / stretch, 0.0, 1.0, 0.0)
    return mask.transform((width, mask.height), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)


def alike(pen: Pen, size: float, *, bold: bool = False, words: int = 8) -> Face:
    """Return a face of the same script as the body text."""
    return face(pen.rng, pen.face.script, round(size), words=words, bold=bold)


def line(
    pen: Pen, type_face: Face, span: tuple[float, float, float], align: str = "left", color: Color | None = None
) -> float:
    """Write one line of words, and return its width in px.

    Args:
        pen: Pen to write with.
        type_face: Words to choose from.
        span: (left, top, right) in px. Words that do not fit are left out.
        align: left, right, center or justify. For scripts from right to left, left means right.
        color: Color of the text, None for the ink of the pen.
    """
    left, top, right = span
    picked, used = [], 0.0
    for k in _order(pen.rng, len(type_face.words)):
        mask = type_face.words[k]
        if used + mask.width > right - left:
            break
        picked.append(mask)
        used += mask.width + type_face.space
    if not picked:
        return 0.0
    used -= type_face.space
    slack, space = right - left - used, type_face.space
    if align == "justify" and len(picked) > 2:
        space, slack = space + slack / (len(picked) - 1), 0.0
    shares = {"left": float(type_face.leftward), "justify": float(type_face.leftward), "center": 0.5, "right": 1.0}
    x = left + slack * shares[align]
    shifts = pen.rng.normal(0, type_face.sway, len(picked)) if type_face.sway else np.zeros(len(picked))
    ground = pen.ink if color is None else color
    for mask, shift in zip(picked, shifts, strict=True):
        pen.image.paste(ground, (round(x), round(top + shift)), mask)
        x += mask.width + space
    _note(pen, type_face)
    return used


def _order(rng: np.random.Generator, count: int) -> list[int]:
    """Return at least 40 indices below ``count`` in random order, with few immediate repetitions."""
    return [int(k) for _ in range(-(-40 // count)) for k in rng.permutation(count)]


def _note(pen: Pen, type_face: Face) -> None:
    pen.marks.add("handwriting" if type_face.script == "hand" else "text")
    if type_face.script in FOREIGN:
        pen.marks.add("script")


def paragraph(pen: Pen, box: Box, align: str = "left", leading: float = 1.45, type_face: Face | None = None) -> float:
    """Fill a box with lines of words, the last one short. Return the y in px below it."""
    used = pen.face if type_face is None else type_face
    left, top, right, bottom = box
    step = used.size * leading
    count = max(1, int((bottom - top) / step))
    ragged = 0.02 if align == "justify" else 0.12 if used.script != "hand" else 0.25
    for k in range(count):
        last = k == count - 1
        cut = pen.between(0.2, 0.7) if last and count > 1 else pen.between(0, ragged) if align != "justify" else 0.0
        cut *= right - left
        span = (left + cut, right) if used.leftward else (left, right - cut)
        line(pen, used, (span[0], top + k * step, span[1]), "left" if last and align == "justify" else align)
    return top + count * step


def heading(pen: Pen, box: Box, size: float, align: str = "left") -> float:
    """Write one large line at the top of a box, in the ink or accent color. Return the y in px below it."""
    type_face = alike(pen, size, bold=pen.chance(0.75))
    share = pen.between(0.35, 1.0)
    right = box[2] if align == "center" or type_face.leftward else box[0] + (box[2] - box[0]) * share
    line(pen, type_face, (box[0], box[1], right), align, pen.accent if pen.chance(0.3) else None)
    return box[1] + size * 1.7


def headings_or_text(pen: Pen, box: Box, align: str, leading: float) -> None:
    """Fill a box with paragraphs, some of them with a heading."""
    left, top, right, bottom = box
    size = pen.face.size
    while top < bottom - 2 * size:
        if pen.chance(0.22):
            top = heading(pen, (left, top, right, bottom), size * pen.between(1.1, 1.5))
        end = min(bottom, top + size * leading * pen.count(2, 10))
        if end - top < size * leading:
            break
        top = paragraph(pen, (left, top, right, end), align, leading) + size * pen.between(0.1, 0.9)
