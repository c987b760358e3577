"""Draw parts of pages: columns, tables, lists, form fields, codes, stamps and signatures.

Boxes are (left, top, right, bottom) in page px.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from PIL import Image

from quant.data.documents import ink, pictures, scripts
from quant.data.documents.ink import Box, Color, Pen

_STAMPS = ((180, 40, 50), (40, 60, 160), (60, 50, 130), (30, 100, 70))
_MARKERS = ((255, 245, 90), (170, 250, 120), (255, 170, 205), (255, 205, 110), (150, 225, 255))
_PENS = ((25, 40, 130), (20, 30, 100), (30, 30, 35), (30, 30, 35), (150, 30, 40), (70, 70, 75))


def pen_color(pen: Pen) -> Color:
    """Return the color of a ballpoint pen or pencil, or a light color on dark paper."""
    return _PENS[pen.count(0, len(_PENS) - 1)] if ink.luma(pen.paper) > 110 else ink.mix(pen.ink, (255, 255, 255), 0.5)


def money(pen: Pen, largest: float = 4.0) -> str:
    """Return a random amount of money below 10 ** largest."""
    return f"{10 ** pen.between(-0.3, largest):.2f}"


def table(pen: Pen, box: Box, *, amounts: bool = False, row: float = 1.9) -> float:
    """Draw a table, optionally with a head, shaded rows and lines. Return the y below it."""
    left, top, right, bottom = box
    size = pen.face.size
    rows = int(np.clip((bottom - top) / (size * row), 2, 40))
    columns = pen.count(3, 6)
    parts = np.cumsum(np.concatenate([[0.0], pen.rng.uniform(0.5, 1.2, columns) * ([2.0] + [1.0] * (columns - 1))]))
    xs, step = left + (right - left) * parts / parts[-1], size * row
    end = top + rows * step
    shade = ink.mix(pen.paper, pen.accent, pen.between(0.06, 0.2))
    if pen.chance(0.4):
        for k in range(2, rows, 2):
            pen.draw.rectangle((left, top + k * step, right, top + (k + 1) * step), shade)
    head = pen.chance(0.6)
    if head:
        pen.draw.rectangle((left, top, right, top + step), pen.accent if pen.chance(0.5) else shade)
    rules = ink.mix(pen.paper, pen.ink, pen.between(0.3, 1.0))
    if pen.chance(0.75):
        for k in range(rows + 1):
            pen.draw.line((left, top + k * step, right, top + k * step), rules)
    if pen.chance(0.55):
        for x in xs:
            pen.draw.line((x, top, x, end), rules)
    for k in range(rows):
        y = top + k * step + (step - size * 1.6) / 2
        for column, (x0, x1) in enumerate(pairwise(xs)):
            if column and (amounts or pen.chance(0.4)) and k:
                ink.write(pen, (x1 - 3, y + size * 1.1), money(pen), round(size * 0.95), "rs")
            elif pen.chance(0.9):
                scripts.line(pen, pen.face, (x0 + 3, y, x0 + (x1 - x0) * pen.between(0.4, 1.0) - 2))
    pen.marks.add("table")
    return end


def bullets(pen: Pen, box: Box) -> float:
    """Draw a list with dots, dashes, numbers or tick boxes. Return the y below it."""
    left, top, right, bottom = box
    size, kind, y = pen.face.size, pen.count(0, 3), top
    number = 1
    while y + size * 1.5 < bottom:
        middle = y + size * 0.85
        x = right - size if pen.face.leftward else left + size * 0.3
        if kind == 0:
            r = max(1.0, size * 0.16)
            pen.draw.ellipse((x, middle - r, x + 2 * r, middle + r), pen.ink)
        elif kind == 1:
            pen.draw.line((x, middle, x + size * 0.5, middle), pen.ink)
        elif kind == 2:
            ink.write(pen, (x, y + size * 1.1), f"{number}.", size, "ls")
        else:
            tick_box(pen, (x, y + size * 0.4), size * 0.75)
        inner = (left, right - size * 1.6) if pen.face.leftward else (left + size * 1.6, right)
        lines = 1 if pen.chance(0.6) else 2
        for _ in range(lines):
            short = (inner[1] - inner[0]) * pen.between(0, 0.5)
            scripts.line(pen, pen.face, (inner[0], y, inner[1] - short if not pen.face.leftward else inner[1]))
            y += size * 1.4
        y += size * 0.3
        number += 1
    return y


def tick_box(pen: Pen, at: tuple[float, float], size: float) -> None:
    """Draw a small box, ticked in 40 % of all cases."""
    x, y = at
    pen.draw.rectangle((x, y, x + size, y + size), None, pen.ink)
    if pen.chance(0.4):
        tick = np.array([(0.15, 0.5), (0.4, 0.9), (1.1, -0.2)]) if pen.chance(0.5) else np.array([(0, 0), (1.0, 1.0)])
        ink.strokes(pen, [np.array(at) + tick * size], 1.4, pen_color(pen))
        pen.marks.add("handwriting")


def field(pen: Pen, box: Box, *, filled: bool) -> None:
    """Draw a form field: a label with a box, comb, dotted line or solid line, optionally filled in by hand."""
    left, top, right, bottom = box
    size = pen.face.size
    used = scripts.line(pen, pen.face, (left, top, left + (right - left) * 0.45))
    kind = pen.count(0, 3)
    y0, y1 = top + size * 1.6, min(bottom, top + size * 3.8)
    if kind == 0:
        pen.draw.rectangle((left, y0, right, y1), (255, 255, 255) if pen.chance(0.3) else None, pen.ink)
    elif kind == 1:
        for x in np.linspace(left, right, max(3, int((right - left) / (size * 1.5))) + 1):
            pen.draw.line((x, (y0 + y1) / 2, x, y1), pen.ink)
        pen.draw.line((left, y1, right, y1), pen.ink)
    elif kind == 2:
        for x in np.arange(left + used + size, right, 3):
            pen.draw.point((x, top + size * 1.2), pen.ink)
    else:
        pen.draw.line((left, y1, right, y1), pen.ink)
    if filled:
        hand = scripts.face(pen.rng, "hand", round(size * 1.3), words=4)
        y = top - size * 0.4 if kind == 2 else y1 - size * 2.0
        x = left + used + size if kind == 2 else left + 3
        scripts.line(pen, hand, (x, y, right), color=pen_color(pen))


def equation(pen: Pen, box: Box) -> float:
    """Draw a formula of symbols, fractions and roots, sometimes numbered. Return the y below it."""
    left, top, right, _ = box
    size = pen.face.size
    x, middle = left + (right - left) * pen.between(0.15, 0.4), top + size * 1.6
    for _ in range(pen.count(3, 8)):
        kind = pen.count(0, 3)
        letters = "".join("abcxyzfknmij"[i] for i in pen.rng.integers(0, 12, 2))
        if kind == 0:
            wide = size * pen.between(1.5, 4)
            pen.draw.line((x, middle, x + wide, middle), pen.ink)
            ink.write(pen, (x + wide / 2, middle - 2), letters, size, "ms")
            ink.write(pen, (x + wide / 2, middle + 2), letters[::-1] + "+1", size, "mt")
        elif kind == 1:
            wide = size * 1.8
            zigzag = np.array([(0, 0), (0.15, 0.5), (0.35, -0.8), (1.8, -0.8)]) * size
            ink.strokes(pen, [np.add(zigzag, (x, middle))], 1.0)
            ink.write(pen, (x + size * 0.6, middle), letters, size, "lm")
        else:
            wide = size * 1.6
            ink.write(pen, (x, middle), letters[0], round(size * 1.2), "lm")
            ink.write(pen, (x + size * 0.7, middle - size * 0.5), letters[1], round(size * 0.7), "lm")
        x += wide + size * 0.3
        ink.write(pen, (x, middle), "=+-<"[pen.count(0, 3)], size, "lm")
        x += size * 0.9
        if x > right - 6 * size:
            break
    if pen.chance(0.5):
        ink.write(pen, (right, middle), f"({pen.count(1, 40)})", size, "rm")
    pen.marks.add("text")
    return top + size * 3.6


def columns(box: Box, count: int, gap: float) -> list[Box]:
    """Split a box into columns with ``gap`` px between them."""
    left, top, right, bottom = box
    width = (right - left - gap * (count - 1)) / count
    return [(left + k * (width + gap), top, left + k * (width + gap) + width, bottom) for k in range(count)]


def flow(pen: Pen, column: Box, align: str) -> None:
    """Fill a column with text, tables, lists, pictures and formulas."""
    left, y, right, bottom = column
    size = pen.face.size
    while y < bottom - size * 3:
        kind = float(pen.rng.random())
        part = (left, y, right, min(bottom, y + size * pen.between(8, 24)))
        if kind < 0.62 or part[3] - y < size * 6:
            scripts.headings_or_text(pen, part, align, 1.45)
            y = part[3]
        elif kind < 0.72:
            y = table(pen, part)
        elif kind < 0.8:
            y = bullets(pen, part)
        elif kind < 0.9:
            pictures.picture(pen, part)
            y = part[3]
        else:
            y = equation(pen, part)
        y += size * 0.9


def barcode(pen: Pen, box: Box) -> None:
    """Draw a bar code on white with digits below."""
    left, top, right, bottom = box
    pen.draw.rectangle((left - 5, top - 3, right + 5, bottom + 3), (252, 252, 252))
    x = left
    digits = min(12.0, (bottom - top) * 0.25)
    unit = max(1.0, (right - left) / 150)
    while x < right - 4 * unit:
        wide = pen.count(1, 4) * unit
        last = max(x, x + wide - 1)  # rounding may make the sum smaller than x
        pen.draw.rectangle((x, top, last, bottom - digits), (15, 15, 18))
        x += wide + pen.count(1, 3) * unit
    number = str(pen.count(10**11, 10**12 - 1))
    pen.draw.text(((left + right) / 2, bottom), number, (15, 15, 18), ink.font(max(5, round(digits))), "ms")
    pen.marks.add("barcode")


def square_code(pen: Pen, at: tuple[float, float], side: float) -> None:
    """Draw a matrix code with its three finder squares on white."""
    modules = 4 * pen.count(1, 4) + 17
    bits = pen.rng.random((modules, modules)) < 0.5
    ring = np.zeros((8, 8), bool)
    ring[:7, :7] = True
    ring[1:6, 1:6] = False
    ring[2:5, 2:5] = True
    bits[:8, :8], bits[:8, -8:], bits[-8:, :8] = ring, ring[:, ::-1], ring[::-1]
    cells = np.pad(np.where(bits, 15, 252).astype(np.uint8), 2, constant_values=252)
    code = Image.fromarray(cells).resize((max(20, int(side)),) * 2, Image.Resampling.BOX)
    pen.image.paste(code.convert("RGB"), (int(at[0]), int(at[1])))
    pen.marks.add("barcode")


def stamp(pen: Pen, box: Box, size: float) -> None:
    """Draw a round or rectangular rubber stamp at a random position in a box. ``size`` is a text size in px."""
    r = size * pen.between(2.2, 4.5)
    x, y = pen.between(box[0], box[2]), pen.between(box[1], box[3])
    color = ink.mix(pen.paper, _STAMPS[pen.count(0, len(_STAMPS) - 1)], pen.between(0.45, 0.9))
    turn = np.linspace(0, 2 * np.pi, 5 if pen.chance(0.35) else 41)
    lean = pen.between(-0.4, 0.4) + np.pi / 4
    flat = np.array([1.0, 0.5]) if len(turn) == 5 else np.ones(2)
    rings = [np.stack([np.cos(turn + lean), np.sin(turn + lean)], axis=1) * r * k * flat + (x, y) for k in (1.0, 0.78)]
    ink.strokes(pen, rings, max(1.0, r / 18), color)
    pen.draw.text((x, y), ink.phrase(pen.rng, 1)[:8].upper(), color, ink.font(max(5, round(r * 0.32))), "mm")


def signature(pen: Pen, box: Box) -> None:
    """Draw a signature inside a box."""
    left, top, right, bottom = box
    count = pen.count(6, 12)
    x = np.linspace(left, right - (right - left) * 0.15, count) + pen.rng.normal(0, (right - left) * 0.06, count)
    y = pen.rng.uniform(top, bottom, count)
    y[1::2] = top + (y[1::2] - top) * 0.5
    lines = [ink.smooth(np.stack([np.clip(x, left, right), y], axis=1), 7)]
    if pen.chance(0.5):
        under = np.array([(left, bottom), (right, bottom - (bottom - top) * pen.between(0, 0.4))])
        lines.append(under)
    ink.strokes(pen, lines, pen.between(1.0, 2.2), pen_color(pen))
    pen.marks.add("handwriting")


def highlight(pen: Pen, box: Box) -> None:
    """Mark random parts of a box with a text marker, or underline them by hand."""
    left, top, right, bottom = box
    color = _MARKERS[pen.count(0, len(_MARKERS) - 1)]
    step = pen.face.size * 1.45
    marked = pen.chance(0.6)
    for _ in range(pen.count(1, 5)):
        y = top + step * int(pen.between(0, max(1.0, (bottom - top) / step)))
        x = np.sort(pen.rng.uniform(left, right, 2))
        if marked:
            area = (int(x[0]), int(y), int(x[1]) + 8, int(y + step))
            part = np.asarray(pen.image.crop(area)).astype(np.uint16)
            pen.image.paste(Image.fromarray((part * np.array(color, np.uint16) // 255).astype(np.uint8)), area[:2])
        else:
            wave = pen.rng.normal(0, 1.0, 6) + y + step * 0.95
            ink.strokes(pen, [ink.smooth(np.stack([np.linspace(x[0], x[1], 6), wave], axis=1))], 1.3, pen_color(pen))
            pen.marks.add("handwriting")


def logo(pen: Pen, box: Box) -> None:
    """Draw a logo: a simple shape in the accent color, sometimes with a disc inside."""
    left, top, right, bottom = box
    side = min(right - left, bottom - top)
    shape = (left, top, left + side, top + side)
    kinds = (pen.draw.ellipse, pen.draw.rectangle, pen.draw.pieslice)
    kind = pen.count(0, 3)
    if kind == 2:
        kinds[2](shape, pen.between(0, 180), pen.between(200, 400), pen.accent)
    elif kind == 3:
        pen.draw.regular_polygon(((left + side / 2), (top + side / 2), side / 2), pen.count(3, 8), 0, pen.accent)
    else:
        pen.draw.rectangle(shape, pen.accent) if kind else pen.draw.ellipse(shape, pen.accent)
    if pen.chance(0.5):
        inner = side * pen.between(0.25, 0.4)
        middle = (left + side / 2 - inner / 2, top + side / 2 - inner / 2)
        pen.draw.ellipse((*middle, middle[0] + inner, middle[1] + inner), pen.paper)
