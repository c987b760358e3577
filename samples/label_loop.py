"""Draw figures with known keypoints, and play the person who labels them in Label Studio.

Install:  pip install "edgehrnet[openvino]"
Run:      python samples/label_loop.py draw FOLDER
          python samples/label_loop.py correct FOLDER FOLDER/round-1/tasks.json
Prints:   how many pictures have labels in FOLDER/export.json now. FOLDER/test.json has labels for the test.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

NAMES = ("head", "left_hand", "right_hand", "left_foot", "right_foot")
SIDE = 160
FIGURE = np.array([[0, -40], [-32, -8], [32, -8], [-18, 42], [18, 42], [0, -22], [0, 10]])


def draw(seed: int) -> tuple[Image.Image, list[list[float]]]:
    """Return a picture and its five points. Every fourth figure is faint and upside down or lying."""
    rng, odd = np.random.default_rng(seed), seed % 4 == 3
    angle = rng.choice([90.0, 180.0, 270.0]) if odd else rng.uniform(-25, 25)
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    points = (FIGURE + rng.normal(0, 6, (7, 2))) @ [[cos, sin], [-sin, cos]] * rng.uniform(0.7, 1.0)
    points += SIDE / 2 + rng.uniform(-18, 18, 2)
    back = Image.fromarray(rng.integers(60, 200, (5, 5, 3), dtype=np.uint8)).resize((SIDE, SIDE))
    pen, middle = ImageDraw.Draw(back), np.array(back.resize((1, 1)).getpixel((0, 0)))
    color = tuple(int(value) for value in middle * (0.7 if odd else 0.1))
    for a, b in ((5, 6), (5, 0), (5, 1), (5, 2), (6, 3), (6, 4)):
        pen.line([*points[a], *points[b]], fill=color, width=5)
    pen.ellipse([*(points[0] - 9), *(points[0] + 9)], fill=color)
    return back, points[:5].tolist()


def task(address: str, points: list[list[float]]) -> dict[str, Any]:
    """Return a task of Label Studio with the true points."""
    result = []
    for name, (x, y) in zip(NAMES, points, strict=True):
        value = {"x": 100 * x / SIDE, "y": 100 * y / SIDE, "keypointlabels": [name]}
        result.append({"id": name, "original_width": SIDE, "original_height": SIDE, "value": value})
    return {"id": address, "data": {"image": address}, "annotations": [{"id": 1, "result": result}]}


folder = Path(sys.argv[2])
tasks = json.loads((folder / "export.json").read_text()) if sys.argv[1] == "correct" else []
for part, seeds in (("export", range(16)), ("all", range(16, 300)), ("test", range(1000, 1100))):
    if sys.argv[1] == "draw":
        (folder / part).mkdir(parents=True)
        for seed in seeds:
            draw(seed)[0].save(folder / part / f"{seed:04d}.png", compress_level=1)
        (folder / f"{part}.json").write_text(json.dumps([task(f"{part}/{n:04d}.png", draw(n)[1]) for n in seeds]))
for path in sys.argv[3:]:
    for address in (one["data"]["image"] for one in json.loads(Path(path).read_text())):
        tasks.append(task(address, draw(int(Path(address).stem))[1]))
if tasks:
    (folder / "export.json").write_text(json.dumps(tasks))
    print(f"{len(tasks)} labeled pictures in {folder / 'export.json'}")
