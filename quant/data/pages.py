"""Flat page textures: paper, print, folds and the outline of rounded or curled sheets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw

from quant.data import ink
from quant.data.ink import Colour, Pen
from quant.data.poses import Size

MARGIN = 16
"""Px of repeated border around a page, so that bilinear sampling at the sheet's edge meets paper."""

POOL = 140
"""Number of different pages; all stay cached, at most about 1.1 MB each."""

_LONG_SIDE = 640
_KINDS = ("a4", "letter", "receipt", "card", "business-card", "book", "note")
_KIND_RATES = (0.31, 0.12, 0.15, 0.15, 0.09, 0.11, 0.07)


@dataclass(frozen=True)
class Page:
    """A flat sheet.

    image: RGB, the page with `MARGIN` px around it. size: (width, height) of the page without margin, px.
    cutout: L like `image`, 255 where there is paper; None for a sheet with straight edges and sharp corners.
    kind: one of a4, letter, receipt, card, business-card, book, note, blank.
    """

    image: Image.Image
    size: Size
    cutout: Image.Image | None
    kind: str


def page(index: int) -> Page:
    """Return page number `index` of the pool (any integer >= 0 is valid; equal index, equal bytes)."""
    pixels, size, cutout, kind = _render(index)
    return Page(Image.fromarray(pixels), size, cutout, kind)


@lru_cache(maxsize=POOL)
def _render(index: int) -> tuple[NDArray[np.uint8], Size, Image.Image | None, str]:
    # Cached as an array: Pillow spends four bytes on an RGB pixel.
    rng = np.random.default_rng([index, 0x9A6E])
    kind = str(rng.choice(_KINDS, p=_KIND_RATES))
    size = _page_size(rng, kind)
    paper = _paper_colour(rng, kind)
    image = Image.new("RGB", size, paper)
    _print(rng, image, kind, paper)
    image = _shade(rng, image, kind)
    cutout = _cutout(rng, size, kind)
    return _with_margin(image), size, cutout, kind


def plain_page(size: Size, colour: Colour = (255, 255, 255)) -> Page:
    """Return an empty sheet of one colour; size is (width, height) in px."""
    full = (size[0] + 2 * MARGIN, size[1] + 2 * MARGIN)
    return Page(Image.new("RGB", full, colour), size, None, "blank")


def _page_size(rng: np.random.Generator, kind: str) -> Size:
    aspects = {
        "a4": 210 / 297,
        "letter": 8.5 / 11,
        "receipt": rng.uniform(0.22, 0.55),
        "card": 54 / 85.6,
        "business-card": rng.uniform(0.52, 0.66),
        "book": rng.uniform(0.6, 0.78),
        "note": rng.uniform(0.9, 1.0),
    }
    short = round(_LONG_SIDE * float(aspects[kind]))
    upright = 0.15 if "card" in kind else 0.97 if kind == "receipt" else 0.85
    return (short, _LONG_SIDE) if rng.random() < upright else (_LONG_SIDE, short)


def _paper_colour(rng: np.random.Generator, kind: str) -> Colour:
    draw = rng.random() + (0.25 if "card" in kind or kind == "note" else 0.0)
    if draw < 0.6:
        level = int(rng.integers(225, 256))
        return level, level, min(255, level + int(rng.integers(-6, 5)))
    if draw < 0.75:
        return int(rng.integers(230, 256)), int(rng.integers(220, 245)), int(rng.integers(185, 225))
    if draw < 0.92:
        return ink.random_colour(rng, 150, 256)
    if draw < 1.1:
        return ink.random_colour(rng, 30, 230)
    return ink.random_colour(rng, 15, 70)


