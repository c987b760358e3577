"""A folder in which the documentation's commands can run, with a data set of stick figures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from edgehrnet import sample_picture

ROOT = Path(__file__).parent.parent.parent
PICTURES = 10  # of stick figures

NAMES = ("head", "left_hand", "right_hand", "left_foot", "right_foot")
SKELETON = ((1, 2), (1, 3), (1, 4), (1, 5))  # COCO counts from 1


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a photo, a checkpoint and labeled stick figures."""
    shutil.copy(sample_picture(), tmp_path / "photo.jpg")
    (tmp_path / "checkpoints").mkdir()
    shutil.copy(ROOT / "checkpoints" / "document-corners-hs.pt", tmp_path / "checkpoints")
    write_figures(tmp_path / "figures", PICTURES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_figures(folder: Path, count: int = 60, seed: int = 0) -> Path:
    """Write ``count`` pictures into ``folder/images`` and their labels into ``folder/figures.json``."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    images, annotations = [], []
    for number in range(count):
        size = int(rng.integers(200, 320)), int(rng.integers(200, 320))  # width, height
        picture, points = _figure(rng, size)
        name = f"figure-{number:03}.jpg"
        picture.save(folder / "images" / name, quality=92)
        images.append({"id": number + 1, "file_name": name, "width": size[0], "height": size[1]})
        low, high = points.min(0) - 12, points.max(0) + 12
        annotations.append(
            {
                "id": number + 1,  # pycocotools takes 0 for "no match"
                "image_id": number + 1,
                "category_id": 1,
                "keypoints": [value for x, y in points.tolist() for value in (round(x, 2), round(y, 2), 2)],
                "num_keypoints": len(NAMES),
                "iscrowd": 0,
                "area": round(float(np.prod(high - low)), 1),
                "bbox": [round(value, 1) for value in (*low.tolist(), *(high - low).tolist())],
            }
        )
    category = {"id": 1, "name": "figure", "keypoints": NAMES, "skeleton": SKELETON}
    labels = folder / "figures.json"
    labels.write_text(json.dumps({"images": images, "annotations": annotations, "categories": [category]}))
    return labels


def _figure(rng: np.random.Generator, size: tuple[int, int]) -> tuple[Image.Image, np.ndarray]:
    """Draw one figure; return the picture and its five points, x and y in pixels."""
    width, height = size
    noise = rng.normal(0, 8, (height, width, 3)) + rng.uniform(150, 230, 3)
    picture = Image.fromarray(noise.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture)
    scale = rng.uniform(0.5, 0.75) * min(size)
    center = np.array(size) / 2 + rng.uniform(-0.06, 0.06, 2) * size
    turn = rng.uniform(-0.3, 0.3)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    upright = np.array([[0, -0.5], [-0.35, -0.1], [0.35, -0.1], [-0.2, 0.5], [0.2, 0.5], [0, -0.2], [0, 0.12]])
    upright[1:3] += rng.uniform(-0.12, 0.12, (2, 2))
    upright[3:5] += rng.uniform(-0.06, 0.06, (2, 2))
    points = upright @ rotation.T * scale + center
    head, left_hand, right_hand, left_foot, right_foot, neck, hip = map(tuple, points)
    dark = tuple(int(value) for value in rng.integers(0, 70, 3))
    for a, b in ((head, neck), (neck, hip), (neck, left_hand), (neck, right_hand), (hip, left_foot), (hip, right_foot)):
        draw.line([a, b], fill=dark, width=max(2, int(scale / 30)))
    for (x, y), fill in zip(points[:5], ("white", "red", "blue", "red", "blue"), strict=True):
        radius = scale / 18
        draw.ellipse([x - radius, y - radius, x + radius, y + radius], fill=fill, outline=dark)
    return picture, points[:5]
