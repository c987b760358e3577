"""Generate flat pages: paper, print, wear, and the outline of rounded or bowed sheets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from quant.data.documents import ink, layouts, papers, scripts
from quant.data.documents import page_blocks as blocks
from quant.data.documents.ink import Color, Pen
from quant.data.documents.poses import Size

MARGIN = 16
"""Width in px of the repeated border around a page, so that bilinear sampling at its edge finds paper."""

POOL = 240
"""Number of different pages. All stay cached, 1 MB each on average and at most 1.8 MB."""

GRAPHIC_POOL = 40
"""Number of different pages of kind ``graphic``, which are cached too."""

MARKS = frozenset(
    (
        "text",
        "script",
        "table",
        "form",
        "handwriting",
        "photo",
        "barcode",
        "blank",
        "colored-paper",
        "dark-paper",
        "ruled",
        "graphic",
    )
)
"""Possible values of `Page.marks`."""

_LONG_SIDE = 640
_DARK = 90
_COLORED = 45
_FOREIGN_RATE = 0.27


@dataclass(frozen=True)
class _Kind:
    """One kind of page."""

    rate: float
    """Share of all pages."""

    aspect: tuple[float, float]
    """Range of the short side divided by the long side."""

    upright: float
    """Share of pages in portrait orientation."""

    text: tuple[int, int]
    """Range of the text size in px."""


_KINDS = {
    "a4": _Kind(0.156, (210 / 297, 210 / 297), 0.85, (6, 12)),
    "letter": _Kind(0.072, (8.5 / 11, 8.5 / 11), 0.9, (6, 12)),
    "form": _Kind(0.063, (210 / 297, 8.5 / 11), 0.9, (6, 10)),
    "invoice": _Kind(0.062, (210 / 297, 8.5 / 11), 0.95, (6, 10)),
    "receipt": _Kind(0.127, (0.22, 0.55), 0.97, (8, 16)),
    "card": _Kind(0.075, (53.98 / 85.6, 53.98 / 85.6), 0.13, (16, 24)),
    "id-card": _Kind(0.065, (53.98 / 85.6, 0.72), 0.1, (16, 24)),
    "business-card": _Kind(0.06, (0.52, 0.66), 0.15, (16, 24)),
    "book": _Kind(0.068, (0.6, 0.78), 1.0, (7, 13)),
    "spread": _Kind(0.067, (0.65, 0.8), 0.0, (6, 9)),
    "notebook": _Kind(0.068, (0.65, 0.8), 0.85, (8, 13)),
    "note": _Kind(0.057, (0.7, 1.0), 0.6, (12, 20)),
    "photo": _Kind(0.06, (0.65, 0.8), 0.35, (10, 16)),
    "graphic": _Kind(0.0, (0.6, 1.0), 0.65, (8, 16)),  # only used by `graphic`
}


@dataclass(frozen=True)
class Page:
    """A flat sheet."""

    image: Image.Image
    """RGB image of the page with a margin of `MARGIN` px."""

    size: Size
    """(width, height) of the page without the margin, in px."""

    cutout: Image.Image | None
    """Mask of the size of ``image``, 255 where there is paper. None for straight edges and sharp corners."""

    kind: str
    """A key of ``_KINDS``, such as ``a4``, or ``blank`` for `plain_page`."""

    marks: frozenset[str] = frozenset()
    """Content of the page, out of `MARKS`.

    ``script`` is a script other than Latin. ``colored-paper`` and ``dark-paper`` describe the median color of the page,
    which may be that of a photo or artwork.
    """


def page(index: int) -> Page:
    """Return the page of an index >= 0. Equal indices give equal bytes."""
    return _page(index, _kind(index))


def graphic(index: int) -> Page:
    """Return the page covered by bold shapes of an index >= 0, such as a chart, poster, puzzle or map."""
    return _page(index, "graphic")


def plain_page(size: Size, color: Color = (255, 255, 255)) -> Page:
    """Return an empty sheet of one color and (width, height) px."""
    full = (size[0] + 2 * MARGIN, size[1] + 2 * MARGIN)
    image = Image.new("RGB", full, color)
    return Page(image, size, None, "blank", frozenset({"blank"}) | _tones(image))


def _page(index: int, kind: str) -> Page:
    pixels, size, cutout, marks = _render(index, kind)
    return Page(Image.fromarray(pixels), size, cutout, kind, marks)


@lru_cache(maxsize=POOL + GRAPHIC_POOL)
def _render(index: int, kind: str) -> tuple[NDArray[np.uint8], Size, Image.Image | None, frozenset[str]]:
    # Cached as an array, because Pillow stores an RGB pixel in four bytes.
    rng = np.random.default_rng([index, 0x9A6E])
    size = _page_size(rng, _KINDS[kind])
    pen = _pen(rng, kind, size, papers.color(rng, kind, _spaced(index, 1)))
    _print(pen, kind)
    image = papers.worn(rng, pen.image, kind)
    if rng.random() < 0.1 and "card" not in kind and kind not in ("book", "spread", "note"):
        _fasten(rng, image)
    cutout = _cutout(rng, size, kind)
    return _with_margin(image), size, cutout, frozenset(pen.marks) | _tones(image)


def _spaced(index: int, axis: int) -> float:
    """Return the coordinate 0..1 of point ``index`` of a low-discrepancy sequence.

    Both axes together fill the unit square evenly (multiples of the powers of 1 / 1.3247, the plastic number), so that
    every pool has the rates of the tables.
    """
    return (0.5 + (index + 1) * (0.7548776662466927, 0.5698402909980532)[axis]) % 1.0


def _kind(index: int) -> str:
    steps = np.cumsum([row.rate for row in _KINDS.values()])
    return list(_KINDS)[int(np.searchsorted(steps / steps[-1], _spaced(index, 0), side="right"))]


def _page_size(rng: np.random.Generator, kind: _Kind) -> Size:
    short = round(_LONG_SIDE * float(rng.uniform(*kind.aspect)))
    return (short, _LONG_SIDE) if rng.random() < kind.upright else (_LONG_SIDE, short)


def _pen(rng: np.random.Generator, kind: str, size: Size, paper: Color) -> Pen:
    image = Image.new("RGB", size, paper)
    if rng.random() < 0.12:
        image = papers.fibres(rng, image)
    light = ink.luma(paper) > 125
    level = int(rng.integers(10, 75)) if light else int(rng.integers(205, 256))
    color = ink.from_hsv(
        float(rng.choice([0.6, 0.62, 0.1])), float(rng.uniform(0, 0.25 if light else 0.15)), level / 255
    )
    if rng.random() < 0.08:
        color = ink.mix(ink.print_color(rng), (0, 0, 0) if light else (255, 255, 255), 0.5)
    accent = ink.print_color(rng)
    accent = accent if abs(ink.luma(accent) - ink.luma(paper)) > 40 else ink.mix(accent, color, 0.6)
    script = str(rng.choice(scripts.FOREIGN)) if rng.random() < _FOREIGN_RATE else "latin"
    face = scripts.face(rng, script, int(rng.integers(*_KINDS[kind].text)))
    return Pen(image, ImageDraw.Draw(image), rng, paper, color, accent, face, set())


def _print(pen: Pen, kind: str) -> None:
    """Print the layout, with show-through from the back before it, and stamps, marks and notes after it."""
    rows = layouts.LAYOUTS[kind]
    layout = rows[int(pen.rng.choice(len(rows), p=[rate for rate, _ in rows]))][1]
    if kind in ("form", "invoice"):
        pen.marks.add("form" if kind == "form" else "table")
    w, h = pen.image.size
    paged = kind in ("a4", "letter", "form", "invoice", "book", "receipt")
    if layout is not layouts.blank and paged and pen.chance(0.12) and ink.luma(pen.paper) > 150:
        back = Image.new("RGB", (w, h), (255, 255, 255))
        behind = replace(pen, image=back, draw=ImageDraw.Draw(back), paper=(255, 255, 255), ink=(0, 0, 0), marks=set())
        layouts.article(behind)
        pen.image.paste(papers.show_through(pen.rng, pen.image, back))
    if layout is not layouts.blank and (paged or "card" in kind) and pen.chance(0.15):
        _bands(pen)
    layout(pen)
    if layout is layouts.blank or not paged:
        return
    box = (w * 0.12, h * 0.15, w * 0.88, h * 0.9)
    if pen.chance(0.13):
        blocks.stamp(pen, box, pen.face.size)
    if kind != "receipt" and pen.chance(0.15):
        blocks.highlight(pen, box)
    if kind != "receipt" and pen.chance(0.1):
        hand = scripts.face(pen.rng, "hand", round(pen.face.size * 1.8), words=6)
        x, y = w * pen.between(0.05, 0.6), h * pen.between(0.02, 0.9)
        scripts.line(pen, hand, (x, y, x + w * 0.35), color=blocks.pen_color(pen))


def _bands(pen: Pen) -> None:
    """Print frames or bands close to the edge: strong straight lines that are not the outline."""
    w, h = pen.image.size
    inset = pen.between(0.012, 0.06) * min(w, h)
    kind = pen.count(0, 3)
    if kind < 2:
        pen.draw.rectangle((inset, inset, w - inset, h - inset), None, pen.accent, pen.count(1, 6))
    elif kind == 2:
        pen.draw.rectangle((inset, inset, w - inset, inset + h * pen.between(0.02, 0.1)), pen.accent)
        pen.draw.rectangle((inset, h - inset * 2, w - inset, h - inset), pen.accent)
    else:
        pen.draw.rectangle((0, 0, w * pen.between(0.02, 0.08), h), pen.accent)


def _fasten(rng: np.random.Generator, image: Image.Image) -> None:
    """Draw a staple or a paper clip near an upper corner."""
    draw = ImageDraw.Draw(image)
    w, long = image.width, image.width * rng.uniform(0.025, 0.045)
    x = rng.uniform(0.03, 0.08) * w if rng.random() < 0.7 else rng.uniform(0.88, 0.95) * w
    y = rng.uniform(0.015, 0.05) * w
    if rng.random() < 0.6:
        way = rng.choice([0.0, 0.785, -0.785])
        dx, dy = long * np.cos(way), long * np.sin(way)
        draw.line((x + 1, y + 2, x + dx + 1, y + dy + 2), (105, 102, 98), 2)
        draw.line((x, y, x + dx, y + dy), (168, 170, 174), 2)
        return
    metal = ink.from_hsv(float(rng.uniform(0, 1)), float(rng.choice([0.03, 0.7])), 0.68)
    for k, reach in ((0.0, 3.6), (0.22, 2.6)):
        box = (x + long * k, -long, x + long * (1.1 - k), long * reach)
        draw.rounded_rectangle(box, long * (0.55 - k), None, metal, max(2, round(long * 0.12)))


def _tones(image: Image.Image) -> frozenset[str]:
    """Return whether the page is colored or dark, judged by the median of each channel."""
    r, g, b = (int(v) for v in np.median(np.asarray(image.reduce(2)), axis=(0, 1)))
    facts = {"dark-paper": ink.luma((r, g, b)) < _DARK, "colored-paper": max(r, g, b) - min(r, g, b) >= _COLORED}
    return frozenset(name for name, holds in facts.items() if holds)


def _cutout(rng: np.random.Generator, size: Size, kind: str) -> Image.Image | None:
    w, h = size
    # Drawn at twice the size and halved, for a soft outline.
    full = (2 * (w + 2 * MARGIN), 2 * (h + 2 * MARGIN))
    if "card" in kind and (kind == "card" or rng.random() < 0.3):
        mask = Image.new("L", full, 0)
        box = (0, 0, full[0], full[1])
        radius = w_radius = 2 * rng.uniform(0.02, 0.05) * max(size)
        inner = (2 * MARGIN, 2 * MARGIN, 2 * (w + MARGIN) - 1, 2 * (h + MARGIN) - 1)
        mask.paste(255, box)
        ring = Image.new("L", full, 0)
        ImageDraw.Draw(ring).rounded_rectangle(inner, radius, fill=255)
        # Outside the page the mask stays 255 except at the rounded corners, so that straight edges are cut only by
        # the exact polygon and not again by this mask.
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
    """Return the mask of a sheet whose edges bow inwards slightly between exact corners."""
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