def _print(rng: np.random.Generator, image: Image.Image, kind: str, paper: Colour) -> None:
    light = sum(paper) > 330
    colour = ink.random_colour(rng, 0, 80) if light else ink.random_colour(rng, 190, 256)
    pen = Pen(image, ImageDraw.Draw(image), rng, colour, ink.random_colour(rng, 20, 220))
    if "card" in kind:
        _print_card(pen)
        return
    if rng.random() < (0.5 if kind == "note" else 0.1):
        _rule_lines(pen, paper)
    if rng.random() < 0.06:
        return  # A blank sheet is a common and hard case: nothing but its outline marks it.
    w, h = image.size
    if rng.random() < 0.14:  # Printed frames and bands: straight lines that are not the outline.
        inset = rng.uniform(0.015, 0.07) * min(w, h)
        pen.draw.rectangle((inset, inset, w - inset, h - inset), None, pen.accent, int(rng.integers(1, 6)))
    if rng.random() < 0.1:
        pen.draw.rectangle((0, 0, w, h * rng.uniform(0.03, 0.2)), fill=pen.accent)
    size = int(rng.integers(9, 22)) if kind in ("receipt", "note") else int(rng.integers(6, 14))
    pad_x, pad_y = w * rng.uniform(0.03, 0.13), h * rng.uniform(0.02, 0.11)
    end = h * (rng.uniform(0.3, 0.9) if rng.random() < 0.3 else 0.97) - pad_y
    columns = 2 if w > 380 and rng.random() < 0.25 else 1
    width = (w - 2 * pad_x) / columns
    for column in range(columns):
        x = pad_x + column * width
        ink.fill(pen, (x, pad_y, x + width * (0.94 if columns > 1 else 1.0), end), size)
    if rng.random() < 0.2:
        ink.stamp(pen, (w * 0.2, h * 0.2, w * 0.8, h * 0.9), size)
    if rng.random() < 0.25:
        ink.signature(pen, (w * 0.55, h * 0.84, w * 0.9, h * 0.94))


