"""Generate textures of surfaces, such as wood, cloth, tiles, carpet and marble."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Field = NDArray[np.float32]

SIDE = 640
"""Side of a surface texture in px."""

POOL = 182
"""Number of different patterns. All stay cached, 0.4 MB each."""


@dataclass(frozen=True)
class Surface:
    """A pattern without color."""

    tone: Image.Image
    """L image of `SIDE` x `SIDE` px with a mean near 128 and a standard deviation near 45."""

    kind: str
    """Name of the pattern, such as ``wood``."""


@lru_cache(maxsize=POOL)
def surface(index: int) -> Surface:
    """Return the pattern of an index. Equal indices give equal bytes."""
    rng = np.random.default_rng([index, 0x50FA])
    kind = _KINDS[index % len(_KINDS)]
    tone = _TONES[kind](rng)
    tone = (tone - tone.mean()) / (tone.std() + 1e-6) + rng.uniform(0, 0.12) * _white(rng)
    return Surface(Image.fromarray(np.clip(128 + 45 * tone, 0, 255).astype(np.uint8)), kind)


def color_curve(rng: np.random.Generator, kind: str) -> NDArray[np.float64]:
    """Return a random color for each tone of a surface: ``(256, 3)`` RGB around 0..255, not clipped."""
    base, contrast = _PALETTES[kind](rng)
    t = ((np.arange(256) - 128) / 45)[:, None]
    # A slight curvature gives light and dark parts of a pattern different hues.
    return np.asarray(base + contrast * t + rng.normal(0, 0.12, 3) * np.abs(contrast) * (t**2 - 1))


def clouds(rng: np.random.Generator, cells: tuple[float, float], octaves: int, fade: float = 0.5) -> Field:
    """Return smooth noise ``(SIDE, SIDE)`` of about -1..1.

    Args:
        rng: Random stream.
        cells: (across, down) of the coarsest octave.
        octaves: Number of octaves, each twice as fine as the one before.
        fade: Amplitude of an octave relative to the one before.
    """
    total = np.zeros((SIDE, SIDE), np.float32)
    for octave in range(octaves):
        nx, ny = (max(2, min(SIDE, round(c * 2**octave))) for c in cells)
        grid = Image.fromarray(rng.uniform(-1, 1, (ny, nx)).astype(np.float32))
        total += fade**octave * np.asarray(grid.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return total


def _white(rng: np.random.Generator) -> Field:
    return rng.standard_normal((SIDE, SIDE), dtype=np.float32)


def _axes(rng: np.random.Generator) -> tuple[Field, Field]:
    """Return coordinates (x, y) of 0..1, rotated by a random angle."""
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) / SIDE
    angle = rng.choice([0.0, np.pi / 2, rng.uniform(0, np.pi)])
    c, s = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    return x * c + y * s, y * c - x * s


def _wood(rng: np.random.Generator) -> Field:
    y = np.linspace(0, 1, SIDE, dtype=np.float32)[:, None]
    bend = clouds(rng, (2, rng.uniform(3, 8)), 2)
    rings = np.sin(2 * np.pi * (y * rng.uniform(5, 30) + bend * rng.uniform(0.5, 2.5)))
    grain = clouds(rng, (rng.uniform(4, 12), 160), 2)
    tone = 0.35 * rings + 0.5 * grain + 0.3 * bend
    if rng.random() < 0.55:  # planks with different tones and dark gaps
        count = rng.uniform(2, 8)
        row = y * count
        tone = tone + rng.uniform(-0.6, 0.6, 10)[row.astype(int)].astype(np.float32)
        tone = tone - 1.8 * ((row % 1.0) < 0.006 * count)
    return np.asarray(tone, np.float32)


def _plain(rng: np.random.Generator) -> Field:
    return clouds(rng, (2, 2), 2) + rng.uniform(0, 0.4) * _white(rng)


def _fabric(rng: np.random.Generator) -> Field:
    x, y = _axes(rng)
    count = rng.uniform(40, 130)
    weave = np.sin(2 * np.pi * count * x) * np.sin(2 * np.pi * count * y)
    folds = clouds(rng, (rng.uniform(2, 8), rng.uniform(2, 5)), 2)
    tone = 0.5 * weave + 0.5 * clouds(rng, (3, 3), 3) + 0.3 * _white(rng)
    return np.asarray(tone + rng.uniform(0, 1.2) * folds, np.float32)


def _tiles(rng: np.random.Generator) -> Field:
    x, y = _axes(rng)
    nx, ny = rng.uniform(2, 10, 2)
    row = np.floor(y * ny + 20)
    column = x * nx + 20 + (row % 2) * rng.choice([0.0, 0.5])
    each = rng.uniform(-0.5, 0.5, (97,)).astype(np.float32)
    tone = each[((np.floor(column) * 7 + row * 13) % 97).astype(int)]
    gap = rng.uniform(0.01, 0.06)
    grout = ((column % 1.0) < gap) | (((y * ny + 20) % 1.0) < gap)
    tone = np.where(grout, rng.choice([-1.6, 1.4]), tone + 0.3 * clouds(rng, (6, 6), 4))
    return np.asarray(tone, np.float32)


def _parquet(rng: np.random.Generator) -> Field:
    """Draw blocks of strips, perpendicular to those of the neighboring blocks."""
    x, y = _axes(rng)
    count, strips = rng.uniform(3, 9), int(rng.integers(3, 6))
    column, row = np.floor((x + 2) * count), np.floor((y + 2) * count)
    across = (column + row) % 2 == 0
    along = np.where(across, (x + 2) * count, (y + 2) * count) % 1.0 * strips
    each = rng.uniform(-0.5, 0.5, 97).astype(np.float32)
    tone = each[((column * 31 + row * 17 + np.floor(along) * 7) % 97).astype(int)]
    tone = tone - 1.5 * ((along % 1.0) < 0.05) + 0.25 * clouds(rng, (8, 8), 5)
    return np.asarray(tone, np.float32)


def _carpet(rng: np.random.Generator) -> Field:
    return clouds(rng, (60, 60), 4, 0.9) + 0.5 * _white(rng)


def _marble(rng: np.random.Generator) -> Field:
    x, y = _axes(rng)
    warp = clouds(rng, (3, 3), 5, 0.55)
    veins = np.abs(np.sin(np.pi * (rng.uniform(1, 4) * x + rng.uniform(0, 2) * y + rng.uniform(0.6, 2) * warp)))
    return np.asarray(veins ** rng.uniform(0.3, 1.0) + 0.2 * warp, np.float32)


def _stripes(rng: np.random.Generator) -> Field:
    x, _ = _axes(rng)
    table = rng.uniform(-1, 1, int(rng.integers(2, 7))).astype(np.float32)
    bands = table[((x + 2) * rng.uniform(6, 50)).astype(int) % len(table)]
    return np.asarray(bands + 0.15 * clouds(rng, (4, 4), 3), np.float32)


def _checks(rng: np.random.Generator) -> Field:
    x, y = _axes(rng)
    count = rng.uniform(4, 30)
    a, b = ((x + 2) * count) % 1.0 < 0.5, ((y + 2) * count) % 1.0 < 0.5
    tone = np.where(a, 0.7, -0.7) + np.where(b, 0.7, -0.7) if rng.random() < 0.6 else np.where(a ^ b, 1.0, -1.0)
    return np.asarray(tone + 0.2 * clouds(rng, (5, 5), 3), np.float32)


def _dots(rng: np.random.Generator) -> Field:
    x, y = _axes(rng)
    count = rng.uniform(5, 25)
    d = np.hypot((x * count) % 1.0 - 0.5, (y * count) % 1.0 - 0.5)
    return np.asarray(np.clip((rng.uniform(0.15, 0.4) - d) * 20, -1, 1) + 0.2 * clouds(rng, (4, 4), 3), np.float32)


def _gradient(rng: np.random.Generator) -> Field:
    x, y = _axes(rng)
    return np.asarray(rng.uniform(0.5, 2) * x + rng.uniform(-1, 1) * y**2, np.float32)


def _granite(rng: np.random.Generator) -> Field:
    cells = clouds(rng, (rng.uniform(20, 80), rng.uniform(20, 80)), 3, 0.7)
    return np.asarray(np.sign(cells) * np.sqrt(np.abs(cells)), np.float32)


def _clouded(rng: np.random.Generator) -> Field:
    cells = rng.uniform(1, 20, 2)
    return clouds(rng, (cells[0], cells[1]), 6, rng.uniform(0.4, 0.8))


_Palette = tuple[NDArray[np.float64], NDArray[np.float64]]

_WOODS = ((205, 165, 120), (160, 112, 70), (100, 66, 45), (226, 203, 170), (128, 96, 74), (70, 50, 40))
_COMMON = (
    (238, 237, 233), (215, 213, 208), (180, 178, 172), (140, 140, 140), (95, 97, 100),
    (45, 45, 48), (222, 210, 188), (188, 170, 140), (120, 100, 80), (70, 85, 110),
    (80, 100, 80), (130, 60, 55), (30, 36, 54),
)  # fmt: skip


def _wood_palette(rng: np.random.Generator) -> _Palette:
    base = np.array(_WOODS[rng.integers(len(_WOODS))], float) * rng.uniform(0.85, 1.12) + rng.uniform(-8, 8, 3)
    return base, base * rng.uniform(0.03, 0.16)


def _common_palette(rng: np.random.Generator) -> _Palette:
    """Return a random color of desks, floors and cloth in homes and offices."""
    base = np.array(_COMMON[rng.integers(len(_COMMON))], float) * rng.uniform(0.85, 1.08) + rng.uniform(-8, 8, 3)
    return base, rng.uniform(3, 16) + rng.uniform(-2, 2, 3)


def _vivid_palette(rng: np.random.Generator) -> _Palette:
    base = rng.uniform(20, 235, 3)
    base = base.mean() + (base - base.mean()) * rng.uniform(0.3, 1.0)
    return base, rng.uniform(8, 35) + rng.uniform(-15, 15, 3)


def _mixed_palette(rng: np.random.Generator) -> _Palette:
    return _common_palette(rng) if rng.random() < 0.85 else _vivid_palette(rng)


def _quiet_palette(rng: np.random.Generator) -> _Palette:
    base, contrast = _mixed_palette(rng)
    return base, contrast * 0.35


def _cloth_palette(rng: np.random.Generator) -> _Palette:
    base, contrast = _mixed_palette(rng)
    return base, contrast * rng.uniform(0.6, 2.5)


_TONES: dict[str, Callable[[np.random.Generator], Field]] = {
    "wood": _wood,
    "plain": _plain,
    "fabric": _fabric,
    "tiles": _tiles,
    "parquet": _parquet,
    "carpet": _carpet,
    "marble": _marble,
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "gradient": _gradient,
    "granite": _granite,
    "clouded": _clouded,
}
_PALETTES: dict[str, Callable[[np.random.Generator], _Palette]] = dict.fromkeys(_TONES, _mixed_palette) | {
    "wood": _wood_palette,
    "parquet": _wood_palette,
    "plain": _quiet_palette,
    "gradient": _quiet_palette,
    "granite": _quiet_palette,
    "marble": _quiet_palette,
    "clouded": _quiet_palette,
    "stripes": _cloth_palette,
    "checks": _cloth_palette,
    "dots": _cloth_palette,
}
# Documents lie most often on wood and plain tables.
_KINDS = (
    "wood", "plain", "fabric", "tiles", "carpet", "stripes", "wood", "plain", "parquet", "marble", "fabric", "checks",
    "carpet", "wood", "plain", "tiles", "dots", "gradient", "fabric", "wood", "plain", "carpet", "granite", "checks",
    "tiles", "clouded",
)  # fmt: skip
