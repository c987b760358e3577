"""What scenes are made of: pages, surfaces and things, from numbered pools."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

from quant.data.documents import clutter, pages, surfaces
from quant.data.documents.pages import Page


@dataclass(frozen=True)
class Props:
    """Pages, surfaces and things of pool number ``pool``.

    Two pools share nothing, so that a picture of the one shows no texture that was seen in the other.
    """

    pool: int

    def page(self, rng: np.random.Generator) -> Page:
        """Draw a page."""
        return pages.page(self._number(rng, pages.POOL))

    def graphic(self, rng: np.random.Generator) -> Page:
        """Draw a page that bold shapes cover."""
        return pages.graphic(self._number(rng, pages.GRAPHIC_POOL))

    def surface(self, rng: np.random.Generator) -> surfaces.Surface:
        """Draw a surface."""
        return surfaces.surface(self._number(rng, surfaces.POOL))

    def device(self, rng: np.random.Generator) -> Image.Image:
        """Draw a structured rectangle that is no document."""
        return clutter.device(self._number(rng, clutter.POOL))

    def small_object(self, rng: np.random.Generator) -> Image.Image:
        """Draw a thing without the outline of a sheet."""
        return clutter.small_object(self._number(rng, clutter.POOL))

    def finger(self, rng: np.random.Generator) -> Image.Image:
        """Draw fingers, the tip at the top middle."""
        return clutter.finger(self._number(rng, clutter.POOL))

    def _number(self, rng: np.random.Generator, size: int) -> int:
        return self.pool * size + int(rng.integers(size))