def _print_card(pen: Pen) -> None:
    rng, (w, h) = pen.rng, pen.image.size
    if rng.random() < 0.45:  # Full-bleed artwork; the page margin is made later from its border.
        cells = np.clip(np.array(ink.random_colour(rng)) + rng.integers(-70, 71, (3, 4, 3)), 0, 255)
        art = Image.fromarray(cells.astype(np.uint8)).resize((w, h), Image.Resampling.BICUBIC)
        pen.image.paste(art, (0, 0))
    if rng.random() < 0.4:
        band = h * rng.uniform(0.08, 0.3)
        top = rng.uniform(0, h - band)
        pen.draw.rectangle((0, top, w, top + band), fill=pen.accent)
    if rng.random() < 0.4:
        ink.picture(pen, (w * 0.06, h * 0.25, w * 0.33, h * 0.8))
    if rng.random() < 0.35:
        pen.draw.rounded_rectangle((w * 0.1, h * 0.36, w * 0.24, h * 0.52), 8, fill=(205, 170, 90))
    size = int(rng.integers(16, 34))
    left = w * rng.uniform(0.06, 0.45)
    for line in range(int(rng.integers(1, 7))):
        ink.headline(pen, (left, h * (0.1 + 0.13 * line), w * 0.95, h), size if line else size * 3 // 2)


def _rule_lines(pen: Pen, paper: Colour) -> None:
    rng, (w, h) = pen.rng, pen.image.size
    step = rng.uniform(12, 30)
    r, g, b = (int(v * rng.uniform(0.6, 0.92)) for v in paper)
    for y in np.arange(step, h, step):
        pen.draw.line((0, y, w, y), fill=(r, g, b))
    if rng.random() < 0.4:
        for x in np.arange(step, w, step):
            pen.draw.line((x, 0, x, h), fill=(r, g, b))


def _shade(rng: np.random.Generator, image: Image.Image, kind: str) -> Image.Image:
    """Multiply the page by the light that folds, curl and unevenness leave on it."""
    w, h = image.size
    x, y = np.meshgrid(np.linspace(0, 1, w // 2), np.linspace(0, 1, h // 2))
    gain: NDArray[np.float64] = np.ones_like(x)
    if rng.random() < 0.4 or kind == "book":
        gain += rng.uniform(-0.12, 0.12) * np.sin(np.pi * (rng.uniform(0.5, 1.5) * x + rng.uniform(-1, 1) * y))
    if kind == "book":  # Darker towards the spine.
        gain -= rng.uniform(0.1, 0.5) * np.exp(-(x if rng.random() < 0.5 else 1 - x) / rng.uniform(0.03, 0.12))
    folds = 0 if "card" in kind or rng.random() < 0.5 else int(rng.integers(1, 4))
    for _ in range(folds):
        angle = rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.02) + (rng.random() < 0.2) * rng.uniform(0, 3)
        offset = rng.choice([1 / 3, 0.5, 2 / 3, rng.uniform(0.1, 0.9)])
        d = (x - offset) * np.cos(angle) + (y - offset) * np.sin(angle)
        gain += rng.uniform(-0.09, 0.09) * np.tanh(d / rng.uniform(0.004, 0.08))
        gain += rng.uniform(-0.16, 0.08) * np.exp(-((d / rng.uniform(0.002, 0.008)) ** 2))
    if rng.random() < 0.15:  # Crumpled paper: facets of light.
        cells = rng.normal(0, 1, (9, 7)).astype(np.float32)
        rough = np.asarray(Image.fromarray(cells).resize(x.shape[::-1], Image.Resampling.BILINEAR))
        gain += rng.uniform(0.02, 0.07) * rough
    light = Image.fromarray(np.clip(gain * 246, 0, 255).astype(np.uint8))
    light = light.resize((w, h), Image.Resampling.BILINEAR)
    return ImageChops.multiply(image, Image.merge("RGB", (light, light, light)))


def _cutout(rng: np.random.Generator, size: Size, kind: str) -> Image.Image | None:
    w, h = size
    # Twice the size, then halved: the outline itself gets soft steps.
    full = (2 * (w + 2 * MARGIN), 2 * (h + 2 * MARGIN))
    if "card" in kind and (kind == "card" or rng.random() < 0.3):
        mask = Image.new("L", full, 0)
        box = (0, 0, full[0], full[1])
        radius = w_radius = 2 * rng.uniform(0.02, 0.05) * max(size)
        inner = (2 * MARGIN, 2 * MARGIN, 2 * (w + MARGIN) - 1, 2 * (h + MARGIN) - 1)
        mask.paste(255, box)
        ring = Image.new("L", full, 0)
        ImageDraw.Draw(ring).rounded_rectangle(inner, radius, fill=255)
        # Outside the page the mask stays 255 except beside the rounded corners, so that the straight
        # edges are cut by the exact polygon alone and not a second time by this texture.
        reach = round(w_radius)
        for x in (0, full[0] - 2 * MARGIN - reach):
            for y in (0, full[1] - 2 * MARGIN - reach):
                part = (x, y, x + 2 * MARGIN + reach, y + 2 * MARGIN + reach)
                mask.paste(ring.crop(part), part)
        return mask.reduce(2)
    if "card" not in kind and rng.random() < 0.2:
        return _bowed_mask(rng, size)
    return None


def _bowed_mask(rng: np.random.Generator, size: Size) -> Image.Image:
    """Mask of a sheet whose edges bow inwards a little between exact corners."""
    w, h = size
    mask = Image.new("L", (2 * (w + 2 * MARGIN), 2 * (h + 2 * MARGIN)), 255)
    draw = ImageDraw.Draw(mask)
    t = np.linspace(0, 1, 40)
    corners = 2.0 * (np.array([(0, 0), (w, 0), (w, h), (0, h)]) + MARGIN)
    for side in range(4):
        if rng.random() < 0.5:
            continue
        a, b = corners[side], corners[(side + 1) % 4]
        inward = np.array([a[1] - b[1], b[0] - a[0]]) / np.hypot(*(b - a))
        bow = 2 * _LONG_SIDE * rng.uniform(0.002, 0.012) * 4 * t * (1 - t)
        curve = a + (b - a) * t[:, None] + inward * bow[:, None]
        outline = [*curve, b - inward * 2 * MARGIN, a - inward * 2 * MARGIN]
        draw.polygon([(float(p[0]), float(p[1])) for p in outline], fill=0)
    return mask.reduce(2)


def _with_margin(image: Image.Image) -> NDArray[np.uint8]:
    return np.pad(np.asarray(image), ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)), mode="edge")
