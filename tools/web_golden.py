"""Write the golden vectors that the TypeScript code in web/ has to reproduce.

    python -m tools.web_golden

Pictures and maps are drawn from seeds, by integer arithmetic that web/tests/drawing.ts repeats. The file therefore has
only the sizes, digests and points. A test compares the stored file with what this script would write.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgehrnet.decoding import activations, locate
from edgehrnet.drawing.rectification import flatten_quadrilateral, sheet_size
from edgehrnet.picture.letterbox import Letterbox, letterbox
from edgehrnet.spec import ModelSpec

GOLDEN = Path(__file__).parent.parent / "web" / "tests" / "golden.json"
SPEC = ModelSpec(
    "golden",
    ("top-left", "top-right", "bottom-right", "bottom-left"),
    cyclic=True,
    outputs=(("heatmaps", "NCHW"), ("offsets", "NCHW"), ("sdf", "NCHW")),
    confidence=(0.55, 1.95, -0.93),
)
# (width, height) of the picture and (height, width) of the input: enlarged, equal, shrunk by small and large factors,
# with and without left-over rows and columns, and pictures of one row, column and pixel.
SIZES = [
    *(
        ((width, height), (64, 96))
        for width, height in [(30, 20), (96, 64), (97, 63), (150, 128), (240, 161), (301, 200)]
    ),
    *(((width, height), (64, 96)) for width, height in [(389, 277), (480, 97), (101, 701), (672, 448), (960, 17)]),
    *(((width, height), (64, 64)) for width, height in [(1, 1), (1, 200), (300, 1), (5, 640), (1111, 1093)]),
    *(((width, height), (256, 512)) for width, height in [(600, 800), (1280, 720), (513, 257)]),
]
DRAWN_MAPS = 40
QUADS = [
    [(11.2, 14.5), (70.3, 9.1), (82.8, 60.2), (5.5, 55.7)],
    [(20, 10), (60, 10), (60, 50), (20, 50)],
    [(30.5, 8.2), (90.1, 22.7), (64.4, 62.3), (3.9, 47.5)],
    [(-6.5, 12.0), (88.0, 4.5), (101.5, 66.0), (12.0, 80.0)],
]
PAGES = [(9, 12), (40, 30), (120, 90)]  # (width, height): shrunk by averaging, about equal, enlarged


def noise(seed: int, count: int) -> NDArray[np.uint32]:
    """Return ``count`` pseudo-random integers of 32 bits, ``(count,)``."""
    value = np.arange(count, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(seed * 40503 + 1)
    for shift, factor in ((15, 2246822519), (13, 3266489917)):
        value ^= value >> np.uint32(shift)
        value *= np.uint32(factor)
    mixed: NDArray[np.uint32] = value ^ (value >> np.uint32(16))
    return mixed


def drawn_picture(seed: int, width: int, height: int) -> NDArray[np.uint8]:
    """Return a picture ``(height, width, 3)`` of slanted bands with noise."""
    y, x, channel = np.mgrid[:height, :width, :3]
    bands = (x * 3 + y * 5 + channel * 37) // 7 % 192
    grain = (noise(seed, width * height * 3) & np.uint32(63)).reshape(height, width, 3)
    picture: NDArray[np.uint8] = (bands + grain).astype(np.uint8)
    return picture


def drawn_maps(seed: int, width: int, height: int) -> dict[str, NDArray[np.float32]]:
    """Return logits, offsets and a signed distance field of an upright box, with peaks that do not belong to it.

    Everything is computed with operations that are exact, so that any language gets the same values.
    """
    random = noise(seed, 64).astype(np.float64) / 2**32
    left, top = 2 + random[0] * width / 4, 2 + random[1] * height / 4
    right, bottom = width - 3 - random[2] * width / 4, height - 3 - random[3] * height / 4
    y, x = np.mgrid[:height, :width].astype(np.float64)
    logits = np.empty((4, height, width))
    for k, corner in enumerate([(left, top), (right, top), (right, bottom), (left, bottom)]):
        chance = random[4 + 10 * k : 14 + 10 * k]
        peaks = [(*corner, 6 * chance[0] - 2), (chance[1] * width, chance[2] * height, 6 * chance[3] - 3)]
        peaks.append((chance[4] * width, chance[5] * height, 5 * chance[6] - 5))
        bumps = [strength - ((x - at_x) ** 2 + (y - at_y) ** 2) / 4 for at_x, at_y, strength in peaks]
        logits[k] = np.maximum(np.max(bumps, axis=0), -9)
    offsets = (noise(seed + 1, 8 * height * width).astype(np.float64) / 2**32 - 0.5).reshape(8, height, width)
    sdf = np.maximum(np.maximum(left - x, x - right), np.maximum(top - y, y - bottom))
    return {name: values.astype(np.float32) for name, values in
            (("heatmaps", logits), ("offsets", offsets), ("sdf", sdf[None]))}  # fmt: skip


def _letterboxes() -> list[dict[str, Any]]:
    cases = []
    for seed, (size, input_size) in enumerate(SIZES):
        for trim in (False, True):
            pixels, box = letterbox(drawn_picture(seed, *size), input_size, trim=trim)
            case = {"seed": seed, "size": size, "input": input_size, "trim": trim, "shape": pixels.shape[:2]}
            cases.append(case | {
                "content": (box.content_width, box.content_height, box.left, box.top),
                "middle": pixels[pixels.shape[0] // 2, pixels.shape[1] // 2].tolist(),
                "sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
            })  # fmt: skip
    return cases


def _decodings() -> list[dict[str, Any]]:
    cases = []
    for seed in range(DRAWN_MAPS):
        size = [(300, 400), (400, 300), (640, 200)][seed % 3]
        box = Letterbox.fit(*size, (128, 160)).trimmed()
        maps = drawn_maps(seed, box.input_width // 4, box.input_height // 4)
        if seed % 8 == 7:  # values that are neither a peak nor a distance
            maps["heatmaps"][:, 3, 4], maps["offsets"][:, 5, 6], maps["sdf"][0, 2, 2] = np.nan, np.inf, -np.inf
        sdf = None if seed % 5 == 4 else maps["sdf"]  # every fifth network has no signed distance field
        heatmaps = activations(maps["heatmaps"], SPEC)
        xy, conf, order = locate(heatmaps, maps["offsets"], SPEC, box, sdf=sdf)
        case = {"seed": seed, "size": size, "xy": xy.tolist(), "order": order.tolist()}
        cases.append(case | {"confidence": [round(float(value), 6) for value in conf]})
    return cases


def _pages() -> list[dict[str, Any]]:
    picture = Image.fromarray(drawn_picture(0, 100, 80))
    cases = []
    for corners in QUADS:
        quad = np.array(corners)
        pages = []
        for size in PAGES:
            pixels = np.asarray(flatten_quadrilateral(picture, quad, size))
            pages.append(
                {"size": size, "diagonal": [pixels[i * size[1] // 8, i * size[0] // 8].tolist() for i in range(8)]}
            )
        cases.append({"corners": corners, "sheet": sheet_size(quad, (100, 80)), "pages": pages})
    return cases


def content() -> str:
    """Return the golden vectors as JSON, one case per line."""
    parts = {"letterboxes": _letterboxes(), "decodings": _decodings(), "pages": _pages()}
    texts = (f'"{name}": [\n' + ",\n".join(map(json.dumps, cases)) + "\n]" for name, cases in parts.items())
    return "{\n" + ",\n".join(texts) + "\n}\n"


def main() -> int:
    """Write the file."""
    text = content()
    GOLDEN.write_text(text)
    print(f"{GOLDEN.relative_to(Path.cwd())}: {len(text) / 1000:.0f} kB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
