"""Find the keypoints of people in every picture of a folder, one person per detector box.

Install:  pip install "edgehrnet[openvino]"
Run:      python samples/people.py MODEL PICTURES [DETECTIONS.json]
          MODEL is a network for people, such as a published HRNet exported with python -m quant.export. DETECTIONS.json
          is a COCO results file: [{"image_id": 785, "bbox": [x, y, width, height], "score": 0.98}, ...], where the last
          digits of a file name are the image id, 785 for COCO_val2014_000000000785.jpg, and boxes are xywh in pixels.
          Without it, each picture is taken as one person.
Prints:   one line per picture: its overlay in the folder people, the number of people, and milliseconds.
"""

import sys
import warnings
from pathlib import Path

from edgehrnet import Predictor
from edgehrnet.errors import EdgeHRNetError, ImageError, NoBoxesWarning
from edgehrnet.picture.boxes import read_boxes
from edgehrnet.sources.files import Files

BOX_THRESHOLD = 0.5  # score; boxes below it are rarely people
PERSON = 1  # category id of COCO

model, folder, *detections = map(Path, sys.argv[1:])
warnings.simplefilter("ignore", NoBoxesWarning)  # without detections each picture is one person
out = Path("people")
out.mkdir(exist_ok=True)
try:
    pictures = list(Files(folder))
    boxes = None
    if detections:  # raises InputError if no picture has a box
        boxes = read_boxes(detections[0], min_score=BOX_THRESHOLD, category=PERSON).of_each(pictures)
    with Predictor(model) as predictor:
        for number, path in enumerate(pictures):
            try:
                result = predictor.predict(path, boxes=boxes and boxes[number])
            except ImageError as error:
                print(f"skipped: {error}")
                continue
            overlay = result.save(out / f"{path.stem}.png")
            print(f"{overlay}: {len(result.keypoints)} people, {sum(result.speed.values()):.0f} ms")
except EdgeHRNetError as error:
    sys.exit(str(error))
