"""Draw photos, drawings and patterns that are printed on pages."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from quant.data.documents import ink
from quant.data.documents.ink import Box, Color, Pen

Scene = Callable[[np.random.Generator, Image.Image], None]

_SKINS = ((241, 208, 180), (222, 176, 140), (190, 138, 100), (142, 95, 64), (88, 58, 42))
_HAIRS = ((30, 22, 18), (60, 40, 26), (110, 72, 40), (190, 150, 90), (150, 148, 145), (20, 20, 24))


def picture(pen: Pen, box: Box) -> None:
    """Paste a random photo into a box: a landscape, street, people, meal or something out of focus."""
    left, top, right, bottom = (round(v) for v in box)
    if right - left < 8 or bottom - top < 8:
        return
    pen.image.paste(photo(pen.rng, (right - left, bottom - top)), (left, top))
    pen.marks.add("photo")


def portrait(pen: Pen, box: Box) -> None:
    """Paste a passport photo into a box."""
    left, top, right, bottom = (round(v) for v in box)
    image = Image.new("RGB", (max(8, right - left), max(8, bottom - top)), ink.from_hsv(pen.between(0, 1), 0.1, 0.85))
    _person(pen.rng, image, 0.5, 0.95)
    image = _exposed(pen.rng, image)
    pen.image.paste(image, (left, top))
    pen.marks.add("photo")


def photo(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Return a random photo-like picture of (width, height) px, sometimes black and white."""
    image = Image.new("RGB", size)
    _SCENES[int(rng.integers(len(_SCENES)))](rng, image)
    image = image.filter(ImageFilter.BoxBlur(rng.uniform(0.3, 1.5)))
    return _exposed(rng, image)


