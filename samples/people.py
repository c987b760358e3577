"""Find the keypoints of people in every picture of a folder: a person for each box of a detector.

Install:  pip install "edgehrnet[openvino]"
Run:      python samples/people.py MODEL PICTURES [DETECTIONS.json]
          MODEL is a network for persons, such as python -m quant.export makes of a published HRNet. The detections are
          COCO's, {"image_id": 785, "bbox": [x, y, width, height], "score": 0.98} and so on, and 000000000785.jpg the
          picture of that number. Without them, a picture as a whole is taken for one person.
Prints:   one line a picture, people and milliseconds; overlays are in the folder people.
"""

import json
import sys
from collections import defaultdict
from pathlib import Path

from edgehrnet import Predictor
from edgehrnet.errors import EdgeHRNetError, ImageError
from edgehrnet.picture.sources import frames

SURE = 0.5  # of a box; a weaker one is rarely a person
PERSON = 1  # COCO's category

model, folder, *detections = map(Path, sys.argv[1:])
boxes = defaultdict(list)
for found in json.loads(detections[0].read_text()) if detections else []:
    if found["score"] >= SURE and found.get("category_id", PERSON) == PERSON:
        boxes[found["image_id"]].append(found["bbox"])

out = Path("people")
out.mkdir(exist_ok=True)
try:
    with Predictor(model) as predictor:
        for path in frames(folder):
            number = int(path.stem) if path.stem.isdecimal() else path.stem
            try:
                result = predictor.predict(path, boxes=boxes[number] if detections else None)
            except ImageError as error:
                print(f"skipped: {error}")
                continue
            overlay = result.save(out / f"{path.stem}.png")
            print(f"{overlay}: {len(result.keypoints)} people, {sum(result.speed.values()):.0f} ms")
except EdgeHRNetError as error:
    sys.exit(str(error))
