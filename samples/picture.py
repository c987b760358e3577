"""Find the corners of a document in a picture, flatten the page, and save an overlay and the page.

Install:  pip install "edgehrnet[openvino]"
Run:      python samples/picture.py photo.jpg
Prints:   one line per corner, then the two saved files.
"""

import sys
from pathlib import Path

from edgehrnet import Predictor, sample_picture

picture = Path(sys.argv[1]) if len(sys.argv) > 1 else sample_picture()
out = Path(sys.argv[2]) if len(sys.argv) > 2 else Path()

with Predictor("document-corners") as predictor:
    result = predictor.predict(picture)

for name, (x, y), conf in zip(result.keypoints.names, result.keypoints.xy[0], result.keypoints.conf[0], strict=True):
    print(f"{name:12s} x {x:7.1f}  y {y:7.1f}  confidence {conf:.2f}")

print(result.save(out / "corners.png"))
page = result.rectify()  # seen from above, with its true aspect ratio
page.save(out / "page.png")
print(out / "page.png")
