"""Apply photographic effects to a composed scene: light, shadow, glare, blur, noise and JPEG compression."""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from quant.data.documents.difficulty import Difficulty

_GRAIN_SIDE = 1024
_LIGHT_STEP = 4  # px; light varies smoothly, so a quarter of the resolution is enough


def develop(
    rng: np.random.Generator, picture: Image.Image, hard: Difficulty
) -> tuple[NDArray[np.uint8], frozenset[str]]:
    """Turn an evenly lit RGB picture into a photo.

    No effect moves the content of the picture: blurs are symmetric about each pixel.

    Returns:
        The photo ``(H, W, 3)`` uint8, and the names of the effects.
    """
    names: set[str] = set()
    picture = _light(rng, picture, hard, names)
    picture = _blur(rng, picture, hard, names)
    picture = _grain(rng, picture, hard, names)
    picture = _tone(rng, picture, names)
    return np.array(_jpeg(rng, picture, hard, names)), frozenset(names)


def _light(rng: np.random.Generator, picture: Image.Image, hard: Difficulty, names: set[str]) -> Image.Image:
    size = (-(-picture.width // _LIGHT_STEP), -(-picture.height // _LIGHT_STEP))
    x, y = np.meshgrid(np.linspace(-1, 1, size[0]), np.linspace(-1, 1, size[1]))
    gain = np.ones((size[1], size[0]))
    if rng.random() < 0.5:  # light from one side
        angle = rng.uniform(0, 2 * np.pi)
        gain *= 1 + rng.uniform(0, 0.35) * (x * np.cos(angle) + y * np.sin(angle)) / 1.4
    if rng.random() < 0.5:
        gain *= 1 - rng.uniform(0, 0.25) * (x**2 + y**2)
    if rng.random() < hard.shadow:
        gain *= _cast_shadow(rng, size)
        names.add("shadow")
    exposure = rng.uniform(0.3, 0.6) if rng.random() < hard.dark else rng.uniform(0.75, 1.1)
    names.update({"dark"} if exposure < 0.6 else ())
    gain *= exposure
    if rng.random() < hard.flash:
        gain *= _flash(rng, x, y)
        names.add("flash")
    glare = _glare(rng, x, y) if rng.random() < hard.glare else None
    cast = rng.random() < hard.white_balance
    names.update({"white-balance"} if cast else ())
    white = _color_cast(rng) if cast else rng.normal(1, 0.05, 3).clip(0.85, 1.15)
    gain = gain if glare is None else gain * (1 - glare)
    pixels = np.asarray(picture) * _enlarge(gain, picture.size)[..., None]
    pixels *= white.astype(np.float32)
    if glare is not None:
        names.add("glare")
        pixels += _enlarge(255 * glare, picture.size)[..., None]
    return Image.fromarray(np.clip(pixels, 0, 255, out=pixels).astype(np.uint8))


def _flash(rng: np.random.Generator, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the gain of a phone's flash: too bright at its center, and falling with the squared distance."""
    cx, cy = rng.uniform(-0.4, 0.4, 2)
    squared = (x - cx) ** 2 + (y - cy) ** 2
    return np.asarray(rng.uniform(1.1, 1.9) / (1 + rng.uniform(0.4, 1.6) * squared))


def _color_cast(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the gain of each channel without white balance, from the orange of a bulb to the blue of shade."""
    warmth, green = rng.choice([-1, 1]) * rng.uniform(0.12, 0.35), rng.normal(0, 0.06)
    return np.array([1 + warmth * 0.6, 1 + green, 1 - warmth])


def _enlarge(field: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float32]:
    small = Image.fromarray(field.astype(np.float32))
    return np.asarray(small.resize(size, Image.Resampling.BILINEAR))


def _cast_shadow(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float64]:
    """Return the gain 0..1 of a soft shadow of a hand, a head, a window frame or blinds."""
    w, h = size
    mask = Image.new("L", size, 0)
    draw = ImageDraw.Draw(mask)
    kind = rng.random()
    if kind < 0.45:  # a half plane or wedge
        angle = rng.uniform(0, 2 * np.pi)
        center = rng.uniform((0.1 * w, 0.1 * h), (0.9 * w, 0.9 * h))
        turns = angle + np.array([-1.57, -0.6, 0.6, 1.57]) * rng.uniform(0.5, 1.0)
        rim = center + 2 * (w + h) * np.column_stack([np.cos(turns), np.sin(turns)])
        points = [(float(a), float(b)) for a, b in [center, *rim]]
        draw.polygon(points, fill=255)
    elif kind < 0.8:  # a head, arm or phone that reaches in from the side
        start, end = rng.uniform(-0.3, 1.3, (2, 2)) * (w, h)
        width = int(rng.uniform(0.12, 0.5) * min(w, h))
        draw.line((start[0], start[1], end[0], end[1]), fill=255, width=width)
        r = width * rng.uniform(0.5, 0.9)
        draw.ellipse((end[0] - r, end[1] - r, end[0] + r, end[1] + r), fill=255)
    else:  # blinds or a window frame
        slope, step = rng.uniform(-1, 1), rng.uniform(0.08, 0.4) * h
        for y in np.arange(-h, 2 * h, step):
            draw.line((0, y, w, y + slope * w), fill=255, width=max(1, int(step * rng.uniform(0.2, 0.6))))
    rim_px = rng.uniform(0.002, 0.06) * max(size)
    soft = np.asarray(mask.filter(ImageFilter.GaussianBlur(rim_px)), dtype=np.float64)
    return np.asarray(1 - rng.uniform(0.15, 0.65) * soft / 255)


def _glare(rng: np.random.Generator, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share 0..1 of white that the reflection of a lamp or a window adds."""
    total = np.zeros_like(x)
    for _ in range(int(rng.integers(1, 3))):
        cx, cy, angle = rng.uniform(-0.9, 0.9), rng.uniform(-0.9, 0.9), rng.uniform(0, np.pi)
        u = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        v = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        distance = (u / rng.uniform(0.08, 0.5)) ** 2 + (v / rng.uniform(0.06, 0.25)) ** 2
        total += rng.uniform(0.4, 1.2) * np.exp(-(distance ** rng.uniform(0.6, 2.0)))
    return np.clip(total, 0, 1)


def _blur(rng: np.random.Generator, picture: Image.Image, hard: Difficulty, names: set[str]) -> Image.Image:
    unit = max(picture.size) / 512
    if rng.random() < hard.defocus:
        radius = rng.uniform(1.0, 3.2) * unit
        names.add("defocus")
        disc = rng.random() < 0.5
        return picture.filter(ImageFilter.BoxBlur(radius) if disc else ImageFilter.GaussianBlur(radius))
    if rng.random() < hard.motion:
        names.add("motion")
        return _motion(rng, picture, rng.uniform(3, 12) * unit)
    if rng.random() < 0.25:
        return picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 1.0) * unit))
    if rng.random() < hard.sharpened:  # the halo of a phone's sharpening filter
        names.add("sharpened")
        return picture.filter(ImageFilter.UnsharpMask(rng.uniform(1, 3) * unit, int(rng.integers(60, 200)), 2))
    return picture


def _motion(rng: np.random.Generator, picture: Image.Image, length: float) -> Image.Image:
    angle = rng.uniform(0, np.pi)
    half = max(1, round(length / 2))
    pad = half + 1
    pixels = np.pad(np.asarray(picture, dtype=np.uint16), ((pad, pad), (pad, pad), (0, 0)), mode="edge")
    h, w = picture.height, picture.width
    total = np.zeros((h, w, 3), np.uint16)
    # Offsets come in pairs +d and -d, so that the blur is centered on each pixel.
    steps = np.arange(-half, half + 1)
    for d in steps:
        dx, dy = round(d * np.cos(angle)), round(d * np.sin(angle))
        total += pixels[pad + dy : pad + dy + h, pad + dx : pad + dx + w]
    return Image.fromarray((total // len(steps)).astype(np.uint8))


@lru_cache(maxsize=1)
def _grain_tile() -> NDArray[np.float32]:
    rng = np.random.default_rng(0x6124)
    return rng.standard_normal((_GRAIN_SIDE, _GRAIN_SIDE), dtype=np.float32)


def _grain(rng: np.random.Generator, picture: Image.Image, hard: Difficulty, names: set[str]) -> Image.Image:
    strong = rng.random() < hard.noise
    sigma = rng.uniform(6, 20) if strong else rng.uniform(0.0, 4.0)
    if sigma < 1.0:
        return picture
    names.update({"noise"} if strong else ())
    h, w = picture.height, picture.width
    tile = _grain_tile()
    if max(h, w) >= _GRAIN_SIDE:
        tile = np.tile(tile, (h // _GRAIN_SIDE + 2, w // _GRAIN_SIDE + 2))
    channels = []
    shared = rng.random() < 0.4
    y, x = (int(v) for v in rng.integers(0, (tile.shape[0] - h, tile.shape[1] - w)))
    for band in picture.split():
        if not shared:
            y, x = (int(v) for v in rng.integers(0, (tile.shape[0] - h, tile.shape[1] - w)))
        noisy = np.asarray(band) + np.float32(sigma) * tile[y : y + h, x : x + w]
        channels.append(Image.fromarray(np.clip(noisy, 0, 255, out=noisy).astype(np.uint8)))
    return Image.merge("RGB", channels)


def _tone(rng: np.random.Generator, picture: Image.Image, names: set[str]) -> Image.Image:
    gamma, contrast = rng.uniform(0.7, 1.25), rng.uniform(0.8, 1.15)
    level = np.linspace(0, 1, 256) ** gamma
    curve = np.clip(((level - 0.5) * contrast + 0.5) * 255, 0, 255).round().astype(int)
    if rng.random() < 0.05:
        names.add("grayscale")
        picture = picture.convert("L").convert("RGB")
    return picture.point(curve.tolist() * 3)


def _jpeg(rng: np.random.Generator, picture: Image.Image, hard: Difficulty, names: set[str]) -> Image.Image:
    strong = rng.random() < hard.jpeg
    if not strong and rng.random() < 0.4:
        return picture
    quality = int(rng.integers(25, 60) if strong else rng.integers(60, 96))
    names.update({"jpeg"} if strong else ())
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")
