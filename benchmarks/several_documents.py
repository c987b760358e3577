"""Measure the corners of several documents in one picture, each in a box, next to those of each document alone.

Usage: ``python benchmarks/several_documents.py``. Two or three documents lie on a table of 1280x960 px, in different
quarters. The boxes are imitated: the true ones, each side moved by a random error of a share of the box's size. Alone,
a document lies on the same table at the same place, and its quarter is predicted as a picture of 640x480 px.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.moving_documents import GRAIN, SIZE, track
from edgehrnet import Predictor
from edgehrnet.picture.crops import MARGIN
from quant.data.documents import ground, sheets
from quant.data.documents.difficulty import USUAL
from quant.data.documents.pages import Page
from quant.data.documents.props import Props

QUARTERS = np.array([(x, y) for y in (0, SIZE[1]) for x in (0, SIZE[0])])
Floats = NDArray[np.float64]
Picture = NDArray[np.uint8]


def scenes(count: int) -> Iterator[tuple[Picture, list[Picture], Floats, Floats]]:
    """Yield pictures of several documents, of each alone in its quarter, its place, and the corners ``(N, 4, 2)``."""
    for seed in range(count):
        rng, props = np.random.default_rng([seed, 2]), Props(3)
        chosen = QUARTERS[np.sort(rng.choice(4, 2 + seed % 2, replace=False))].astype(float)
        quads = np.stack([track(1000 * seed + n, 1)[0] for n in range(len(chosen))]) + chosen[:, None]
        table = ground.background(rng, props, (2 * SIZE[0], 2 * SIZE[1]), None, USUAL, set())
        pages = [props.page(rng) for _ in chosen]
        noise = rng.normal(0, GRAIN, (2 * SIZE[1], 2 * SIZE[0], 3)).astype(np.float32)

        corners = chosen.astype(int)
        drawn = [draw(seed, table, pages[n : n + 1], quads[n : n + 1], noise) for n in range(len(chosen))]
        alone = [one[y : y + SIZE[1], x : x + SIZE[0]].copy() for one, (x, y) in zip(drawn, corners, strict=True)]
        yield draw(seed, table, pages, quads, noise), alone, chosen, quads


def draw(seed: int, table: Image.Image, pages: list[Page], quads: Floats, noise: NDArray[np.float32]) -> Picture:
    """Return a picture of pages on a table."""
    for page, quad in zip(pages, quads + 0.5, strict=True):
        table = sheets.cast_sheet_shadow(np.random.default_rng(seed), table, quad)
        sheets.place_page(table, page, quad)
    return (np.asarray(table) + noise).clip(0, 255).astype(np.uint8)


def boxes_of(quads: Floats, jitter: float, margin: float, rng: np.random.Generator) -> Floats:
    """Return boxes ``(N, 4)`` xywh with errors, which the Predictor grows to ``margin`` times their size."""
    low, high = quads.min(axis=1), quads.max(axis=1)
    sides = high - low
    corners = np.concatenate([low, high], axis=1) + rng.normal(0, jitter, (len(quads), 4)) * np.tile(sides, 2)
    middle, grown = (corners[:, :2] + corners[:, 2:]) / 2, (corners[:, 2:] - corners[:, :2]) * margin / MARGIN
    return np.concatenate([middle - grown / 2, grown], axis=1)


def errors(found: Floats, true: Floats) -> Floats:
    """Return the distances of corners ``(N, 4, 2)`` in px, of the order along the outline that fits best."""
    turned = np.stack([np.linalg.norm(np.roll(found, n, axis=1) - true, axis=2) for n in range(4)])
    best = turned.mean(axis=2).argmin(axis=0)
    return np.concatenate([turned[turn, n] for n, turn in enumerate(best)])


def main() -> None:
    """Print the errors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="document-corners", help="model (default: %(default)s)")
    parser.add_argument("--scenes", type=int, default=100, help="pictures (default: %(default)s)")
    parser.add_argument("--jitters", type=float, nargs="+", default=[0, 0.03, 0.06],
                        help="errors of the boxes (default: 0 0.03 0.06)")  # fmt: skip
    parser.add_argument("--margins", type=float, nargs="+", default=[MARGIN],
                        help="factors by which boxes grow (default: the Predictor's)")  # fmt: skip
    args = parser.parse_args()
    rows: dict[str, list[Floats]] = {}
    with Predictor(args.model, shapes=1) as predictor:
        for picture, alone, places, quads in scenes(args.scenes):
            single = [predictor.predict(one).keypoints.xy[0] + place for one, place in zip(alone, places, strict=True)]
            rows.setdefault("alone", []).append(errors(np.stack(single), quads))
            for margin in args.margins:
                for jitter in args.jitters:
                    rng = np.random.default_rng(len(rows["alone"]))
                    result = predictor.predict(picture, boxes=boxes_of(quads, jitter, margin, rng))
                    name = f"boxes off by {jitter:.0%}, grown by {margin:g}"
                    rows.setdefault(name, []).append(errors(result.keypoints.xy, quads))
    print("| documents | mean px | median | 95 % | over 10 px |\n|---|---|---|---|---|")
    for name, each in rows.items():
        px = np.concatenate(each)
        print(
            f"| {name} | {px.mean():.2f} | {np.median(px):.2f} | {np.percentile(px, 95):.2f} | {(px > 10).mean():.1%} |"
        )


if __name__ == "__main__":
    main()
