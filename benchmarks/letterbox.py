"""Compare the time of the letterbox with resizing by Pillow.

Usage: ``python benchmarks/letterbox.py`` on an idle machine. All methods run in turn on the same pictures, and medians
are printed. Each picture is timed in two states. A fresh process gets new memory from the system for every large
array. After an array of the size of a network's outputs was freed, as in a Predictor after its first picture, memory
is reused.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgehrnet.picture.letterbox import Letterbox, letterbox

SIZE = (256, 512)
PICTURES = ((640, 480), (1280, 720), (1920, 1080), (4000, 3000))
Picture = NDArray[np.uint8]


def ours(picture: Picture) -> Picture:
    """Run the letterbox of this project."""
    return letterbox(picture, SIZE)[0]


def pillow(picture: Picture, gap: float | None = None) -> Picture:
    """Resize with Pillow's antialiased bilinear filter, and paste the result into the padding."""
    box = Letterbox.fit(picture.shape[1], picture.shape[0], SIZE)
    size = (box.content_width, box.content_height)
    small = Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR, reducing_gap=gap)
    pixels = np.zeros((*SIZE, 4), np.uint8)
    pixels[box.inside][..., :3] = np.asarray(small)
    pixels[box.inside][..., 3] = 255
    return pixels


def pillow_reduced(picture: Picture) -> Picture:
    """Resize with Pillow, shrinking by integer factors first."""
    return pillow(picture, 1.0)


def pillow_affine(picture: Picture) -> Picture:
    """Resize with Pillow's affine transform, which samples bilinearly without antialiasing."""
    box = Letterbox.fit(picture.shape[1], picture.shape[0], SIZE)
    (sx, sy), content = box.scale, (box.content_width, box.content_height)
    matrix = (1 / sx, 0, 0, 0, 1 / sy, 0)
    small = Image.fromarray(picture).transform(content, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    pixels = np.zeros((*SIZE, 4), np.uint8)
    pixels[box.inside][..., :3] = np.asarray(small)
    pixels[box.inside][..., 3] = 255
    return pixels


METHODS: tuple[Callable[[Picture], Picture], ...] = (ours, pillow, pillow_reduced, pillow_affine)


def medians(picture: Picture, rounds: int) -> list[float]:
    """Return the median milliseconds of each method, timed in turn."""
    times: list[list[float]] = [[] for _ in METHODS]
    for _ in range(rounds):
        for method, record in zip(METHODS, times, strict=True):
            start = time.perf_counter()
            method(picture)
            record.append((time.perf_counter() - start) * 1000)
    return [statistics.median(record) for record in times]


def main() -> None:
    """Print the table."""
    rng = np.random.default_rng(0)
    print(f"letterbox to {SIZE[0]}x{SIZE[1]}, ms" + "".join(f"{method.__name__:>16s}" for method in METHODS))
    for state in ("fresh process", "after a freed output"):
        for width, height in PICTURES:
            picture = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            if state != "fresh process":
                np.empty(16 << 20, np.uint8)
            row = medians(picture, 10 if width > 2000 else 40)
            print(f"{width}x{height}, {state:20s}" + "".join(f"{ms:16.2f}" for ms in row))


if __name__ == "__main__":
    main()
