#!/usr/bin/env bash
# Label Studio: with two annotations of a picture, the YOLO export has the oldest one, and the COCO export has both.
#
# Guess:  All exports take the same annotation of a task, and it is the ground truth or the newest one.
# Seen:   label-studio-sdk 2.1.2, the package that Label Studio exports with. Annotations are converted from the newest to
#         the oldest, and each writes the same YOLO label file, so the oldest stays. A mark as ground truth changes
#         nothing. COCO has the picture twice with the same file name, once for each annotation. No message says so.
# Matters: A correction that is saved as a new annotation never reaches the training. In COCO, the picture is a training
#         example twice with different labels, and a random split may put one of them into the validation set.
# Delete the annotations that do not count before exporting, or read the JSON export.
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
<KeyPointLabels name="point" toName="image"><Label value="nose" model_index="0"/></KeyPointLabels></View>"""
Image.new("RGB", (200, 100)).save("mouse.png")
size = {"original_width": 200, "original_height": 100, "to_name": "image"}


def annotation(number, month, x, **more):
    """An annotation with a box and the nose at x percent of the width."""
    area = {"x": 10, "y": 10, "width": 80, "height": 80, "rotation": 0, "rectanglelabels": ["mouse"]}
    box = {"id": "a", "from_name": "box", "type": "rectanglelabels", "value": area, **size}
    place = {"x": x, "y": 40, "width": 1, "keypointlabels": ["nose"]}
    point = {"id": "b", "parentID": "a", "from_name": "point", "type": "keypointlabels", "value": place, **size}
    when = f"2026-{month:02}-01T12:00:00.000000Z"
    return {"id": number, "created_at": when, "updated_at": when, "result": [box, point], **more}


def exported(annotations):
    """The x of the nose in percent, as YOLO and as COCO has it, and COCO's pictures."""
    tasks = [{"id": 1, "data": {"image": "mouse.png"}, "annotations": annotations}]
    Path("tasks.json").write_text(json.dumps(tasks))
    for form in ("YOLO", "COCO"):
        Converter(CONFIG, project_dir=".").convert("tasks.json", form, form, is_dir=False)
    rows = Path("YOLO/labels/mouse.txt").read_text().splitlines()
    coco = json.loads(Path("COCO/result.json").read_text())
    noses = [label["keypoints"][0] / 2 for label in coco["annotations"] if "keypoints" in label]
    return [float(row.split()[5]) * 100 for row in rows], noses, [image["file_name"] for image in coco["images"]]


old, new = annotation(1, 3, 20), annotation(2, 9, 70, ground_truth=True)
for name, both in (("oldest first", [old, new]), ("newest first", [new, old])):
    yolo, coco, pictures = exported(both)
    print(f"{name}: 20 is the old one, 70 the new one and ground truth. YOLO {yolo}, COCO {coco} in {pictures}")
    assert yolo == [20], "the behavior has changed"
    assert (coco, pictures) == ([70, 20], ["mouse.png"] * 2), "the behavior has changed"
PYTHON
