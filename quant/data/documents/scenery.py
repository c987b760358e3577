"""Draw a document and the objects beside, under and over it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

from quant.data.documents import bends, poses, sheets
from quant.data.documents.difficulty import Difficulty
from quant.data.documents.framing import Framing
from quant.data.documents.pages import MARGIN, Page
from quant.data.documents.poses import Quad
from quant.data.documents.props import Props


@dataclass(frozen=True)
class Scenery:
    """Draws a document and the objects around it."""

    rng: np.random.Generator
    """Random stream."""

    props: Props
    """Pool of pages and objects."""

    hard: Difficulty
    """Probabilities of hard conditions."""

    canvas: Image.Image
    """RGB image to draw on."""

    names: set[str]
    """Names of the conditions that occur, extended while drawing."""

    def lay(self, framing: Framing) -> Image.Image:
        """Return the canvas with the document on it."""
        rng, hard = self.rng, self.hard
        if rng.random() < hard.clutter:
            self.clutter(framing.quad)
        if rng.random() < hard.sheets:
            self._other_sheets(framing)
            self.names.add("sheets")
        if rng.random() < hard.stack:
            self._stack(framing)
            self.names.add("stack")
        canvas = self.canvas
        if rng.random() < hard.held:  # a sheet held up in front of a room that is out of focus
            canvas = canvas.filter(ImageFilter.BoxBlur(rng.uniform(2, 8) * max(canvas.size) / 512))
            self.names.add("held")
        shaded = "low-contrast" in self.names or rng.random() < 0.85
        canvas = sheets.cast_sheet_shadow(rng, canvas, framing.quad) if shaded else canvas
        top = replace(self, canvas=canvas)
        top._document(framing)
        if rng.random() < hard.hand and top._cover(framing.quad, hand=True):
            self.names.add("hand")
        if rng.random() < hard.covered and top._cover(framing.quad, hand=False):
            self.names.add("covered")
        return canvas

    def clutter(self, quad: Quad | None) -> None:
        """Scatter objects. If there is a document, rectangular objects stay smaller than it."""
        rng, canvas = self.rng, self.canvas
        extent = float(max(canvas.size))
        self.names.add("clutter")
        devices = int(rng.integers(0, 4)) if quad is None else int(rng.random() < self.hard.devices)
        limit = extent if quad is None else min(extent, 1.2 * float(np.sqrt(poses.area(quad))))
        for _ in range(devices):
            item, length = self.props.device(rng), rng.uniform(0.35, 0.8) * limit
            self._put(item, rng.uniform(0, canvas.size), length, rng.uniform(0, 6.3))
        for _ in range(int(rng.integers(1, 6))):
            item, length = self.props.small_object(rng), rng.uniform(0.06, 0.4) * extent
            self._put(item, rng.uniform(0, canvas.size), length, rng.uniform(0, 6.3))

    def _document(self, framing: Framing) -> None:
        rng = self.rng
        page = _tinted(rng, framing.page)
        if rng.random() >= self.hard.curled or "card" in framing.conditions:
            sheets.place_page(self.canvas, page, framing.quad)
            return
        self.names.add("curled")
        upright, waves = bool(rng.random() < 0.5), 1 if rng.random() < 0.7 else 2
        # The two sides across the axis of the roll bow perpendicularly to themselves.
        a, b, c, d = framing.quad
        x, y = (b - a + c - d) / 2 if upright else (d - a + c - b) / 2
        push = np.array([y, -x]) * rng.choice([-1, 1]) * rng.uniform(0.015, 0.08) / waves
        bend = bends.curl(framing.quad, push, waves=waves, taper=rng.uniform(-0.8, 0.8), upright=upright)
        page = _rolled(page, rng.uniform(-0.25, 0.25), waves, upright)
        sheets.place_page(self.canvas, page, framing.quad, bend=bend, reach=2 * float(np.hypot(*push)))

    def _other_sheets(self, framing: Framing) -> None:
        """Draw smaller sheets, mostly paler, beside the document or partly covered by it."""
        rng = self.rng
        ground = self.canvas.resize((1, 1), Image.Resampling.BOX)
        for _ in range(int(rng.integers(1, 4))):
            page = self.props.page(rng)
            wash = ground.resize(page.image.size)
            pale = replace(page, image=Image.blend(page.image, wash, rng.choice([0.0, rng.uniform(0.2, 0.6)])))
            share = rng.uniform(0.1, 0.4) * poses.area(framing.quad) / (page.size[0] * page.size[1])
            size = (page.size[0] * np.sqrt(share), page.size[1] * np.sqrt(share))
            spot = _along(framing.quad, int(rng.integers(4)), rng.uniform(0, 1))
            spot = spot + (spot - framing.quad.mean(axis=0)) * rng.uniform(0.1, 0.6)
            sheets.place_page(self.canvas, pale, poses.rectangle_at(spot, size, rng.uniform(0, 6.3)))

    def _stack(self, framing: Framing) -> None:
        """Draw sheets of the same size under the document, slightly rotated and shifted."""
        rng = self.rng
        center = framing.quad.mean(axis=0)
        for _ in range(int(rng.integers(1, 4))):
            angle = rng.normal(0, 0.06)
            turn = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
            shift = rng.normal(0, 0.035, 2) * np.sqrt(poses.area(framing.quad))
            quad = (framing.quad - center) @ turn.T + center + shift
            page = framing.page if rng.random() < 0.5 else self.props.page(rng)
            sheets.place_page(self.canvas, _dimmed(page, rng.uniform(0.72, 0.97)), quad)

    def _cover(self, quad: Quad, *, hand: bool) -> bool:
        """Cover one or two corners or parts of an edge. Return whether any of them lies in the picture."""
        rng = self.rng
        length = float(np.sqrt(poses.area(quad)))
        middle = quad.mean(axis=0)
        hit = False
        for _ in range(int(rng.integers(1, 3))):
            corner = int(rng.integers(4))
            spot = _along(quad, corner, 0.0 if rng.random() < 0.5 else rng.uniform(0.1, 0.9))
            if not poses.contains(spot[None], self.canvas.size)[0]:
                continue
            hit = True
            inward = (middle - spot) / np.hypot(*(middle - spot))
            if hand:
                angle = np.arctan2(inward[1], inward[0]) + np.pi / 2 + rng.normal(0, 0.4)
                reach = length * rng.uniform(0.5, 1.2) + 0.15 * max(self.canvas.size)
                up = np.array([np.sin(angle), -np.cos(angle)])
                # The tip is slightly inside the sheet, and the finger reaches in from outside.
                center = spot + inward * length * rng.uniform(0.03, 0.18) - up * reach / 2
                self._put(self.props.finger(rng), center, reach, angle)
            else:
                reach = length * rng.uniform(0.15, 0.45)
                spot = spot + rng.normal(0, 0.12, 2) * reach
                self._put(self.props.small_object(rng), spot, reach, rng.uniform(0, 6.3))
        return hit

    def _put(self, item: Image.Image, center: NDArray[np.float64], length: float, angle: float) -> None:
        scale = length / max(item.size)
        quad = poses.rectangle_at(center, (item.width * scale, item.height * scale), angle)
        x, y = self.rng.uniform(-5, 5, 2)
        sheets.place_object(self.canvas, item, quad, (float(x), float(y)))


def _along(quad: Quad, corner: int, share: float) -> NDArray[np.float64]:
    """Return the point at a share of the way from a corner to the next one."""
    return np.asarray(quad[corner] * (1 - share) + quad[(corner + 1) % 4] * share)


def _tinted(rng: np.random.Generator, page: Page) -> Page:
    gain = rng.uniform(0.9, 1.08) * rng.normal(1, 0.015, 3)
    curve = np.clip(np.arange(256)[None] * gain[:, None], 0, 255).astype(int)
    return replace(page, image=page.image.point(curve.reshape(-1).tolist()))


def _dimmed(page: Page, gain: float) -> Page:
    return replace(page, image=page.image.point([int(v * gain) for v in range(256)] * 3))


def _rolled(page: Page, strength: float, waves: int, upright: bool) -> Page:
    """Shade a page according to the slope of its curl."""
    w, h = page.image.size
    length = w if upright else h
    along = np.clip((np.arange(length) - MARGIN) / (length - 2 * MARGIN), 0, 1)
    gain = 1 - abs(strength) / 2 + strength / 2 * np.cos(waves * np.pi * along)
    line = (gain * 255).astype(np.uint8)
    light = Image.fromarray(np.ascontiguousarray(np.broadcast_to(line if upright else line[:, None], (h, w))))
    return replace(page, image=ImageChops.multiply(page.image, Image.merge("RGB", (light, light, light))))
