"""Lay out pages covered by bold shapes: game boards, targets, puzzles, charts, posters, plans, sheet music.

Their straight lines and dark corners are stronger than the outline of the sheet. Sizes are as in `layouts`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quant.data.documents import ink, scripts
from quant.data.documents import page_blocks as blocks
from quant.data.documents.ink import Box, Color, Pen


def _inside(pen: Pen, least: float = 0.02, most: float = 0.14) -> Box:
    """Return a box inside random margins, between ``least`` and ``most`` of the page size."""
    w, h = pen.image.size
    x, y = w * pen.between(least, most), h * pen.between(least, most)
    return x, y, w - x, h - y


def _grid(box: Box, across: int) -> list[Box]:
    """Return square cells that fill a box from the top left, row by row, ``across`` per row."""
    left, top, right, bottom = box
    side = (right - left) / across
    rows = max(1, int((bottom - top) / side))
    return [
        (left + side * x, top + side * y, left + side * (x + 1), top + side * (y + 1))
        for y in range(rows)
        for x in range(across)
    ]


def _shade(pen: Pen) -> Color:
    """Return the color of the ink or a random one."""
    return pen.ink if pen.chance(0.6) else ink.print_color(pen.rng)


def board(pen: Pen) -> None:
    """Draw squares, discs, rings or matrix codes in a grid, as on game boards, targets and label sheets."""
    box, across = _inside(pen), pen.count(3, 11)
    motif, chequered, color = pen.count(0, 3), pen.chance(0.5), _shade(pen)
    for k, (left, top, right, bottom) in enumerate(_grid(box, across)):
        if chequered and (k // across + k % across) % 2:
            continue
        gap = 0.0 if motif == 0 and chequered else (right - left) * 0.12
        cell = (left + gap, top + gap, right - gap, bottom - gap)
        if motif == 0:
            pen.draw.rectangle(cell, color)
        elif motif == 3 and right - left > 24:
            blocks.square_code(pen, cell[:2], right - left - 2 * gap)
        else:
            pen.draw.ellipse(cell, color if motif == 1 else None, color, max(2, int(gap)))
    pen.marks.add("graphic")


def puzzle(pen: Pen) -> None:
    """Draw a title and a puzzle: a sudoku, or a grid of black squares and numbers. Some numbers are handwritten."""
    box = _inside(pen)
    y = scripts.heading(pen, box, pen.face.size * pen.between(1.4, 2.6)) + pen.face.size
    sudoku = pen.chance(0.6)
    across = 9 if sudoku else pen.count(8, 15)
    cells = _grid((box[0], y, box[2], max(y + 40, box[3])), across)
    side = cells[0][2] - cells[0][0]
    hand = replace(pen, ink=blocks.pen_color(pen))
    for k, cell in enumerate(cells):
        draw = pen.rng.random()
        pen.draw.rectangle(cell, None if sudoku or draw >= 0.2 else pen.ink, pen.ink)
        if not sudoku or 0.2 < draw < 0.55:
            middle = (cell[0] + side / 2, cell[1] + side / 2)
            ink.write(pen if draw < 0.4 else hand, middle, str(k % 9 + 1), round(side * 0.6), "mm")
    if sudoku:
        for left, top, _, _ in (cell for k, cell in enumerate(cells) if k % 3 == 0 and k // across % 3 == 0):
            nine = (left, top, min(box[2], left + 3 * side), min(cells[-1][3], top + 3 * side))
            pen.draw.rectangle(nine, None, pen.ink, 3)
    pen.marks.add("graphic")


def chart(pen: Pen) -> None:
    """Draw a heading, and bar charts, line charts or pie charts below each other."""
    left, _, right, bottom = box = _inside(pen, 0.05)
    y = scripts.heading(pen, box, pen.face.size * pen.between(1.5, 2.8)) + pen.face.size
    count = 1 if bottom - y < right - left else pen.count(1, 3)
    step = (bottom - y) / count
    for k in range(count):
        _figure(pen, (left, y + k * step, right, y + (k + 0.9) * step))
    pen.marks.add("graphic")


def _figure(pen: Pen, box: Box) -> None:
    left, top, right, bottom = box
    shades = [ink.print_color(pen.rng) for _ in range(5)]
    kind, count = pen.count(0, 2), pen.count(4, 12)
    if kind == 0:
        r = min(right - left, bottom - top) / 2
        middle, turns = ((left + right) / 2, (top + bottom) / 2), np.sort(pen.rng.uniform(0, 360, count))
        disc = (middle[0] - r, middle[1] - r, middle[0] + r, middle[1] + r)
        for i, (a, b) in enumerate(zip(turns, [*turns[1:], turns[0] + 360], strict=True)):
            pen.draw.pieslice(disc, float(a), float(b), shades[i % 5], pen.paper)
        return
    pen.draw.line([(left, top), (left, bottom), (right, bottom)], pen.ink, 2)
    xs = np.linspace(left, right, count + 2)[1:-1]
    if kind == 1:
        wide = (right - left) / count * pen.between(0.2, 0.45)
        for i, x in enumerate(xs.tolist()):
            high = pen.between(0.05, 0.95) * (bottom - top)
            pen.draw.rectangle((x - wide, bottom - high, x + wide, bottom), shades[i % 5 if count < 6 else 0])
        return
    for shade in shades[: pen.count(1, 5)]:
        ys = bottom - (bottom - top) * np.clip(np.cumsum(pen.rng.normal(0.02, 0.12, len(xs))) + 0.4, 0, 1)
        pen.draw.line(list(zip(xs.tolist(), ys.tolist(), strict=True)), shade, 3)


def poster(pen: Pen) -> None:
    """Cover the page with discs, rectangles, triangles or stripes in strong colors, and huge words."""
    w, h = pen.image.size
    shades = [_shade(pen), *(ink.print_color(pen.rng) for _ in range(3))]
    if pen.chance(0.7):
        pen.draw.rectangle((0, 0, w, h), shades[1])
    kind = pen.count(0, 3)
    for k in range(pen.count(2, 7)):
        shade, x, y = shades[k % 4], pen.between(0, w), pen.between(0, h)
        if kind == 0:
            r = pen.between(0.08, 0.5) * w
            pen.draw.ellipse((x - r, y - r, x + r, y + r), shade)
        elif kind == 1:
            a, b = pen.between(0, w), pen.between(0, h)
            pen.draw.rectangle((min(x, a), min(y, b), max(x, a), max(y, b)), shade)
        elif kind == 2:
            spots = pen.rng.uniform(-0.1, 1.1, (3, 2)) * (w, h)
            pen.draw.polygon([(float(a), float(b)) for a, b in spots], shade)
        else:
            pen.draw.rectangle((0, y, w, y + pen.between(0.03, 0.2) * h), shade)
    loud = replace(pen, ink=(250, 250, 250) if pen.chance(0.5) else (12, 12, 12))
    for _ in range(pen.count(1, 3)):
        top = h * pen.between(0.02, 0.75)
        scripts.heading(loud, (w * 0.05, top, w * 0.95, h), pen.face.size * pen.between(3, 8), "center")
    pen.marks.add("graphic")


def plan(pen: Pen) -> None:
    """Draw a floor plan of rooms, or a map of areas and roads, with names."""
    left, top, right, bottom = box = _inside(pen, 0.0, 0.1)
    w, h = right - left, bottom - top
    if pen.chance(0.5):
        for _ in range(pen.count(4, 9)):
            x, y = np.sort(pen.rng.uniform(0, 1, 2)) * w + left, np.sort(pen.rng.uniform(0, 1, 2)) * h + top
            pen.draw.rectangle((x[0], y[0], x[1], y[1]), None, pen.ink, pen.count(2, 6))
        pen.draw.rectangle(box, None, pen.ink, pen.count(3, 7))
    else:
        pen.draw.rectangle(box, ink.mix(pen.paper, ink.print_color(pen.rng), 0.25))
        for _ in range(pen.count(2, 5)):
            spots = pen.rng.uniform(0, 1, 2) + pen.rng.normal(0, 0.2, (7, 2))
            spots = np.clip(spots, 0, 1) * (w, h) + (left, top)
            pen.draw.polygon([(float(a), float(b)) for a, b in ink.smooth(spots, 4)], ink.print_color(pen.rng))
        for _ in range(pen.count(3, 8)):
            spots = np.stack([np.linspace(0, 1, 5), pen.rng.uniform(0, 1, 5)], axis=1)
            spots = (spots if pen.chance(0.5) else spots[:, ::-1]) * (w, h) + (left, top)
            ink.strokes(pen, [ink.smooth(spots, 6)], pen.between(1, 7), _shade(pen))
    for _ in range(pen.count(4, 12)):
        start = left + w * pen.between(0.02, 0.8)
        scripts.line(pen, pen.face, (start, top + h * pen.between(0.02, 0.95), min(right, start + w * 0.2)))
    pen.marks.add("graphic")


def music(pen: Pen) -> None:
    """Draw a title and staves with notes and bars."""
    left, _, right, bottom = box = _inside(pen, 0.04, 0.1)
    gap = pen.between(0.006, 0.011) * pen.image.height
    y = scripts.heading(pen, box, gap * 5, "center") + gap * 6
    while y < bottom - gap * 6:
        for k in range(5):
            pen.draw.line((left, y + k * gap, right, y + k * gap), pen.ink)
        for x in np.arange(left + gap * 4, right - gap, gap * pen.between(1.8, 3.5)).tolist():
            if pen.chance(0.15):
                pen.draw.line((x, y, x, y + 4 * gap), pen.ink, 2)
                continue
            at = y + gap * pen.count(-2, 10) / 2
            pen.draw.ellipse((x - gap * 0.65, at - gap * 0.45, x + gap * 0.65, at + gap * 0.45), pen.ink)
            pen.draw.line((x + gap * 0.6, at, x + gap * 0.6, at - 3.3 * gap), pen.ink, 1)
        y += gap * pen.between(8, 12)
    pen.marks.add("graphic")
