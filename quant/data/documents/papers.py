"""Generate paper colors and traces of wear. Gains are float arrays ``(h, w)`` or ``(h, w, 3)`` around 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

from quant.data.documents import ink
from quant.data.documents.ink import Color

_Gain = NDArray[np.float64]
_Range = tuple[float, float]


@dataclass(frozen=True)
class _Tone:
    """Ranges of a paper color."""

    hue: _Range
    """In turns."""

    saturation: _Range
    """0..1."""

    value: _Range
    """0..1."""


_TONES = {
    "white": _Tone((0, 1), (0.0, 0.02), (0.93, 1.0)),
    "off-white": _Tone((0.08, 0.16), (0.02, 0.06), (0.9, 0.98)),
    "cool": _Tone((0.54, 0.66), (0.02, 0.06), (0.9, 0.99)),
    "cream": _Tone((0.1, 0.15), (0.07, 0.16), (0.88, 0.98)),
    "gray": _Tone((0, 1), (0.0, 0.04), (0.6, 0.88)),
    "recycled": _Tone((0.08, 0.14), (0.06, 0.13), (0.68, 0.85)),
    "pastel": _Tone((0, 1), (0.14, 0.3), (0.86, 1.0)),
    "sticky": _Tone((0.12, 0.17), (0.35, 0.65), (0.93, 1.0)),
    "neon": _Tone((0, 1), (0.3, 0.6), (0.9, 1.0)),
    "strong": _Tone((0, 1), (0.5, 0.9), (0.45, 0.85)),
    "kraft": _Tone((0.07, 0.1), (0.32, 0.48), (0.55, 0.76)),
    "black": _Tone((0, 1), (0.0, 0.25), (0.06, 0.24)),
    "deep": _Tone((0, 1), (0.45, 0.9), (0.14, 0.36)),
}

_DEFAULT = {"white": 0.4, "off-white": 0.2, "cool": 0.1, "cream": 0.08, "gray": 0.08, "recycled": 0.06, "pastel": 0.08}
_SHEET = {"white": 0.37, "off-white": 0.15, "cool": 0.07, "cream": 0.06, "gray": 0.06, "recycled": 0.04}
_SHEET |= {"pastel": 0.07, "strong": 0.05, "kraft": 0.01, "black": 0.085, "deep": 0.085}
_CARD = {"white": 0.2, "off-white": 0.06, "cool": 0.06, "cream": 0.04, "gray": 0.05, "pastel": 0.08}
_CARD |= {"strong": 0.14, "kraft": 0.03, "black": 0.2, "deep": 0.17}
_ID = {"white": 0.2, "cool": 0.2, "pastel": 0.35, "cream": 0.08, "gray": 0.05, "strong": 0.06, "deep": 0.09}
_BOOK = {"white": 0.25, "off-white": 0.32, "cream": 0.29, "gray": 0.04, "recycled": 0.08, "black": 0.02}
_NOTEBOOK = {
    "white": 0.38,
    "off-white": 0.24,
    "cream": 0.14,
    "cool": 0.06,
    "pastel": 0.06,
    "kraft": 0.05,
    "black": 0.07,
}
_NOTE = {"white": 0.18, "off-white": 0.08, "sticky": 0.3, "neon": 0.2, "pastel": 0.1, "kraft": 0.06, "black": 0.08}
_PHOTO = {"white": 0.58, "off-white": 0.18, "black": 0.24}
_KIND_TONES = {"a4": _SHEET, "letter": _SHEET, "card": _CARD, "business-card": _CARD, "id-card": _ID, "book": _BOOK}
_KIND_TONES |= {"spread": _BOOK, "notebook": _NOTEBOOK, "note": _NOTE, "photo": _PHOTO}


def color(rng: np.random.Generator, kind: str, share: float) -> Color:
    """Return a paper color for a kind of page. ``share`` 0..1 selects the tone according to its rate."""
    rates = _KIND_TONES.get(kind, _DEFAULT)
    steps = np.cumsum(list(rates.values()))
    tone = _TONES[list(rates)[int(np.searchsorted(steps / steps[-1], share, side="right"))]]
    hue, saturation, value = (float(rng.uniform(*span)) for span in (tone.hue, tone.saturation, tone.value))
    if 0.7 < hue < 0.92 and rng.random() < 0.6:  # purple paper is rare
        hue -= 0.3
    return ink.from_hsv(hue, saturation, value)


def fibres(rng: np.random.Generator, image: Image.Image) -> Image.Image:
    """Return the page with the uneven texture of recycled or kraft paper."""
    w, h = image.size
    noise = rng.normal(0, rng.uniform(2, 7), (h // 2, w // 2)).astype(np.float32)
    grain = Image.fromarray(np.clip(244 + noise, 0, 255).astype(np.uint8)).resize((w, h), Image.Resampling.BILINEAR)
    return ImageChops.multiply(image, Image.merge("RGB", (grain,) * 3))


def show_through(rng: np.random.Generator, image: Image.Image, back: Image.Image) -> Image.Image:
    """Return the page with the mirrored print of its back, an image of equal size, showing through."""
    share = float(rng.uniform(0.03, 0.1))
    pale = back.transpose(Image.Transpose.FLIP_LEFT_RIGHT).filter(ImageFilter.BoxBlur(1))
    return ImageChops.multiply(image, pale.point([round(255 - (255 - v) * share) for v in range(256)] * 3))


def worn(rng: np.random.Generator, image: Image.Image, kind: str) -> Image.Image:
    """Return the page with shading of folds, curl, gutters and crumpling, and with stains and yellowing."""
    w, h = image.size
    x, y = np.meshgrid(np.linspace(0, 1, w // 2), np.linspace(0, 1, h // 2))
    gain: _Gain = np.ones_like(x)
    stiff = "card" in kind or kind == "photo"
    if rng.random() < 0.4 or kind in ("book", "spread"):
        gain += rng.uniform(-0.12, 0.12) * np.sin(np.pi * (rng.uniform(0.5, 1.5) * x + rng.uniform(-1, 1) * y))
    if kind == "book":
        gain -= _gutter(rng, x if rng.random() < 0.5 else 1 - x, 1.0)
    if kind == "spread":
        gain -= _gutter(rng, np.clip(0.5 - x, 0, 1), 0.5) * (x < 0.5) + _gutter(rng, np.clip(x - 0.5, 0, 1), 0.5) * (
            x >= 0.5
        )
    if not stiff and kind not in ("book", "spread") and rng.random() < 0.45:
        gain += _folds(rng, x, y)
    if not stiff and rng.random() < 0.14:
        gain += _facets(rng, x, y)
    tinted = gain[..., None] * np.ones(3)
    if rng.random() < (0.03 if stiff else 0.1):
        tinted *= _stains(rng, x, y, w / h)
    if not stiff and rng.random() < 0.1:
        tinted *= _yellowed(rng, x, y)
    light = Image.fromarray(np.clip(tinted * 246, 0, 255).astype(np.uint8)).resize((w, h), Image.Resampling.BILINEAR)
    return ImageChops.multiply(image, light)


def _gutter(rng: np.random.Generator, away: _Gain, width: float) -> _Gain:
    """Return the shade at the spine of a book. ``away`` is the distance from the spine."""
    deep = rng.uniform(0.2, 0.6) * np.exp(-away / (width * rng.uniform(0.02, 0.07)))
    return np.asarray(deep + rng.uniform(0.0, 0.15) * np.exp(-away / (width * rng.uniform(0.1, 0.25))))


def _folds(rng: np.random.Generator, x: _Gain, y: _Gain) -> _Gain:
    gain = np.zeros_like(x)
    for _ in range(int(rng.integers(1, 4))):
        angle = rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.02) + (rng.random() < 0.2) * rng.uniform(0, 3)
        offset = rng.choice([1 / 3, 0.5, 2 / 3, rng.uniform(0.1, 0.9)])
        d = (x - offset) * np.cos(angle) + (y - offset) * np.sin(angle)
        gain += rng.uniform(-0.09, 0.09) * np.tanh(d / rng.uniform(0.004, 0.08))
        gain += rng.uniform(-0.16, 0.08) * np.exp(-((d / rng.uniform(0.002, 0.008)) ** 2))
    return gain


def _facets(rng: np.random.Generator, x: _Gain, y: _Gain) -> _Gain:
    """Return the gain of crumpled paper: flat pieces with different brightness and slope."""
    small_x, small_y = x[::3, ::3], y[::3, ::3]
    count = int(rng.integers(12, 60))
    sites = rng.uniform(0, 1, (count, 2))
    slopes = rng.normal(0, 0.25, (count, 2))
    jagged, _ = rng.normal(
        0, 0.02, (2, *small_x.shape)
    )  # the second half is unused; drawing less would change the validation pictures
    near = ((small_x + jagged)[..., None] - sites[:, 0]) ** 2 + (small_y[..., None] - sites[:, 1]) ** 2
    cell = near.argmin(axis=2)
    rise = (small_x - sites[cell, 0]) * slopes[cell, 0] + (small_y - sites[cell, 1]) * slopes[cell, 1]
    light = rng.normal(0, 1, count)[cell] * 0.5 + rise * 4
    smooth = Image.fromarray(light.astype(np.float32)).resize(x.shape[::-1], Image.Resampling.BILINEAR)
    return np.asarray(smooth, float) * rng.uniform(0.02, 0.09)


def _stains(rng: np.random.Generator, x: _Gain, y: _Gain, aspect: float) -> _Gain:
    """Return the gain of brown cup rings and spots."""
    gain: _Gain = np.ones((*x.shape, 3))
    brown = np.array([0.16, 0.27, 0.4]) * rng.uniform(0.5, 1.3)
    for _ in range(int(rng.integers(1, 4))):
        middle, r = rng.uniform(0, 1, 2), rng.uniform(0.04, 0.16)
        dx, dy = (x - middle[0]) * aspect, y - middle[1]
        d = np.hypot(dx, dy) - r * (1 + 0.03 * np.sin(3 * np.arctan2(dy, dx) + r * 100))
        ring = np.exp(-((d / (0.08 * r)) ** 2)) * rng.uniform(0.4, 1.0)
        inside = rng.uniform(0.0, 0.4) / (1 + np.exp(np.clip(d / 0.004, -50, 50)))
        gain -= (ring + inside)[..., None] * brown
    return np.clip(gain, 0.2, 1)


def _yellowed(rng: np.random.Generator, x: _Gain, y: _Gain) -> _Gain:
    edge = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
    share = rng.uniform(0.3, 1.0) * np.exp(-edge / rng.uniform(0.03, 0.12)) + rng.uniform(0, 0.4)
    return np.asarray(1 - share[..., None] * np.array([0.05, 0.11, 0.27]))
