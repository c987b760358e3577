"""Look at a model on a folder of pictures: what it saw above, the page flattened below, on one sheet.

Install:  pip install "edgehrnet[openvino]"
Run:      python samples/gallery.py PICTURES gallery.jpg
Prints:   one line a picture: its score, and what is in the way of a flattened page.
"""

import sys
from pathlib import Path

from PIL import Image, ImageOps

from edgehrnet import Predictor
from edgehrnet.errors import ImageError, UnsupportedError
from edgehrnet.picture.sources import frames

CELL, GAP = (320, 320), 12  # px
ACROSS = 6  # pictures in a row
GROUND = (244, 244, 244)

columns = []
with Predictor("document-corners") as predictor:
    for path in frames(Path(sys.argv[1])):
        try:
            result = predictor.predict(path)
        except ImageError as error:
            print(f"skipped: {error}")
            continue
        try:
            page, note = result.rectify(), ""
        except UnsupportedError as error:
            page, note = Image.new("RGB", CELL, GROUND), f"; {error}"
        columns.append([ImageOps.pad(picture, CELL, color=GROUND) for picture in (result.plot(), page)])
        print(f"{path.name}: score {result.score[0]:.2f}{note}")

width, height = CELL[0] + GAP, CELL[1] + GAP
across, down = min(len(columns), ACROSS), -(-len(columns) // ACROSS)
sheet = Image.new("RGB", (across * width + GAP, 2 * down * height + GAP), GROUND)
for number, cells in enumerate(columns):
    row, column = divmod(number, ACROSS)
    for below, cell in enumerate(cells):
        sheet.paste(cell, (GAP + column * width, GAP + (2 * row + below) * height))
sheet.save(sys.argv[2])
