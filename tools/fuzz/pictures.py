"""Fuzz the bytes of picture files."""

from __future__ import annotations

import io
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from edgehrnet.predictor import Predictor
from tools.fuzz.engine import Entry, require_finite
from tools.fuzz.files import null_file
from tools.fuzz.mutations import damaged_bytes

MAX_PIXELS = 4_000_000  # keeps each picture that is accepted within the time and memory of a case
WAYS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("RGB", "JPEG", {}),
    (
        "RGB",
        "JPEG",
        {"progressive": True, "exif": b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"},
    ),
    ("L", "JPEG", {}),
    ("CMYK", "JPEG", {}),
    ("RGB", "PNG", {}),
    ("RGBA", "PNG", {}),
    ("P", "PNG", {}),
    ("1", "PNG", {}),
    ("I;16", "PNG", {}),
    ("RGB", "WEBP", {}),
    ("RGBA", "WEBP", {"lossless": True}),
    ("RGB", "BMP", {}),
    ("P", "BMP", {}),
    ("RGB", "TIFF", {}),
    ("RGB", "TIFF", {"compression": "tiff_lzw"}),
    ("L", "TIFF", {"compression": "tiff_adobe_deflate"}),
    ("1", "TIFF", {"compression": "group4"}),
    ("RGB", "TIFF", {"compression": "jpeg"}),
    ("P", "GIF", {}),
)


def seeds() -> list[bytes]:
    """Return a small picture in every format that is opened, and in several modes."""
    rng = np.random.default_rng(0)
    plain = Image.fromarray(rng.integers(0, 256, (6, 5, 3), np.uint8)).resize((24, 20))
    found = []
    for mode, kind, options in WAYS:
        file = io.BytesIO()
        picture = plain.convert("L").convert("I").convert(mode) if mode == "I;16" else plain.convert(mode)
        picture.save(file, kind, **options)
        found.append(file.getvalue())
    frames = io.BytesIO()
    plain.save(frames, "GIF", save_all=True, append_images=[plain.rotate(90), plain.rotate(180)])
    return [*found, frames.getvalue()]


def entry(folder: Path) -> Entry:
    """Return the entry. It predicts each picture."""
    predictor = Predictor(null_file(folder), max_pixels=MAX_PIXELS)

    def check(case: bytes) -> None:
        require_finite(predictor.predict(case))

    return Entry("pictures", partial(damaged_bytes, seeds=seeds()), check)