def _exposed(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    if rng.random() < 0.15:
        image = image.convert("L").convert("RGB")
    w, h = image.size
    across, down = (np.linspace(rng.uniform(0.83, 1.18), rng.uniform(0.83, 1.18), n) for n in (w, h))
    light = across[None, :, None] * down[:, None, None]
    grain = rng.normal(0, rng.uniform(2, 9), (h, w, 1)).astype(np.float32)
    for step in (5, 17):  # texture, because photographed surfaces are not as flat as a drawing
        cells = rng.normal(0, rng.uniform(1, 7), (h // step + 2, w // step + 2)).astype(np.float32)
        grain += np.asarray(Image.fromarray(cells).resize((w, h), Image.Resampling.BICUBIC))[..., None]
    tint = rng.normal(1, 0.03, 3)
    pixels = np.asarray(image, np.float32) * (light * tint * rng.uniform(0.85, 1.2)).astype(np.float32) + grain
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def gradient(image: Image.Image, top: Color, bottom: Color, end: float = 1.0) -> None:
    """Fill the upper part of an image with a vertical gradient. ``end`` is the share of the height to fill."""
    height = max(1, round(image.height * end))
    column = np.linspace(np.array(top, float), np.array(bottom, float), height).astype(np.uint8)
    image.paste(Image.fromarray(column[:, None]).resize((image.width, height)), (0, 0))


def _ridge(rng: np.random.Generator, width: int, height: float, rough: float) -> list[tuple[float, float]]:
    x = np.linspace(0, width, 24)
    y = height + np.cumsum(rng.normal(0, rough, 24)) - rough
    return [(0.0, 9999.0), *((float(a), float(b)) for a, b in zip(x, y, strict=True)), (float(width), 9999.0)]


def _landscape(rng: np.random.Generator, image: Image.Image) -> None:
    draw = ImageDraw.Draw(image)
    w, h = image.size
    horizon = rng.uniform(0.3, 0.65)
    dusk = rng.random() < 0.25
    sky = ink.from_hsv(rng.uniform(0.55, 0.62), rng.uniform(0.15, 0.6), rng.uniform(0.75, 0.98))
    low = ink.from_hsv(rng.uniform(0.02, 0.12), 0.5, 0.95) if dusk else (225, 232, 238)
    gradient(image, sky, low, horizon + 0.1)
    for _ in range(int(rng.integers(0, 6))):
        x, y = rng.uniform(0, w), rng.uniform(0, horizon * 0.7) * h
        r = rng.uniform(0.03, 0.12) * w
        draw.ellipse((x - r, y - r * 0.3, x + r, y + r * 0.3), fill=(238, 240, 243))
    for k in range(int(rng.integers(1, 4))):
        ground = ink.from_hsv(rng.uniform(0.08, 0.42), rng.uniform(0.15, 0.55), rng.uniform(0.2, 0.6) - 0.05 * k)
        draw.polygon(_ridge(rng, w, h * (horizon + 0.13 * k), h * rng.uniform(0.005, 0.04)), fill=ground)
    for _ in range(int(rng.integers(0, 14))):
        x, y, r = rng.uniform(0, w), rng.uniform(horizon + 0.05, 1) * h, rng.uniform(0.02, 0.1) * h
        draw.ellipse((x - r, y - r, x + r, y + r), fill=ink.from_hsv(rng.uniform(0.2, 0.4), 0.5, rng.uniform(0.2, 0.5)))


def _street(rng: np.random.Generator, image: Image.Image) -> None:
    draw = ImageDraw.Draw(image)
    w, h = image.size
    gradient(image, ink.from_hsv(0.58, rng.uniform(0.05, 0.5), 0.9), (235, 235, 232))
    ground = h * rng.uniform(0.7, 0.9)
    x = 0.0
    while x < w:
        wide, top = w * rng.uniform(0.1, 0.35), h * rng.uniform(0.05, 0.55)
        wall = ink.from_hsv(rng.uniform(0.0, 0.14), rng.uniform(0.02, 0.45), rng.uniform(0.3, 0.9))
        draw.rectangle((x, top, x + wide, ground), wall)
        pane, step = ink.mix(wall, (25, 32, 45), rng.uniform(0.4, 0.9)), max(5.0, wide / rng.integers(3, 7))
        for a in np.arange(x + step * 0.3, x + wide - step * 0.5, step):
            for b in np.arange(top + step * 0.4, ground - step, step * 1.3):
                draw.rectangle((a, b, a + step * 0.5, b + step * 0.75), pane)
        x += wide
    level = int(rng.integers(60, 150))
    draw.rectangle((0, ground, w, h), (level, level, level - 5))
    for _ in range(int(rng.integers(0, 5))):
        _person(rng, image, rng.uniform(0.1, 0.9), rng.uniform(0.15, 0.4))


def _person(rng: np.random.Generator, image: Image.Image, at: float, tall: float) -> None:
    """Draw the head and shoulders of a person. ``at`` and ``tall`` are relative to the width and height."""
    draw = ImageDraw.Draw(image)
    w, h = image.size
    unit, x = min(h * tall, w * 1.2) / 4.2, at * w
    y = h - unit * 2.7 if tall > 0.6 else h * rng.uniform(0.55, 0.75)
    skin, hair = _SKINS[int(rng.integers(5))], _HAIRS[int(rng.integers(6))]
    clothes = ink.from_hsv(rng.uniform(0, 1), rng.uniform(0, 0.7), rng.uniform(0.1, 0.8))
    if rng.random() < 0.4:
        draw.ellipse((x - unit * 1.15, y - unit * 1.3, x + unit * 1.15, y + unit * 1.6), hair)
    draw.ellipse((x - unit * 1.9, y + unit * 1.35, x + unit * 1.9, y + unit * 5), clothes)
    draw.rectangle((x - unit * 0.4, y + unit * 0.6, x + unit * 0.4, y + unit * 1.6), ink.mix(skin, (0, 0, 0), 0.12))
    draw.ellipse((x - unit * 0.95, y - unit * 1.3, x + unit * 0.95, y + unit * 0.4), hair)
    draw.ellipse((x - unit * 0.8, y - unit * 0.95, x + unit * 0.8, y + unit * 1.15), skin)
    dark = ink.mix(skin, (20, 10, 10), 0.75)
    for side in (-0.33, 0.33):
        eye = x + side * unit
        draw.ellipse((eye - unit * 0.12, y - unit * 0.08, eye + unit * 0.12, y + unit * 0.06), dark)
    draw.line((x - unit * 0.25, y + unit * 0.65, x + unit * 0.25, y + unit * 0.65), dark, max(1, round(unit * 0.07)))


def _people(rng: np.random.Generator, image: Image.Image) -> None:
    tone = ink.from_hsv(rng.uniform(0, 1), rng.uniform(0.05, 0.35), rng.uniform(0.3, 0.9))
    gradient(image, tone, ink.mix(tone, (40, 35, 30), 0.5))
    count = int(rng.integers(1, 4))
    for k in range(count):
        _person(rng, image, (k + 0.5) / count + rng.normal(0, 0.03), rng.uniform(0.65, 1.0))


def _plate(rng: np.random.Generator, image: Image.Image) -> None:
    draw = ImageDraw.Draw(image)
    w, h = image.size
    wood = ink.from_hsv(rng.uniform(0.05, 0.1), rng.uniform(0.2, 0.6), rng.uniform(0.25, 0.7))
    gradient(image, wood, ink.mix(wood, (0, 0, 0), 0.3))
    for _ in range(int(rng.integers(1, 3))):
        x, y, r = rng.uniform(0.3, 0.7) * w, rng.uniform(0.35, 0.65) * h, rng.uniform(0.28, 0.45) * min(w, h)
        for share, level in ((1.0, 225), (0.93, 246), (0.7, 232)):
            draw.ellipse((x - r * share, y - r * share, x + r * share, y + r * share), (level, level, level - 4))
        for _ in range(int(rng.integers(5, 30))):
            a, b = rng.normal((x, y), r * 0.28)
            s = rng.uniform(0.05, 0.22) * r
            food = ink.from_hsv(
                rng.choice([0.02, 0.07, 0.1, 0.28, 0.35]), rng.uniform(0.4, 0.85), rng.uniform(0.3, 0.9)
            )
            draw.ellipse((a - s, b - s * 0.8, a + s, b + s * 0.8), food)


def _blurred(rng: np.random.Generator, image: Image.Image) -> None:
    """Draw something out of focus: soft colors and a few discs."""
    draw = ImageDraw.Draw(image)
    rows, columns = rng.integers(2, 8, 2)
    base = np.array(ink.from_hsv(rng.uniform(0, 1), rng.uniform(0.05, 0.5), rng.uniform(0.3, 0.8)), float)
    cells = base * rng.uniform(0.3, 1.5, (rows, columns, 1)) + rng.normal(0, 14, (rows, columns, 3))
    field = Image.fromarray(np.clip(cells, 0, 255).astype(np.uint8))
    image.paste(field.resize(image.size, Image.Resampling.BICUBIC))
    for _ in range(int(rng.integers(0, 9))):
        x, y, r = rng.uniform(0, image.width), rng.uniform(0, image.height), rng.uniform(0.02, 0.18) * image.height
        lighter = ink.mix(ink.from_hsv(rng.uniform(0, 1), 0.4, rng.uniform(0.4, 0.9)), (250, 240, 220), 0.35)
        draw.ellipse((x - r, y - r, x + r, y + r), lighter)


_SCENES: tuple[Scene, ...] = (_landscape, _street, _people, _plate, _blurred, _landscape, _people)


def artwork(pen: Pen) -> None:
    """Cover the page with the artwork of a card: a gradient with waves, stripes, discs or lines."""
    w, h = pen.image.size
    cells = np.array(pen.paper) * pen.rng.uniform(0.75, 1.25, (2, 3, 1)) + pen.rng.normal(0, 8, (2, 3, 3))
    art = Image.fromarray(np.clip(cells, 0, 255).astype(np.uint8))
    pen.image.paste(art.resize((w, h), Image.Resampling.BICUBIC), (0, 0))
    kind = pen.count(0, 5)
    other = ink.mix(pen.paper, pen.accent if pen.chance(0.5) else (255, 255, 255), pen.between(0.1, 0.5))
    if kind == 0:
        turn = np.linspace(0, pen.between(3, 9), 30) + pen.between(0, 6)
        ys = h * (pen.between(0.3, 0.8) + pen.between(0.05, 0.2) * np.sin(turn))
        wave = zip(np.linspace(0, w, 30).tolist(), ys.tolist(), strict=True)
        pen.draw.polygon([(0.0, float(h)), *wave, (float(w), float(h))], other)
    elif kind == 1:
        lean, wide = pen.between(-0.8, 0.8) * h, w * pen.between(0.05, 0.3)
        for x in np.arange(0, w * pen.between(0.3, 1.0), wide * 2.2).tolist():
            pen.draw.polygon([(x, 0), (x + wide, 0), (x + wide + lean, h), (x + lean, h)], other)
    elif kind == 2:
        for _ in range(pen.count(1, 4)):
            x, y, r = pen.between(0, w), pen.between(0, h), pen.between(0.15, 0.6) * w
            pen.draw.ellipse((x - r, y - r, x + r, y + r), other if pen.chance(0.6) else None, other)
    elif kind == 3:
        guilloche(pen, (0, 0, w, h))


def guilloche(pen: Pen, box: Box) -> None:
    """Draw a guilloche, the fine waves on bank notes, passports and certificates."""
    left, top, right, bottom = box
    x = np.linspace(left, right, 70)
    waves, phase, swing = pen.between(2, 7), pen.between(0, 6), (bottom - top) * pen.between(0.05, 0.35)
    color = ink.mix(pen.paper, pen.accent, pen.between(0.15, 0.4))
    turn = (x - left) / (right - left) * waves * np.pi
    lines = [
        np.stack([x, (top + bottom) / 2 + (k - 0.5) * (bottom - top) + swing * np.sin(turn + phase + 5 * k)], axis=1)
        for k in np.linspace(0, 1, pen.count(8, 26))
    ]
    ink.strokes(pen, lines, 0.8, color)


def crayon_drawing(pen: Pen, box: Box) -> None:
    """Draw a child's drawing of a house, sun, people and grass with thick colored lines."""
    left, top, right, bottom = box
    w, h = right - left, bottom - top

    def line(points: list[tuple[float, float]], color: Color) -> None:
        spots = np.array(points) * (w, h) + (left, top) + pen.rng.normal(0, 0.008 * w, (len(points), 2))
        ink.strokes(pen, [ink.smooth(spots, 4) if len(points) > 6 else spots], w * pen.between(0.006, 0.014), color)

    hues = [ink.from_hsv(k / 9 + pen.between(0, 0.1), 0.85, pen.between(0.5, 0.95)) for k in range(9)]
    turn = np.linspace(0, 6.6, 14)
    x, y = pen.between(0.06, 0.18), pen.between(0.5, 0.6)
    line([(x, 0.9), (x, y), (x + 0.35, y), (x + 0.35, 0.9), (x, 0.9)], hues[0])
    line([(x, y), (x + 0.17, y - 0.2), (x + 0.35, y)], hues[2])
    line([(x + 0.12, 0.9), (x + 0.12, 0.75), (x + 0.22, 0.75), (x + 0.22, 0.9)], hues[5])
    line([(0.85 + 0.08 * np.cos(t), 0.14 + 0.08 * np.sin(t)) for t in turn], hues[1])
    for t in turn[:9]:
        line([(0.85 + d * np.cos(t), 0.14 + d * np.sin(t)) for d in (0.1, 0.15)], hues[1])
    for k in range(pen.count(1, 3)):
        a, s, hue = 0.6 + 0.13 * k, pen.between(0.7, 1.1), hues[pen.count(4, 8)]
        line([(a + 0.035 * s * np.cos(t), 0.66 + 0.04 * s * np.sin(t)) for t in turn], hue)
        line([(a - 0.03, 0.93), (a, 0.83), (a, 0.7)], hue)
        line([(a + 0.03, 0.93), (a, 0.83)], hue)
        line([(a - 0.05, 0.76), (a + 0.05, 0.75)], hue)
    line([(t, 0.92 + 0.03 * (k % 2)) for k, t in enumerate(np.linspace(0.02, 0.98, 40))], hues[3])
    pen.marks.add("handwriting")
