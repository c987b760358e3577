#!/usr/bin/env bash
# Label Studio: the COCO export makes one instance of all animals in a picture, and names its keypoints in another order.
#
# Guess:  As in the YOLO export, each rectangle with its keypoints is one annotation, and `keypoints` of the category has
#         the names in the order of the numbers.
# Seen:   label-studio-sdk 2.1.2, the package that Label Studio exports with. There is one annotation with keypoints for
#         each picture. Of two animals' noses the later one stays, so points of different animals are mixed. Numbers are
#         in the order of `model_index`, names in that of the labels in the configuration. The rectangles are annotations
#         without keypoints, of another category. The YOLO export of the same tasks has each animal with its own points.
# Matters: Nothing in the file shows that nose and tail are exchanged in all of it, or that animals are missing.
# Read the JSON or the YOLO export.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check label-studio-sdk==2.1.2 pillow==13.0.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import json
from pathlib import Path

from label_studio_sdk.converter import Converter
from PIL import Image

CONFIG = """<View><Image name="image" value="$image"/>
<RectangleLabels name="box" toName="image"><Label value="mouse"/></RectangleLabels>
<KeyPointLabels name="point" toName="image"><Label value="nose" model_index="1"/><Label value="tail" model_index="0"/>
</KeyPointLabels></View>"""
Image.new("RGB", (100, 100)).save("mice.png")
size = {"original_width": 100, "original_height": 100, "to_name": "image"}


def mouse(number, left, points):
    """The regions of one mouse. Percent are pixels in this picture."""
    area = {"x": left, "y": 10, "width": 40, "height": 40, "rotation": 0, "rectanglelabels": ["mouse"]}
    yield {"id": f"box{number}", "from_name": "box", "type": "rectanglelabels", "value": area, **size}
    for name, (x, y) in points.items():
        value = {"x": x, "y": y, "width": 1, "keypointlabels": [name]}
        region = {"id": f"{name}{number}", "parentID": f"box{number}", "from_name": "point", "type": "keypointlabels"}
        yield {**region, "value": value, **size}


regions = [*mouse(1, 5, {"nose": (10, 20), "tail": (40, 45)}), *mouse(2, 55, {"nose": (60, 20)})]
annotation = {"id": 1, "created_at": "2026-01-01T12:00:00.000000Z", "result": regions}
tasks = [{"id": 1, "data": {"image": "mice.png"}, "annotations": [annotation]}]
Path("tasks.json").write_text(json.dumps(tasks))
for form in ("YOLO", "COCO"):
    Converter(CONFIG, project_dir=".").convert("tasks.json", form, form, is_dir=False)
coco = json.loads(Path("COCO/result.json").read_text())
names = [category["keypoints"] for category in coco["categories"] if "keypoints" in category]
points = [label["keypoints"] for label in coco["annotations"] if "keypoints" in label]
lines = Path("YOLO/labels/mice.txt").read_text().splitlines()
rows = [[round(float(x) * 100) for x in line.split()[5:]] for line in lines]
print("mouse 1: nose at (10, 20), tail at (40, 45); mouse 2: nose at (60, 20), no tail")
print(f"COCO names {names}, keypoints {points}")
print(f"YOLO keypoints in percent {rows}, visible 200, not labeled 0")
assert (names, points) == ([["nose", "tail"]], [[40, 45, 2, 60, 20, 2]]), "the behavior has changed"
assert rows == [[40, 45, 200, 10, 20, 200], [0, 0, 0, 60, 20, 200]], "the behavior has changed"
PYTHON
