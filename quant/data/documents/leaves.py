"""Lay out books, notebooks, notes, photos and postcards.

A layout prints on the whole page of its pen. Sizes are in page px, mostly relative to the page's width or height.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quant.data.documents import ink, pictures, scripts
from quant.data.documents import page_blocks as blocks
from quant.data.documents.ink import Box, Pen


def book_page(pen: Pen) -> None:
    """Print a book page: running title, text or a picture, and page number."""
    _leaf(pen, (0, 0, *pen.image.size))


def book_spread(pen: Pen) -> None:
    """Print two open book pages side by side."""
    w, h = pen.image.size
    _leaf(pen, (0, 0, w / 2, h))
    _leaf(pen, (w / 2, 0, w, h))


def _leaf(pen: Pen, box: Box) -> None:
    w, h, size = box[2] - box[0], box[3] - box[1], pen.face.size
    left, right = box[0] + w * pen.between(0.08, 0.13), box[2] - w * pen.between(0.08, 0.13)
    top, bottom = box[1] + h * 0.09, box[3] - h * 0.09
    kind = float(pen.rng.random())
    if pen.chance(0.6):
        scripts.line(pen, pen.face, (left + w * 0.2, top - size * 2.2, right - w * 0.2), "center")
    if kind < 0.14:
        pictures.picture(pen, box if pen.chance(0.4) else (left, top, right, top + h * pen.between(0.3, 0.8)))
    elif kind < 0.24:
        scripts.paragraph(pen, (left + w * 0.1, top + h * 0.1, right - w * 0.25, bottom - h * 0.2), "left", 1.6)
    elif kind < 0.42:
        blocks.flow(pen, (left, top, right, bottom), "justify")
    else:
        start = scripts.heading(pen, (left, top + h * 0.15, right, bottom), size * 2) if pen.chance(0.2) else top
        scripts.headings_or_text(pen, (left, start, right, bottom), "justify", pen.between(1.35, 1.6))
    if pen.chance(0.7):
        ink.write(pen, ((left + right) / 2, bottom + size * 1.5), str(pen.count(1, 600)), size, "mt")


def notebook(pen: Pen) -> None:
    """Draw a notebook page: ruled, squared or dotted paper with a margin, holes or a spiral, and handwriting."""
    w, h = pen.image.size
    step = h / pen.count(20, 34)
    _ruling(pen, step)
    left = w * 0.12
    if pen.chance(0.45):
        pen.draw.line((left, 0, left, h), ink.mix(pen.paper, (215, 60, 70), 0.6))
    if pen.chance(0.4):
        _holes(pen)
    if pen.chance(0.9):
        _written(pen, (left + 6, step * pen.count(1, 3), w * 0.95, h * pen.between(0.3, 0.95)), step)


def _written(pen: Pen, box: Box, step: float) -> None:
    """Write by hand on lines ``step`` px apart, sometimes with marked words and a drawing."""
    hand = scripts.face(pen.rng, "hand", round(step * pen.between(0.6, 0.8)))
    by_hand = replace(pen, face=hand, ink=blocks.pen_color(pen), accent=blocks.pen_color(pen))
    left, top, right, bottom = box
    # The baseline of a word is 1.1 sizes below its top.
    start = top + step - hand.size * 1.1 if top > step else step - hand.size * 1.1
    if pen.chance(0.25):
        blocks.bullets(replace(by_hand, face=hand), box)
    else:
        scripts.paragraph(by_hand, (left, start, right, bottom), "left", step / hand.size)
    if pen.chance(0.35):
        blocks.highlight(by_hand, (left, top, right, bottom))
    if pen.chance(0.2):
        pictures.crayon_drawing(pen, (right - (right - left) * 0.4, bottom - (bottom - top) * 0.3, right, bottom))


def _ruling(pen: Pen, step: float) -> None:
    w, h = pen.image.size
    color = ink.mix(
        pen.paper, ((90, 130, 190), (120, 120, 125), (150, 110, 160))[pen.count(0, 2)], pen.between(0.3, 0.7)
    )
    if ink.luma(pen.paper) < 110:
        color = ink.mix(pen.paper, (255, 255, 255), 0.3)
    kind = pen.count(0, 3)
    pen.marks.add("ruled")
    if kind == 3:
        for x in np.arange(step, w, step * 0.8):
            for y in np.arange(step, h, step * 0.8):
                pen.draw.rectangle((x, y, x + 1, y + 1), color)
        return
    fine = step if kind < 2 else step / 1.5
    for y in np.arange(step, h, fine):
        pen.draw.line((0, y, w, y), color)
    for x in np.arange(fine, w, fine) if kind == 2 else ():
        pen.draw.line((x, 0, x, h), color)


def _holes(pen: Pen) -> None:
    """Punch holes or wind a spiral along the left or the upper edge."""
    w, h = pen.image.size
    upper, spiral = pen.chance(0.35), pen.chance(0.6)
    length = w if upper else h
    count = pen.count(14, 34) if spiral else pen.count(2, 4)
    r = length * (0.006 if spiral else 0.012)
    for t in (np.arange(count) + 0.5) / count * length:
        x, y = (t, r * 2.8) if upper else (r * 2.8, t)
        pen.draw.ellipse((x - r, y - r, x + r, y + r), (52, 48, 46))
        if spiral:
            wire = (x - r * 0.4, 0, x + r * 0.4, y) if upper else (0, y - r * 0.4, x, y + r * 0.4)
            pen.draw.rectangle(wire, (150, 152, 156))


def note(pen: Pen) -> None:
    """Write a short note or list by hand, sometimes with the darker band of a sticky note."""
    w, h = pen.image.size
    if pen.chance(0.4):
        pen.draw.rectangle((0, 0, w, h * 0.14), ink.mix(pen.paper, (0, 0, 0), 0.05))
    if pen.chance(0.15):
        _ruling(pen, h / 14)
    step = h / pen.count(6, 16)
    _written(pen, (w * 0.08, h * 0.1, w * 0.94, h * pen.between(0.5, 0.95)), step)


def childs_drawing(pen: Pen) -> None:
    """Draw a child's drawing over most of the page."""
    w, h = pen.image.size
    pictures.crayon_drawing(pen, (w * 0.04, h * 0.1, w * 0.96, h * 0.95))


def photo_print(pen: Pen) -> None:
    """Print a photo without a border, or with one that may be wider at the bottom, like instant film."""
    w, h = pen.image.size
    border = 0.0 if pen.chance(0.4) else pen.between(0.02, 0.07) * min(w, h)
    foot = border * (4 if pen.chance(0.3) else 1)
    pictures.picture(pen, (border, border, w - border, h - foot))


def postcard_back(pen: Pen) -> None:
    """Draw the back of a postcard: handwriting on the left, address lines and a stamp on the right."""
    w, h = pen.image.size
    pen.draw.line((w / 2, h * 0.1, w / 2, h * 0.9), pen.ink)
    _written(pen, (w * 0.04, h * 0.08, w * 0.48, h * 0.92), h / 12)
    for k in range(4):
        y = h * (0.5 + 0.12 * k)
        pen.draw.line((w * 0.55, y, w * 0.95, y), ink.mix(pen.paper, pen.ink, 0.5))
    _written(pen, (w * 0.56, h * 0.38, w * 0.94, h * 0.8), h * 0.12)
    pictures.picture(pen, (w * 0.82, h * 0.06, w * 0.96, h * 0.3))
    blocks.stamp(pen, (w * 0.74, h * 0.12, w * 0.8, h * 0.26), h * 0.03)
