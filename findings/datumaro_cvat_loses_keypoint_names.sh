#!/usr/bin/env bash
# Datumaro: COCO keypoints written as CVAT XML lose their names and visibility, and missing ones become points at (0, 0).
#
# Guess:  A skeleton in CVAT's XML has one element for each keypoint with its name, `occluded` and `outside`. The exporter
#         writes that, or warns about what it cannot write.
# Seen:   datumaro 1.13.12 (numpy 2.4.6). Each person is one <points> element with a list of coordinates. The names are
#         nowhere in the file. `occluded` and `outside` are 0 for the whole list. A keypoint that is not labeled (0 in
#         COCO) is written as a point at 0,0. No warning is about keypoints. Written as COCO again, nothing is lost.
# Matters: The file says that every missing keypoint is visible in the corner of the picture, and that hidden keypoints
#         are visible. Which number is which keypoint has to be known from elsewhere.
# In CVAT, import the COCO file itself, as "COCO Keypoints 1.0".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check datumaro==1.13.12 numpy==2.4.6 pillow==12.3.0
cd "$folder"
"$folder/venv/bin/python" - 2>messages <<'PYTHON' || { cat messages >&2; exit 1; }
import json
from pathlib import Path
from xml.etree import ElementTree

from datumaro import Dataset
from PIL import Image

NAMES = ["nose", "left_ear", "right_ear"]
KEYPOINTS = [60, 20, 2, 40, 15, 1, 0, 0, 0]
for part in ("images/train", "annotations"):
    Path("coco", part).mkdir(parents=True)
Image.new("RGB", (200, 100)).save("coco/images/train/mouse.png")
box = {"bbox": [20, 10, 80, 60], "area": 4800, "iscrowd": 0, "segmentation": []}
content = {
    "images": [{"id": 1, "file_name": "mouse.png", "width": 200, "height": 100}],
    "categories": [{"id": 1, "name": "mouse", "keypoints": NAMES, "skeleton": [[1, 2], [1, 3]]}],
    "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "keypoints": KEYPOINTS, "num_keypoints": 2, **box}],
}
Path("coco/annotations/person_keypoints_train.json").write_text(json.dumps(content))

dataset = Dataset.import_from("coco", "coco_person_keypoints")
dataset.export("again", "coco_person_keypoints")
again = json.loads(Path("again/annotations/person_keypoints_train.json").read_text())
print("as COCO again:", again["categories"][0]["keypoints"], again["annotations"][0]["keypoints"])
assert again["categories"][0]["keypoints"] == NAMES
assert again["annotations"][0]["keypoints"] == KEYPOINTS

dataset.export("cvat", "cvat", save_media=True)
text = Path("cvat/train.xml").read_text()
found = [dict(element.attrib) for element in ElementTree.fromstring(text).iter("points")]
print("as CVAT XML:", *found)
assert [element["points"] for element in found] == ["60.00,20.00;40.00,15.00;0.00,0.00"], "the behavior has changed"
assert {found[0]["occluded"], found[0]["outside"]} == {"0"}, "the behavior has changed"
assert not any(name in text for name in (*NAMES, "skeleton")), "the behavior has changed"
PYTHON
if grep -iE "keypoint|points|visib|skeleton" "$folder/messages"; then echo "the behavior has changed: it warns"; exit 1; fi
