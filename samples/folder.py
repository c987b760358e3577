"""Find the corners of the document in every picture of a folder and write them to a JSON file.

Install:  pip install "edgehrnet[openvino]"
Run:      python samples/folder.py PICTURES corners.json
Prints:   one line per picture. A warning names each unreadable picture.
"""

import json
import sys
from pathlib import Path

from edgehrnet import Predictor

folder, out = Path(sys.argv[1]), Path(sys.argv[2])
rows = []
with Predictor("document-corners") as predictor:
    for result in predictor.stream(folder, on_error="skip"):
        rows.append(result.to_dict())
        print(f"{result.source}: score {result.score[0]:.2f}, {sum(result.speed.values()):.0f} ms")

out.write_text(json.dumps(rows, indent=1))
print(f"{len(rows)} results in {out}")
