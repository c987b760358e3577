"""Draw flat objects that lie around a document or cover a part of it: pens, cups, phones, keyboards, hands."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from quant.data.documents.ink import Color, random_color

POOL = 72
"""Number of different objects per group. All stay cached, at most 0.3 MB each."""

_SIDE = 256
_PAD = 4


@lru_cache(maxsize=POOL)
def small_object(index: int) -> Image.Image:
    """Return a small RGBA object that does not have the outline of a sheet."""
    rng = np.random.default_rng([index, 0x0B1])
    return _SMALL[index % len(_SMALL)](rng)


@lru_cache(maxsize=POOL)
def device(index: int) -> Image.Image:
    """Return a rectangular RGBA object: keyboard, laptop, window, phone, tray, monitor or box."""
    rng = np.random.default_rng([index, 0xDE1])
    return _DEVICES[index % len(_DEVICES)](rng)


@lru_cache(maxsize=POOL)
def finger(index: int) -> Image.Image:
    """Return one to three RGBA fingers that point up, with the tip at the top center."""
    rng = np.random.default_rng([index, 0xF1E])
    image, draw = _blank(_SIDE * 3 // 4, _SIDE * 5 // 4)
    tone = np.array([(236, 200, 175), (205, 155, 120), (150, 100, 70), (90, 60, 45)][int(rng.integers(4))])
    count = int(rng.integers(1, 4))
    width = image.width * rng.uniform(0.2, 0.3)
    for ring in np.linspace(0, 1, 5):  # the back of the hand, below the fingers
        r, g, b = (int(v) for v in np.clip(tone * (0.7 + 0.2 * ring), 0, 255))
        half, high = image.width * (0.48 - 0.15 * ring), image.height * (0.36 - 0.1 * ring)
        middle, low = image.width / 2, image.height * 0.98
        draw.ellipse((middle - half, low - high, middle + half, low + high), fill=(r, g, b))
    for k in sorted(range(count), reverse=True):
        x = image.width / 2 + (k if k < 2 else -1) * width * 1.02
        top = _PAD + (0.0 if k == 0 else rng.uniform(0.05, 0.2) * image.height)
        for ring in np.linspace(0, 1, 7):  # brighter towards the middle, like a cylinder
            r, g, b = (int(v) for v in np.clip(tone * (0.72 + 0.33 * ring), 0, 255))
            half = width / 2 * (1 - 0.75 * ring)
            shape = (x - half, top + (width / 2 - half), x + half, image.height + width)
            draw.rounded_rectangle(shape, half, fill=(r, g, b))
        nail = width * 0.28
        r, g, b = (int(v) for v in np.clip(tone * 1.1 + 12, 0, 255))
        if rng.random() < 0.7:
            draw.rounded_rectangle((x - nail, top + nail * 0.5, x + nail, top + nail * 2.6), nail, (r, g, b))
    return image


def _blank(width: int, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    return image, ImageDraw.Draw(image)


def _shift(color: Color, by: int) -> Color:
    r, g, b = (min(255, max(0, v + by)) for v in color)
    return r, g, b


def _pen(rng: np.random.Generator) -> Image.Image:
    width = int(rng.integers(10, 22))
    image, draw = _blank(_SIDE, width + 2 * _PAD)
    color, (x0, y0, x1, y1) = random_color(rng), (_PAD, _PAD, _SIDE - _PAD, width + _PAD)
    draw.polygon([(x0, (y0 + y1) / 2), (x0 + 24, y0), (x0 + 24, y1)], fill=_shift(color, -60))
    draw.rounded_rectangle((x0 + 20, y0, x1, y1), width / 3, fill=_shift(color, -25))
    draw.rectangle((x0 + 24, y0 + width * 0.2, x1 - 4, y0 + width * 0.7), fill=color)
    draw.rectangle((x0 + 24, y0 + width * 0.3, x1 - 8, y0 + width * 0.42), fill=_shift(color, 70))
    if rng.random() < 0.6:
        cut = rng.uniform(0.55, 0.75) * _SIDE
        draw.rectangle((cut, y0, x1 - 2, y1), fill=random_color(rng))
    return image


def _round(rng: np.random.Generator) -> Image.Image:
    """Draw a cup, plate, coin or lid from above."""
    image, draw = _blank(_SIDE, _SIDE)
    color = random_color(rng, 40, 256)
    radius, center = _SIDE / 2 - _PAD, _SIDE / 2
    if rng.random() < 0.3:  # a handle
        draw.rectangle((center, center - 14, _SIDE - _PAD, center + 14), fill=_shift(color, -20))
        radius *= 0.8
    for _ in range(int(rng.integers(1, 6))):
        draw.ellipse((center - radius, center - radius, center + radius, center + radius), fill=color)
        radius *= rng.uniform(0.6, 0.95)
        dark = rng.random() < 0.2
        color = random_color(rng, 20, 90) if dark else _shift(color, int(rng.integers(-35, 36)))
    return image


def _cable(rng: np.random.Generator) -> Image.Image:
    image, draw = _blank(_SIDE, _SIDE)
    knots = rng.uniform(-0.2 * _SIDE, 1.2 * _SIDE, (4, 2))
    t = np.linspace(0, 1, 50)[:, None]
    curve = (1 - t) ** 3 * knots[0] + 3 * (1 - t) ** 2 * t * knots[1]
    curve = np.clip(curve + 3 * (1 - t) * t**2 * knots[2] + t**3 * knots[3], 6, _SIDE - 6)
    points = [(float(x), float(y)) for x, y in curve]
    color = random_color(rng, 0, 70) if rng.random() < 0.6 else random_color(rng)
    width = int(rng.integers(4, 10))
    draw.line(points, fill=color, width=width, joint="curve")
    draw.line(points, fill=_shift(color, 40), width=max(1, width // 3), joint="curve")
    return image


def _blob(rng: np.random.Generator) -> Image.Image:
    """Draw a smooth closed outline, such as a leaf, crumb or toy."""
    image, draw = _blank(_SIDE, _SIDE)
    angle = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    radius = np.ones_like(angle)
    for harmonic in range(2, 6):
        radius += rng.normal(0, 0.35 / harmonic) * np.sin(harmonic * angle + rng.uniform(0, 6))
    radius = np.clip(radius, 0.3, None)
    color = random_color(rng)
    for shrink in np.linspace(1, 0.4, 5):
        r = radius / radius.max() * (_SIDE / 2 - _PAD) * shrink
        outline = zip(_SIDE / 2 + r * np.cos(angle), _SIDE / 2 + r * np.sin(angle), strict=True)
        draw.polygon([(float(x), float(y)) for x, y in outline], fill=color)
        color = _shift(color, 7)
    return image


def _glasses(rng: np.random.Generator) -> Image.Image:
    image, draw = _blank(_SIDE, _SIDE // 2)
    color, width = random_color(rng, 0, 120), int(rng.integers(3, 10))
    for x in (20, 140):
        draw.rounded_rectangle((x, 30, x + 95, 100), 30, outline=color, width=width, fill=(255, 255, 255, 40))
    draw.line((113, 55, 142, 55), fill=color, width=width)
    draw.line((20, 50, 8, 8), fill=color, width=width)
    draw.line((235, 50, 248, 8), fill=color, width=width)
    return image


def _keyboard(rng: np.random.Generator) -> Image.Image:
    image, draw = _blank(_SIDE, int(_SIDE * rng.uniform(0.3, 0.45)))
    body = random_color(rng, 10, 60) if rng.random() < 0.6 else random_color(rng, 180, 240)
    draw.rounded_rectangle((_PAD, _PAD, image.width - _PAD, image.height - _PAD), 6, fill=body)
    _keys(draw, rng, (_PAD + 5, _PAD + 5, image.width - _PAD - 5, image.height - _PAD - 5), body)
    return image


def _keys(
    draw: ImageDraw.ImageDraw, rng: np.random.Generator, box: tuple[float, float, float, float], body: Color
) -> None:
    rows, columns = int(rng.integers(4, 7)), int(rng.integers(12, 17))
    key = _shift(body, 30 if sum(body) < 380 else -40)
    dx, dy = (box[2] - box[0]) / columns, (box[3] - box[1]) / rows
    for row in range(rows):
        for column in range(columns):
            x, y = box[0] + column * dx, box[1] + row * dy
            draw.rectangle((x, y, x + dx * 0.8, y + dy * 0.8), fill=key)


def _laptop(rng: np.random.Generator) -> Image.Image:
    image, draw = _blank(_SIDE, int(_SIDE * 0.68))
    w, h = image.size
    body = random_color(rng, 20, 50) if rng.random() < 0.5 else _shift((190, 192, 196), int(rng.integers(-40, 40)))
    draw.rounded_rectangle((_PAD, _PAD, w - _PAD, h - _PAD), 8, fill=body)
    _keys(draw, rng, (w * 0.08, h * 0.1, w * 0.92, h * 0.55), _shift(body, -60))
    draw.rectangle((w * 0.35, h * 0.62, w * 0.65, h * 0.92), fill=_shift(body, -12), outline=_shift(body, -35))
    return image


def _window(rng: np.random.Generator) -> Image.Image:
    image, draw = _blank(_SIDE, int(_SIDE * rng.uniform(0.7, 1.0)))
    w, h = image.size
    frame = random_color(rng, 120, 250) if rng.random() < 0.7 else random_color(rng, 20, 90)
    draw.rectangle((_PAD, _PAD, w - _PAD, h - _PAD), fill=frame)
    columns, rows = int(rng.integers(2, 5)), int(rng.integers(2, 5))
    pane = random_color(rng, 150, 250) if rng.random() < 0.6 else random_color(rng, 20, 150)
    dx, dy = (w - 2 * _PAD) / columns, (h - 2 * _PAD) / rows
    for column in range(columns):
        for row in range(rows):
            x, y = _PAD + column * dx, _PAD + row * dy
            tint = _shift(pane, int(rng.integers(-25, 26)))
            draw.rectangle((x + 4, y + 4, x + dx - 4, y + dy - 4), fill=tint)
    return image


def _phone(rng: np.random.Generator) -> Image.Image:
    image, draw = _blank(_SIDE // 2, _SIDE)
    w, h = image.size
    draw.rounded_rectangle((_PAD, _PAD, w - _PAD, h - _PAD), 18, fill=random_color(rng, 10, 90))
    draw.rounded_rectangle((_PAD + 5, _PAD + 5, w - _PAD - 5, h - _PAD - 5), 14, fill=random_color(rng, 5, 40))
    if rng.random() < 0.3:
        for _ in range(12):
            x, y = rng.uniform(16, w - 40), rng.uniform(24, h - 50)
            draw.rectangle((x, y, x + 22, y + 22), fill=random_color(rng, 60, 200))
    return image


def _tray(rng: np.random.Generator) -> Image.Image:
    """Draw a mouse mat, tray or closed book: a dark or strongly colored rounded rectangle with an inner frame."""
    image, draw = _blank(_SIDE, int(_SIDE * rng.uniform(0.6, 0.9)))
    w, h = image.size
    color = random_color(rng, 10, 130)
    draw.rounded_rectangle((_PAD, _PAD, w - _PAD, h - _PAD), int(rng.integers(2, 24)), fill=color)
    inset = rng.uniform(0.05, 0.15) * h
    draw.rounded_rectangle((inset, inset, w - inset, h - inset), 8, outline=_shift(color, 35), width=3)
    draw.rectangle((w * 0.1, _PAD, w * 0.16, h - _PAD), fill=_shift(color, -18))
    return image


def _monitor(rng: np.random.Generator) -> Image.Image:
    """Draw a monitor that shows windows: bright, with text, but not a document."""
    image, draw = _blank(_SIDE, int(_SIDE * rng.uniform(0.66, 0.8)))
    w, h = image.size
    draw.rectangle((w * 0.4, h * 0.8, w * 0.6, h - _PAD), fill=random_color(rng, 30, 120))
    draw.rounded_rectangle((_PAD, _PAD, w - _PAD, h * 0.86), 5, fill=random_color(rng, 5, 60))
    draw.rectangle((_PAD + 6, _PAD + 6, w - _PAD - 6, h * 0.82), fill=random_color(rng, 20, 230))
    for _ in range(int(rng.integers(1, 4))):
        x, y = rng.uniform(0.06, 0.4) * w, rng.uniform(0.06, 0.3) * h
        right, low = x + rng.uniform(0.2, 0.5) * w, y + rng.uniform(0.2, 0.45) * h
        draw.rectangle((x, y, right, low), fill=random_color(rng, 180, 256))
        draw.rectangle((x, y, right, y + 8), fill=random_color(rng, 40, 160))
        for line in np.arange(y + 14, low - 4, 6):
            draw.line((x + 5, line, x + rng.uniform(0.4, 0.95) * (right - x), line), fill=(90, 90, 95), width=2)
    return image


def _box(rng: np.random.Generator) -> Image.Image:
    """Draw a cardboard box with tape."""
    image, draw = _blank(_SIDE, int(_SIDE * rng.uniform(0.6, 0.95)))
    w, h = image.size
    brown = _shift((176, 136, 92), int(rng.integers(-45, 40)))
    draw.rectangle((_PAD, _PAD, w - _PAD, h - _PAD), fill=brown)
    middle, tape = h * rng.uniform(0.4, 0.6), h * rng.uniform(0.05, 0.12)
    draw.rectangle((_PAD, middle - tape, w - _PAD, middle + tape), fill=_shift(brown, int(rng.integers(-30, 45))))
    draw.line((_PAD, middle, w - _PAD, middle), fill=_shift(brown, -50), width=2)
    for x in (w * 0.12, w * 0.88):
        draw.line((x, _PAD, x, h - _PAD), fill=_shift(brown, -12), width=1)
    return image


_SMALL: tuple[Callable[[np.random.Generator], Image.Image], ...] = (
    _pen,
    _round,
    _cable,
    _blob,
    _pen,
    _glasses,
)
_DEVICES: tuple[Callable[[np.random.Generator], Image.Image], ...] = (
    _keyboard,
    _laptop,
    _window,
    _phone,
    _tray,
    _keyboard,
    _monitor,
    _box,
)
