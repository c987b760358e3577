"""Keep coordinates within what Pillow can draw."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

LARGEST_COORDINATE = 1e6  # px, far outside any picture; larger coordinates overflow Pillow's integers


def drawable(xy: ArrayLike) -> NDArray[np.floating[Any]]:
    """Move coordinates beyond LARGEST_COORDINATE to it, for arrays in pixels of any shape.

    >>> drawable([[3.0, -1e300]]).tolist()
    [[3.0, -1000000.0]]
    """
    return np.clip(np.asarray(xy, np.float64), -LARGEST_COORDINATE, LARGEST_COORDINATE)
