"""Choose pages, surfaces and objects from numbered pools."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from quant.data.documents import clutter, pages, surfaces
from quant.data.documents.pages import Page


@dataclass(frozen=True)
class Props:
    """Pages, surfaces and objects of one pool. Different pools have no textures in common."""

    pool: int
    """Index of the pool."""

    def page(self, rng: np.random.Generator) -> Page:
        """Choose a random page."""
        return pages.page(self._number(rng, pages.POOL))

    def graphic(self, rng: np.random.Generator) -> Page:
        """Choose a random page covered by bold shapes."""
        return pages.graphic(self._number(rng, pages.GRAPHIC_POOL))

    def surface(self, rng: np.random.Generator) -> surfaces.Surface:
        """Choose a random surface."""
        return surfaces.surface(self._number(rng, surfaces.POOL))

    def device(self, rng: np.random.Generator) -> Image.Image:
        """Choose a random rectangular object that is not a document."""
        return clutter.device(self._number(rng, clutter.POOL))

    def small_object(self, rng: np.random.Generator) -> Image.Image:
        """Choose a random small object without the outline of a sheet."""
        return clutter.small_object(self._number(rng, clutter.POOL))

    def finger(self, rng: np.random.Generator) -> Image.Image:
        """Choose random fingers, with the tip at the top center."""
        return clutter.finger(self._number(rng, clutter.POOL))

    def _number(self, rng: np.random.Generator, size: int) -> int:
        return self.pool * size + int(rng.integers(size))
