"""Fuzz pictures that are passed as arrays, pictures of Pillow, or other objects."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgehrnet.predictor import Predictor
from tools.fuzz.engine import Entry, require_finite
from tools.fuzz.files import null_file
from tools.fuzz.mutations import extreme

KINDS = ("u1", "i1", "u2", "i4", "i8", "u8", "f2", "f4", "f8", ">f4", "c8", "?", "O", "U3", "S2", "M8[s]", "m8[s]")
SIDES = (0, 1, 2, 3, 4, 7, 8, 20, 33, 500)
MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "LAB", "HSV", "I", "F", "I;16")
COLORS = ("rgb",) * 6 + ("bgr", "BGR", "", None, 3, "ä")


def make(rng: Random) -> tuple[Any, Any]:
    """Return something passed as a picture, and something passed as its color order."""
    kind = rng.randrange(10)
    if kind <= 5:
        image: Any = _array(rng)
    elif kind == 6:
        image = _view(rng, _array(rng))
    elif kind == 7:
        image = Image.new(rng.choice(MODES), (rng.choice(SIDES), rng.choice(SIDES)))
    elif kind == 8:
        image = extreme(rng)
    else:
        array = _array(rng)
        image = rng.choice(
            (array.tolist(), memoryview(array.tobytes()), [array, array], {"image": array}, array.tobytes())
        )
    return image, rng.choice(COLORS)


def _array(rng: Random) -> NDArray[Any]:
    """Return an array of any type and shape, most often one that could be a picture."""
    height, width = rng.choice(SIDES), rng.choice(SIDES)
    shape = rng.choice(
        ((height, width, 3),) * 4
        + (
            (height, width),
            (height, width, 4),
            (height, width, 1),
            (3, height, width),
            (1, height, width, 3),
            (height,),
            (),
        )
    )
    source = np.random.default_rng(rng.randrange(1 << 32))
    values = source.integers(0, 256, shape).astype(np.float64)
    if rng.random() < 0.4:
        flat = values.reshape(-1)
        flat[: rng.randrange(4)] = rng.choice((np.nan, np.inf, -np.inf, 1e308, -1.0, 1e-300))
    scaled = np.asarray(values / rng.choice((1, 1, 255)))
    with np.errstate(all="ignore"):
        kind = rng.choice(KINDS if rng.random() < 0.6 else ("u1", "f4"))
        return np.asarray(scaled.astype(np.int64) if kind[0] in "Mm" else scaled).astype(kind)


def _view(rng: Random, array: NDArray[Any]) -> NDArray[Any]:
    """Return a view with other strides."""
    if array.ndim < 2:
        return array[...]
    ways = (
        array[::-1],
        array[:, ::-2],
        array.swapaxes(0, 1),
        np.broadcast_to(array[:1], array.shape),
        np.asfortranarray(array),
    )
    return rng.choice(ways)


def entry(folder: Path) -> Entry:
    """Return the entry. It predicts each array."""
    predictor = Predictor(null_file(folder))

    def check(case: tuple[Any, Any]) -> None:
        found = predictor.predict(case[0], color=case[1])
        for result in found if isinstance(found, list) else [found]:
            require_finite(result)

    return Entry("arrays", make, check)
