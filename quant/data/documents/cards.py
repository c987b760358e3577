"""Lay out cards, tickets and receipts.

A layout prints on the whole page of its pen. Sizes are in page px, mostly relative to the page's width or height.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from PIL import Image, ImageDraw

from quant.data.documents import ink, pictures, scripts
from quant.data.documents import page_blocks as blocks
from quant.data.documents.ink import Box, Face, Pen


def _lines(pen: Pen, box: Box, size: float, count: int, align: str = "left") -> None:
    """Write short lines from the top of a box. In half of all cases, the first line is larger and bold."""
    face = scripts.alike(pen, size)
    y = box[1]
    for k in range(count):
        used = scripts.alike(pen, size * 1.35, bold=True) if k == 0 and pen.chance(0.5) else face
        right = box[0] + (box[2] - box[0]) * (1.0 if align != "left" else pen.between(0.4, 1.0))
        scripts.line(pen, used, (box[0], y, right), align)
        y += used.size * pen.between(1.35, 1.6)
        if y > box[3] - size:
            break


def bank_card(pen: Pen) -> None:
    """Draw a bank card: artwork, chip, number in groups of four, name and logo."""
    w, h = pen.image.size
    pictures.artwork(pen)
    if w < h:
        _chip(pen, (w * 0.4, h * 0.1, w * 0.6, h * 0.2))
        _lines(pen, (w * 0.1, h * 0.7, w * 0.9, h * 0.95), w * 0.075, 3)
        return
    if pen.chance(0.8):
        _chip(pen, (w * 0.1, h * 0.34, w * 0.23, h * 0.52))
    size, x = round(h * pen.between(0.08, 0.11)), w * 0.1
    for group in pen.rng.integers(1000, 10000, 4):
        ink.write(pen, (x, h * 0.68), str(group), size, "ls")
        x += w * 0.2
    _lines(pen, (w * 0.1, h * 0.78, w * 0.6, h * 0.97), h * 0.06, 2)
    if pen.chance(0.6):
        _lines(pen, (w * 0.08, h * 0.07, w * 0.5, h * 0.3), h * 0.1, 1)
    if pen.chance(0.6):
        r, tone = h * 0.085, ink.print_color(pen.rng)
        for k, color in enumerate((tone, ink.mix(tone, (255, 200, 60), 0.7))):
            middle = w * 0.8 + k * r * 1.1
            pen.draw.ellipse((middle - r, h * 0.84 - r, middle + r, h * 0.84 + r), color)
    pen.marks.add("text")


def _chip(pen: Pen, box: Box) -> None:
    left, top, right, bottom = box
    metal = ((212, 178, 95), (196, 198, 202), (222, 196, 130))[pen.count(0, 2)]
    dark = ink.mix(metal, (60, 45, 20), 0.55)
    pen.draw.rounded_rectangle(box, (bottom - top) * 0.15, metal, dark)
    for k in (0.33, 0.66):
        y = top + (bottom - top) * k
        pen.draw.line((left, y, right, y), dark)
    for k in (0.35, 0.65):
        x = left + (right - left) * k
        pen.draw.line((x, top, x, bottom), dark)


def magnetic_back(pen: Pen) -> None:
    """Draw the back of a bank card: magnetic stripe, signature field and small print."""
    w, h = pen.image.size
    pictures.artwork(pen)
    top = h * pen.between(0.06, 0.14)
    pen.draw.rectangle((0, top, w, top + h * 0.19), (22, 20, 22))
    pen.draw.rectangle((w * 0.06, h * 0.42, w * 0.7, h * 0.56), (238, 236, 228))
    white = replace(pen, paper=(238, 236, 228), ink=(30, 30, 40))
    blocks.signature(white, (w * 0.1, h * 0.43, w * 0.45, h * 0.55))
    ink.write(white, (w * 0.62, h * 0.49), str(pen.count(100, 999)), round(h * 0.06), "lm")
    _lines(pen, (w * 0.06, h * 0.66, w * 0.94, h * 0.96), h * 0.04, pen.count(2, 5))


def member_card(pen: Pen) -> None:
    """Draw a membership card: artwork or photo, name and bar code."""
    w, h = pen.image.size
    pictures.artwork(pen)
    if pen.chance(0.35):
        pictures.picture(pen, (w * 0.5, 0, w, h * pen.between(0.5, 1.0)))
    if pen.chance(0.5):
        pen.draw.rectangle((0, 0, w, h * pen.between(0.15, 0.3)), pen.accent)
    blocks.logo(pen, (w * 0.06, h * 0.08, w * 0.24, h * 0.3))
    _lines(pen, (w * 0.06, h * 0.36, w * 0.8, h * 0.7), min(w, h) * pen.between(0.06, 0.1), pen.count(1, 3))
    if pen.chance(0.45):
        blocks.barcode(pen, (w * 0.08, h * 0.72, w * pen.between(0.5, 0.9), h * 0.92))


def ticket(pen: Pen) -> None:
    """Draw an entrance or travel ticket: bands, large words, a perforated stub and a code."""
    w, h = pen.image.size
    tall = h > w
    if pen.chance(0.5):
        pictures.artwork(pen)
    band = (0, 0, w, h * pen.between(0.08, 0.2))
    pen.draw.rectangle(band, pen.accent)
    stub = pen.between(0.68, 0.8)
    for t in np.linspace(0, 1, 60):
        x, y = (w * t, h * stub) if tall else (w * stub, h * t)
        pen.draw.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), ink.mix(pen.paper, (0, 0, 0), 0.45))
    right, bottom = (w * 0.95, h * stub) if tall else (w * stub - 10, h * 0.95)
    size = min(w, h) * 0.07
    scripts.heading(pen, (w * 0.05, band[3] + 6, right, bottom), size * 1.7)
    _lines(pen, (w * 0.05, band[3] + size * 4, right, bottom), size, pen.count(2, 6))
    side = min(w, h) * 0.3
    if pen.chance(0.5):
        blocks.square_code(pen, (right - side, bottom - side), side)
    elif tall:
        blocks.barcode(pen, (w * 0.1, h * (stub + 0.05), w * 0.9, h * 0.93))
    else:
        blocks.barcode(pen, (w * (stub + 0.03), h * 0.3, w * 0.97, h * 0.7))


def identity_card(pen: Pen) -> None:
    """Draw an identity card: guilloche, portrait, labeled lines, coat of arms, and sometimes machine-readable rows."""
    w, h = pen.image.size
    for _ in range(pen.count(1, 3)):
        pictures.guilloche(pen, (0, h * pen.between(-0.1, 0.3), w, h * pen.between(0.7, 1.1)))
    if pen.chance(0.6):
        pen.draw.rectangle((0, 0, w, h * pen.between(0.1, 0.18)), ink.mix(pen.paper, pen.accent, pen.between(0.4, 1)))
    machine = pen.chance(0.35)
    bottom = 0.72 if machine else 0.9
    upright = w < h
    left = w * 0.3 if upright else w * (0.05 if pen.chance(0.8) else 0.66)
    face = (w * 0.3, h * 0.2, w * 0.72, h * 0.5) if upright else (left, h * 0.22, left + w * 0.28, h * bottom)
    pictures.portrait(pen, face)
    text_left = w * 0.08 if upright else w * (0.37 if left < w * 0.3 else 0.05)
    y, size = h * (0.55 if upright else 0.22), min(w, h) * 0.062
    small, large = scripts.alike(pen, size * 0.6), scripts.alike(pen, size)
    while y < h * bottom - size * 2:
        scripts.line(pen, small, (text_left, y, text_left + w * 0.2))
        scripts.line(pen, large, (text_left, y + size * 0.8, text_left + w * pen.between(0.2, 0.5)))
        y += size * 2.6
    scripts.line(pen, large, (w * 0.05, h * 0.04, w * 0.8), "left")
    blocks.logo(pen, (w * 0.87, h * 0.04, w * 0.97, h * 0.16))
    if machine:
        letters = "ABCDEFGHIKLMNOPRSTUVWXYZ<<<<<<<<<<0123456789"
        for k in range(2):
            row = "".join(letters[i] for i in pen.rng.integers(0, len(letters), 30))
            _spaced(pen, (w * 0.05, h * (0.76 + 0.1 * k)), row, w * 0.9 / 30)
    if pen.chance(0.4):
        blocks.signature(pen, (w * 0.5, h * bottom - h * 0.13, w * 0.8, h * bottom))


def _spaced(pen: Pen, at: tuple[float, float], text: str, step: float) -> None:
    """Print monospaced letters, ``step`` px apart."""
    cells = [_cell(letter, step) for letter in text]
    for k, mask in enumerate(cells):
        if mask is not None:
            pen.image.paste(pen.ink, (round(at[0] + k * step), round(at[1])), mask)


def _cell(letter: str, step: float) -> Image.Image | None:
    if letter == " ":
        return None
    size = max(5, round(step * 1.65))
    mask = Image.new("L", (max(3, round(step) + 1), round(size * 1.3)), 0)
    ImageDraw.Draw(mask).text((mask.width / 2, size), letter, 255, ink.font(size), "ms")
    return mask


def business_card(pen: Pen) -> None:
    """Draw a business card: logo, name and small lines in one of three arrangements, sometimes with a band."""
    w, h = pen.image.size
    if pen.chance(0.25):
        pictures.artwork(pen)
    if pen.chance(0.3):
        box = ((0, 0, w * 0.28, h), (0, h * 0.8, w, h), (0, 0, w, h * 0.12))[pen.count(0, 2)]
        pen.draw.rectangle(box, pen.accent)
    size = min(w, h) * pen.between(0.045, 0.065)
    kind = pen.count(0, 2)
    align = ("left", "center", "right")[kind]
    left, top = ((w * 0.32, h * 0.3), (w * 0.1, h * 0.42), (w * 0.35, h * 0.28))[kind]
    blocks.logo(pen, (w * (0.07, 0.42, 0.08)[kind], h * (0.3, 0.1, 0.15)[kind], w, h * (0.6, 0.35, 0.45)[kind]))
    _lines(pen, (left, top, w * 0.94, h * 0.5), size * 1.8, 1, align)
    _lines(pen, (left, top + size * 3.6, w * 0.94, h * 0.95), size, pen.count(2, 6), align)
    if pen.chance(0.15):
        blocks.square_code(pen, (w * 0.74, h * 0.55), min(w, h) * 0.36)


def receipt(pen: Pen) -> None:
    """Draw a receipt: centered head, articles with prices, dashed lines, total and bar code."""
    w, h = pen.image.size
    face, size = pen.face, pen.face.size
    pad, step = w * pen.between(0.04, 0.1), size * pen.between(1.25, 1.6)
    y = h * pen.between(0.01, 0.04)
    if pen.chance(0.5):
        side = w * pen.between(0.18, 0.4)
        blocks.logo(replace(pen, accent=pen.ink), (w / 2 - side / 2, y, w / 2 + side / 2, y + side))
        y += side + step * 0.5
    if pen.chance(0.6):
        y = scripts.heading(replace(pen, accent=pen.ink), (pad, y, w - pad, h), size * 1.7, "center")
    for _ in range(pen.count(2, 4)):
        scripts.line(pen, face, (pad + w * pen.between(0.05, 0.3), y, w - pad - w * 0.05), "center")
        y += step
    end = h * pen.between(0.62, 0.84)
    while y < end:
        _dashes(pen, y + step / 2, pad)
        y += step
        for _ in range(pen.count(2, 14)):
            if y < end:
                _article(pen, face, (pad, y, w - pad))
                y += step
    _dashes(pen, y + step / 2, pad)
    big = round(size * pen.between(1.2, 1.7))
    ink.write(pen, (pad, y + step * 1.1), ("TOTAL", "SUM", "Total EUR", "TO PAY")[pen.count(0, 3)], big)
    ink.write(pen, (w - pad, y + step * 1.1), blocks.money(pen), big, "ra")
    y += step * 1.5 + big
    for _ in range(pen.count(1, 3)):
        _article(pen, face, (pad, y, w - pad))
        y += step
    if h - y > size * 6 and pen.chance(0.6):
        if pen.chance(0.7):
            blocks.barcode(pen, (w * 0.15, y + step, w * 0.85, min(h - step, y + step + h * 0.09)))
        else:
            side = min(w * 0.5, h - y - step)
            blocks.square_code(pen, (w / 2 - side / 2, y + step * 0.5), side)
    elif h - y > size * 3:
        scripts.line(pen, face, (pad, y + step, w - pad), "center")


def _article(pen: Pen, face: Face, span: tuple[float, float, float]) -> None:
    left, y, right = span
    if pen.chance(0.12):
        return
    price = blocks.money(pen, 2.6)
    if face.leftward:
        ink.write(pen, (left, y + face.size * 1.1), price, face.size, "ls")
        left += (right - left) * 0.3
    else:
        ink.write(pen, (right, y + face.size * 1.1), price, face.size, "rs")
        right -= (right - left) * pen.between(0.28, 0.6)
    scripts.line(pen, face, (left, y, right))


def _dashes(pen: Pen, y: float, pad: float) -> None:
    long = pen.count(2, 6)
    for x in np.arange(pad, pen.image.width - pad, long * 1.7):
        pen.draw.line((x, y, x + long, y), pen.ink)
