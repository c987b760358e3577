"""A small set of people with labels as clean as can be, which tests spoil."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

WIDTH, HEIGHT = 120, 80
NAMES = ("nose", "left_eye", "right_eye", "left_hip", "right_hip")


@dataclass
class People:
    """COCO labels of nine people in six pictures, two in each odd one."""

    folder: Path
    content: dict[str, Any]

    @property
    def annotations(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.content["annotations"]
        return found

    @property
    def images(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.content["images"]
        return found

    @property
    def category(self) -> dict[str, Any]:
        found: dict[str, Any] = self.content["categories"][0]
        return found

    def each(self, change: Callable[[dict[str, Any]], Any]) -> None:
        """Change every annotation."""
        for annotation in self.annotations:
            change(annotation)

    def write(self, name: str = "labels.json", pictures: str | None = None) -> Path:
        """Write the labels, and the pictures into the same folder or another one. Return the labels' path."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self.content))
        self.draw(path.parent if pictures is None else self.folder / pictures)
        return path

    def draw(self, folder: Path, numbers: Iterable[int] = range(1, 7)) -> None:
        """Save the pictures, each of another gray."""
        folder.mkdir(parents=True, exist_ok=True)
        for number in numbers:
            Image.new("L", (WIDTH, HEIGHT), 20 * number).save(folder / f"p{number}.png")


def person(number: int, picture: int, left: int) -> dict[str, Any]:
    """A person, who stands a little differently each time."""
    rng = np.random.default_rng(number)
    places = np.array([(25, 8), (32, 5), (18, 5), (35, 50), (15, 50)]) + rng.integers(-2, 3, (5, 2)) + (left, 8)
    return {
        "id": number,
        "image_id": picture,
        "category_id": 1,
        "iscrowd": 0,
        "area": 1500.0,
        "num_keypoints": 5,
        "bbox": [left, 8, 50, 62],
        "keypoints": np.c_[places, [1, 2, 2, 2, 2]].astype(float).ravel().tolist(),
    }


@pytest.fixture
def people(tmp_path: Path) -> People:
    places = [(picture, left) for picture in range(1, 7) for left in ((5, 62) if picture % 2 else (5,))]
    images = [{"id": n, "file_name": f"p{n}.png", "width": WIDTH, "height": HEIGHT} for n in range(1, 7)]
    category = {"id": 1, "name": "person", "supercategory": "person", "keypoints": list(NAMES),
                "skeleton": [[1, 2], [1, 3]], "sigmas": [0.05] * 5}  # fmt: skip
    annotations = [person(number, *place) for number, place in enumerate(places, start=1)]
    return People(tmp_path, {"images": images, "annotations": annotations, "categories": [category]})
