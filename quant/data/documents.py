"""Photos of documents with exact corners, composed from a seed alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from edgehrnet.decoding import cyclic_order
from quant.data import camera, clutter, pages, poses, sheets, surfaces
from quant.data.pages import Page
from quant.data.poses import Quad, Size

EMPTY_RATE = 0.08
"""Share of scenes without a document."""

OUTSIDE_RATE = 0.13
"""Share of the other scenes in which at least one corner lies outside the picture."""

_ASPECTS = (4 / 3, 16 / 9, 3 / 2, 20 / 9, 1.0)
_ASPECT_RATES = (0.45, 0.27, 0.12, 0.08, 0.08)


@dataclass(frozen=True)
class Scene:
    """A photo and where its document is.

    image: (H, W, 3) uint8, RGB. corners: (4, 2) float64, x and y in px of the picture, pixel centres at
    integers, clockwise as seen in the picture, the first one the smallest in x/W + y/H; always finite, the
    picture's centre where there is no document. visible: (4,), whether the corner lies inside the picture
    (-0.5 <= x < W - 0.5, likewise y), also when something hides it; all False without a document.
    conditions: what makes the scene hard ("shadow", "blur", "occluded", "empty", ...) and what the sheet is.
    """

    image: NDArray[np.uint8]
    corners: NDArray[np.float64]
    visible: NDArray[np.bool_]
    conditions: frozenset[str]


@dataclass(frozen=True)
class _Props:
    """What scenes are made of: pages, surfaces and things drawn from pool number ``pool``.

    Two pools share nothing, so that a picture of the one shows no texture that was seen in the other.
    """

    pool: int

    def page(self, rng: np.random.Generator) -> Page:
        return pages.page(self._number(rng, pages.POOL))

    def surface(self, rng: np.random.Generator) -> surfaces.Surface:
        return surfaces.surface(self._number(rng, surfaces.POOL))

    def device(self, rng: np.random.Generator) -> Image.Image:
        return clutter.device(self._number(rng, clutter.POOL))

    def small_object(self, rng: np.random.Generator) -> Image.Image:
        return clutter.small_object(self._number(rng, clutter.POOL))

    def finger(self, rng: np.random.Generator) -> Image.Image:
        return clutter.finger(self._number(rng, clutter.POOL))

    def _number(self, rng: np.random.Generator, size: int) -> int:
        return self.pool * size + int(rng.integers(size))


@dataclass(frozen=True)
class _Layout:
    """Where the document lies; quad in continuous picture coordinates."""

    page: Page
    quad: Quad
    conditions: frozenset[str]


def document_scene(seed: int, *, size: Size | None = None, pool: int = 0) -> Scene:
    """Compose the scene of a seed (>= 0): equal seeds and sizes give equal bytes.

    size: (width, height) in px; drawn with a long side of 320..720 px and a usual camera aspect when None.
    pool: which pages, surfaces and things it is made of; scenes of different pools have none in common.
    """
    layout_rng, ground_rng, things_rng, camera_rng = (np.random.default_rng([seed, part]) for part in range(4))
    drawn = _draw_size(layout_rng)
    size = drawn if size is None else size
    props = _Props(pool)
    layout = None if layout_rng.random() < EMPTY_RATE else _draw_layout(layout_rng, props, size)
    names = set(layout.conditions) if layout else {"empty"}
    canvas = _background(ground_rng, props, size, layout, names)
    if layout is None:
        _clutter(things_rng, props, canvas, None, names)
    else:
        canvas = _lay_document(things_rng, props, canvas, layout, names)
    image, effects = camera.develop(camera_rng, canvas)
    conditions = frozenset(names) | effects
    if layout is None:
        centre = np.tile((np.array(size, float) - 1) / 2, (4, 1))
        return Scene(image, centre, np.zeros(4, bool), conditions)
    corners = layout.quad - 0.5
    corners = corners[cyclic_order(corners, size)]
    return Scene(image, corners, poses.contains(corners + 0.5, size), conditions)


def _draw_size(rng: np.random.Generator) -> Size:
    long_side = int(rng.integers(320, 721))
    short = round(long_side / float(rng.choice(_ASPECTS, p=_ASPECT_RATES)))
    return (short, long_side) if rng.random() < 0.6 else (long_side, short)


def _draw_layout(rng: np.random.Generator, props: _Props, size: Size) -> _Layout:
    page = props.page(rng)
    outside = bool(rng.random() < OUTSIDE_RATE)
    draw = rng.random()
    low, high = (0.5, 0.97) if draw < 0.76 else (0.3, 0.5) if draw < 0.9 else (0.1, 0.3)
    scale = rng.uniform(low, high)
    scale = rng.uniform(0.6, 1.05) if outside else scale
    draw = rng.random()
    roll = rng.normal(0, 0.07) if draw < 0.3 else rng.uniform(-0.53, 0.53)
    roll = rng.uniform(-np.pi, np.pi) if draw > 0.7 else roll
    tilt = min(abs(rng.normal(0, 0.38)), 0.95)
    stretch = rng.uniform(0.92, 1.08)
    sheet = (page.size[0] * stretch, float(page.size[1]))
    quad = poses.draw_quad(rng, size, sheet, scale=scale, roll=roll, tilt=tilt, outside=outside)
    facts = {
        page.kind: True,
        "card": "card" in page.kind,
        "outside": outside,
        "rotated": abs(roll) > np.pi / 6,
        "tilted": tilt > 0.5,
        "small": poses.area(quad) < 0.08 * size[0] * size[1],
    }
    return _Layout(page, quad, frozenset(name for name, holds in facts.items() if holds))


def _background(
    rng: np.random.Generator, props: _Props, size: Size, layout: _Layout | None, names: set[str]
) -> Image.Image:
    """Return the picture without things on it: one surface, or two that meet along a straight edge."""
    ground = _ground(rng, props, size, layout, names)
    if rng.random() < 0.18:  # A table's edge, a wall: a strong line that is not a document's.
        other = _ground(rng, props, size, None, names)
        far, way = 4.0 * max(size), rng.uniform(0, 2 * np.pi)
        normal = np.array([np.cos(way), np.sin(way)])
        start = np.array(size) / 2 + normal * rng.uniform(0.1, 0.45) * min(size)
        half_plane = _rectangle_at(start + normal * far / 2, (far, far), way)
        share = sheets.coverage(half_plane, (0, 0, *size))
        ground.paste(other, (0, 0), Image.fromarray((share * 255).astype(np.uint8)))
        names.add("edge")
    return ground


def _ground(
    rng: np.random.Generator, props: _Props, size: Size, layout: _Layout | None, names: set[str]
) -> Image.Image:
    """Return one surface as a camera sees it."""
    surface = props.surface(rng)
    # A camera's view of the textured plane: any turn, a trapezoid inside the texture's square.
    flat = (poses.rectangle(size) - np.array(size) / 2) / max(size)
    near_far = 1 + rng.uniform(-0.25, 0.25) * np.sign(flat[:, 1])
    turn = rng.choice([0.0, np.pi / 2, rng.uniform(0, 2 * np.pi)])
    rotation = np.array([(np.cos(turn), -np.sin(turn)), (np.sin(turn), np.cos(turn))])
    view = (flat * near_far[:, None]) @ rotation.T
    extent = np.ptp(view, axis=0).max()
    view = view / extent * surfaces.SIDE * rng.uniform(0.5, 1.0)
    low, high = view.min(axis=0), view.max(axis=0)
    view = view - low + rng.uniform(0, 1, 2) * (surfaces.SIDE - (high - low))
    matrix = poses.homography(poses.rectangle(size), view)
    coefficients = tuple(float(v) for v in matrix.reshape(9)[:8])
    ground = surface.tone.transform(size, Image.Transform.PERSPECTIVE, coefficients, Image.Resampling.BILINEAR)
    curve = surfaces.colour_curve(rng, surface.kind)
    if layout is not None and rng.random() < 0.1:  # Almost the colour of the paper.
        paper = np.asarray(layout.page.image)[pages.MARGIN].mean(axis=0)
        curve = (curve - curve[128]) * rng.uniform(0.2, 0.7) + paper + rng.normal(0, 7) + rng.normal(0, 2, 3)
        names.add("low-contrast")
    tables = np.clip(curve, 0, 255).astype(int).T.tolist()
    return Image.merge("RGB", [ground.point(table) for table in tables])


def _lay_document(
    rng: np.random.Generator, props: _Props, canvas: Image.Image, layout: _Layout, names: set[str]
) -> Image.Image:
    if rng.random() < 0.4:
        _clutter(rng, props, canvas, layout.quad, names)
    if rng.random() < 0.13:
        _other_sheets(rng, props, canvas, layout)
        names.add("distractor")
    if rng.random() < 0.08:  # A sheet held up before a room that is out of focus.
        canvas = canvas.filter(ImageFilter.BoxBlur(rng.uniform(2, 8) * max(canvas.size) / 512))
    shaded = "low-contrast" in names or rng.random() < 0.85
    canvas = sheets.cast_sheet_shadow(rng, canvas, layout.quad) if shaded else canvas
    sheets.place_page(canvas, _tinted(rng, layout.page), layout.quad)
    if rng.random() < 0.17 and _occlude(rng, props, canvas, layout.quad):
        names.add("occluded")
    return canvas


def _tinted(rng: np.random.Generator, page: Page) -> Page:
    gain = rng.uniform(0.9, 1.08) * rng.normal(1, 0.015, 3)
    curve = np.clip(np.arange(256)[None] * gain[:, None], 0, 255).astype(int)
    return Page(page.image.point(curve.reshape(-1).tolist()), page.size, page.cutout, page.kind)


def _rectangle_at(centre: NDArray[np.float64], size: tuple[float, float], angle: float) -> Quad:
    turn = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
    return np.asarray((poses.rectangle(size) - np.array(size) / 2) @ turn.T + centre)


def _item_quad(item: Image.Image, centre: NDArray[np.float64], length: float, angle: float) -> Quad:
    scale = length / max(item.size)
    return _rectangle_at(centre, (item.width * scale, item.height * scale), angle)


def _clutter(rng: np.random.Generator, props: _Props, canvas: Image.Image, quad: Quad | None, names: set[str]) -> None:
    """Scatter objects; beside a document, rectangular ones stay well smaller than it."""
    if quad is None and rng.random() < 0.25:
        return
    extent = float(max(canvas.size))
    names.add("clutter")
    devices = int(rng.integers(0, 3)) if quad is None else int(rng.random() < 0.35)
    limit = extent if quad is None else min(extent, 1.2 * float(np.sqrt(poses.area(quad))))
    for _ in range(devices):
        item = props.device(rng)
        length = rng.uniform(0.35, 0.8) * limit
        centre = rng.uniform(0, canvas.size)
        sheets.place_object(canvas, item, _item_quad(item, centre, length, rng.uniform(0, 6.3)), _offset(rng))
    for _ in range(int(rng.integers(1, 6))):
        item = props.small_object(rng)
        length = rng.uniform(0.06, 0.4) * extent
        centre = rng.uniform(0, canvas.size)
        sheets.place_object(canvas, item, _item_quad(item, centre, length, rng.uniform(0, 6.3)), _offset(rng))


def _offset(rng: np.random.Generator) -> tuple[float, float]:
    x, y = rng.uniform(-5, 5, 2)
    return float(x), float(y)


def _other_sheets(rng: np.random.Generator, props: _Props, canvas: Image.Image, layout: _Layout) -> None:
    """Lay smaller, paler sheets so that the document covers a part of them or they lie beside it."""
    ground = canvas.resize((1, 1), Image.Resampling.BOX)
    for _ in range(int(rng.integers(1, 3))):
        page = props.page(rng)
        wash = ground.resize(page.image.size)
        pale = Page(Image.blend(page.image, wash, rng.uniform(0.3, 0.6)), page.size, page.cutout, page.kind)
        share = rng.uniform(0.1, 0.35) * poses.area(layout.quad) / (page.size[0] * page.size[1])
        size = (page.size[0] * np.sqrt(share), page.size[1] * np.sqrt(share))
        along = rng.uniform(0, 1)
        corner = int(rng.integers(4))
        centre = layout.quad[corner] * along + layout.quad[(corner + 1) % 4] * (1 - along)
        centre = centre + (centre - layout.quad.mean(axis=0)) * rng.uniform(0, 0.5)
        sheets.place_page(canvas, pale, _rectangle_at(centre, size, rng.uniform(0, 6.3)))


def _occlude(rng: np.random.Generator, props: _Props, canvas: Image.Image, quad: Quad) -> bool:
    """Hide one or two corners or pieces of an edge; tell whether any of it lies in the picture."""
    length = float(np.sqrt(poses.area(quad)))
    middle = quad.mean(axis=0)
    hit = False
    for _ in range(int(rng.integers(1, 3))):
        corner = int(rng.integers(4))
        along = 0.0 if rng.random() < 0.65 else rng.uniform(0.1, 0.9)
        spot = quad[corner] * (1 - along) + quad[(corner + 1) % 4] * along
        if not poses.contains(spot[None], canvas.size)[0]:
            continue
        hit = True
        inward = (middle - spot) / np.hypot(*(middle - spot))
        if rng.random() < 0.5:
            item = props.finger(rng)
            angle = np.arctan2(inward[1], inward[0]) + np.pi / 2 + rng.normal(0, 0.4)
            reach = length * rng.uniform(0.5, 1.2) + 0.15 * max(canvas.size)
            up = np.array([np.sin(angle), -np.cos(angle)])
            # The tip rests a little inside the sheet, the rest of the finger reaches in from outside.
            centre = spot + inward * length * rng.uniform(0.03, 0.18) - up * reach / 2
        else:
            item = props.small_object(rng)
            angle, reach = rng.uniform(0, 6.3), length * rng.uniform(0.15, 0.45)
            centre = spot + rng.normal(0, 0.12, 2) * reach
        sheets.place_object(canvas, item, _item_quad(item, centre, reach, angle), _offset(rng))
    return hit
