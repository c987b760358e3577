#!/usr/bin/env bash
# Label Studio: the COCO box of a turned rectangle is wrong unless the picture is square, and YOLO's box ignores the turn.
#
# Guess:  A turned rectangle is exported as the upright box around it, in pixels.
# Seen:   label-studio-sdk 2.1.2, the package that Label Studio exports with. COCO: x, y, width and height are turned in
#         percent of the picture, as if one percent were as long down as across. In a picture of 200 x 100 px, 80 x 60 px
#         turned by 30 degrees get a box that is 30 px wider and 20 px shorter than it should be. In a square one it is right.
#         YOLO: the box is the rectangle before it was turned. YOLO OBB, which has the corners, is right.
# Matters: A network that takes crops is trained on wrong crops, and OKS divides by a wrong area.
# Read the JSON export, and turn the rectangle in pixels about its `x`, `y` corner.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    label-studio-sdk==2.1.2 numpy==2.2.6 pillow==13.0.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import json
from pathlib import Path

import numpy as np
from label_studio_sdk.converter import Converter
from PIL import Image

CONFIG = """<View><Image name="image" value="$image"/>
<RectangleLabels name="box" toName="image"><Label value="mouse"/></RectangleLabels></View>"""
PLACE = np.array([60, 10, 80, 60])


def boxes(picture):
    """The box around the corners of YOLO OBB, and the boxes of COCO and YOLO, all xywh in px."""
    Image.new("RGB", picture).save("mouse.png")
    scale = np.tile(picture, 2)
    value = dict(zip(("x", "y", "width", "height"), PLACE / scale * 100, strict=True))
    value |= {"rotation": 30, "rectanglelabels": ["mouse"]}
    region = {"id": "a", "from_name": "box", "to_name": "image", "type": "rectanglelabels", "value": value}
    region |= {"original_width": picture[0], "original_height": picture[1]}
    annotation = {"id": 1, "created_at": "2026-01-01T12:00:00.000000Z", "result": [region]}
    tasks = [{"id": 1, "data": {"image": "mouse.png"}, "annotations": [annotation]}]
    Path("tasks.json").write_text(json.dumps(tasks))
    for form in ("YOLO_OBB", "COCO", "YOLO"):
        Converter(CONFIG, project_dir=".").convert("tasks.json", form, form, is_dir=False)
    rows = {form: Path(form, "labels/mouse.txt").read_text().split()[1:] for form in ("YOLO_OBB", "YOLO")}
    corners = np.array(rows["YOLO_OBB"], float).reshape(4, 2) * picture
    row = np.array(rows["YOLO"], float)
    coco = np.array(json.loads(Path("COCO/result.json").read_text())["annotations"][0]["bbox"])
    yolo = np.append(row[:2] - row[2:] / 2, row[2:]) * scale
    return np.append(corners.min(0), np.ptp(corners, axis=0)), coco, yolo


for picture, error in (((200, 200), [0, 0, 0, 0]), ((200, 100), [-30, 0, 30, -20])):
    turned, coco, yolo = boxes(picture)
    print(f"picture {picture}: around the corners {turned.round(1)}, COCO {coco.round(1)}, YOLO {yolo.round(1)}")
    assert np.allclose(coco - turned, error, atol=0.05), "the behavior has changed"
    assert np.allclose(yolo, PLACE), "the behavior has changed"
PYTHON
