"""Draw videos of stick figures that walk about, with known keypoints and boxes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

NAMES = ("head", "left_hand", "right_hand", "left_foot", "right_foot")
SKELETON = ((1, 2), (1, 3), (1, 4), (1, 5))  # COCO counts from 1
SIZE = (480, 360)  # width, height
FPS = 30
MARGIN = 8.0  # px of the boxes around the keypoints
Floats = NDArray[np.float64]


def track(seed: int, frames: int, *, figures: int = 2) -> Floats:
    """Return the keypoints ``(T, N, 5, 2)`` of figures that walk, swing their arms and legs, and change their size."""
    rng = np.random.default_rng([seed, 0])
    time = np.arange(frames) / FPS

    def swing(size: float) -> Floats:
        waves = [rng.uniform(-1, 1) * np.sin(2 * np.pi * rng.uniform(0.1, 0.6) * time + rng.uniform(0, 6.3))]
        waves += [0.5 * rng.uniform(-1, 1) * np.sin(2 * np.pi * rng.uniform(0.6, 1.6) * time + rng.uniform(0, 6.3))]
        return np.asarray(size * np.sum(waves, axis=0))

    bodies = []
    for n in range(figures):
        height = rng.uniform(90, 150) * (1 + swing(0.15))
        middle = SIZE[0] * (n + 0.5) / figures
        center = np.stack([middle + swing(45), SIZE[1] / 2 + swing(50)], axis=1)
        turn, points = swing(0.2), []
        for x, y, reach in ((0, -0.5, 0.0), (-0.3, -0.1, 0.12), (0.3, -0.1, 0.12), (-0.2, 0.5, 0.1), (0.2, 0.5, 0.1)):
            points.append(np.stack([x + swing(reach), y + swing(reach / 2)], axis=1))
        cos, sin = np.cos(turn), np.sin(turn)
        flat = np.stack(points, axis=1) * height[:, None, None]
        rotated = np.stack(
            [
                flat[..., 0] * cos[:, None] - flat[..., 1] * sin[:, None],
                flat[..., 0] * sin[:, None] + flat[..., 1] * cos[:, None],
            ],
            axis=2,
        )
        bodies.append(rotated + center[:, None])
    return np.stack(bodies, axis=1)


def boxes_of(points: Floats) -> Floats:
    """Return the boxes ``(..., 4)`` xywh of figures ``(..., 5, 2)``."""
    low, high = points.min(axis=-2) - MARGIN, points.max(axis=-2) + MARGIN
    return np.concatenate([low, high - low], axis=-1)


def draw(seed: int, points: Floats) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames ``(H, W, 3)`` u8 RGB of figures ``(T, N, 5, 2)``, with noise of their own."""
    rng = np.random.default_rng([seed, 1])
    ground = np.asarray(
        Image.fromarray(rng.integers(120, 240, (6, 8, 3), dtype=np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
    )
    inks = [tuple(int(v) for v in rng.integers(0, 80, 3)) for _ in range(points.shape[1])]
    for frame in points:
        picture = Image.fromarray((ground + rng.normal(0, 8, ground.shape)).clip(0, 255).astype(np.uint8))
        large = picture.resize((SIZE[0] * 2, SIZE[1] * 2))  # drawn at twice the size, for soft edges
        for body, ink in zip(frame, inks, strict=True):
            _figure(ImageDraw.Draw(large), (body + 0.5) * 2, ink)
        yield np.asarray(large.resize(SIZE, Image.Resampling.BOX))


def _figure(pen: ImageDraw.ImageDraw, points: Floats, ink: tuple[int, ...]) -> None:
    head, left_hand, right_hand, left_foot, right_foot = map(tuple, points)
    feet = (points[3] + points[4]) / 2
    neck, hip = tuple(points[0] * 0.75 + feet * 0.25), tuple(points[0] * 0.4 + feet * 0.6)
    height = float(np.linalg.norm(points[0] - feet))
    for a, b in ((head, neck), (neck, hip), (neck, left_hand), (neck, right_hand), (hip, left_foot), (hip, right_foot)):
        pen.line([a, b], fill=ink, width=max(2, int(height / 26)))
    for (x, y), fill in zip(points, ("white", "red", "blue", "orange", "green"), strict=True):
        radius = height / 22
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=fill, outline=ink)


def write_pictures(folder: Path, count: int) -> Path:
    """Write labeled pictures for training into a folder, and return the path of their COCO file."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images: list[dict[str, object]] = []
    annotations: list[dict[str, object]] = []
    for number in range(count):
        seed = 100_000 + number  # other figures than those of the videos
        points = track(seed, 60)[-1:]
        name = f"{number:04}.jpg"
        Image.fromarray(next(draw(seed, points))).save(folder / "images" / name, quality=92)
        images.append({"id": number + 1, "file_name": name, "width": SIZE[0], "height": SIZE[1]})
        for body, box in zip(points[0], boxes_of(points[0]), strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number + 1,
                    "category_id": 1,
                    "keypoints": [value for x, y in body.tolist() for value in (x, y, 2)],
                    "num_keypoints": len(NAMES),
                    "iscrowd": 0,
                    "area": float(box[2] * box[3]),
                    "bbox": box.tolist(),
                }
            )
    category = {"id": 1, "name": "figure", "keypoints": NAMES, "skeleton": SKELETON}
    labels = folder / "figures.json"
    labels.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [category]}))
    return labels
