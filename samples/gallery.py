"""Draw the predictions for a folder of pictures on one sheet: overlays above, flattened pages below.

Install:  pip install "edgehrnet[openvino]"
Run:      python samples/gallery.py PICTURES gallery.jpg
Prints:   one line per picture: its score, and why its page could not be flattened.
"""

import sys

from PIL import Image, ImageOps

from edgehrnet import Predictor
from edgehrnet.errors import ImageError, UnsupportedError
from edgehrnet.sources.files import Files

CELL, GAP = (320, 320), 12  # px
ACROSS = 6  # pictures per row
BACKGROUND = (244, 244, 244)

columns = []
with Predictor("document-corners") as predictor:
    for path in Files(sys.argv[1]):
        try:
            result = predictor.predict(path)
        except ImageError as error:
            print(f"skipped: {error}")
            continue
        try:
            page, note = result.rectify(), ""
        except UnsupportedError as error:
            page, note = Image.new("RGB", CELL, BACKGROUND), f"; {error}"
        columns.append([ImageOps.pad(picture, CELL, color=BACKGROUND) for picture in (result.plot(), page)])
        print(f"{path.name}: score {result.score[0]:.2f}{note}")

width, height = CELL[0] + GAP, CELL[1] + GAP
across, down = min(len(columns), ACROSS), -(-len(columns) // ACROSS)
sheet = Image.new("RGB", (across * width + GAP, 2 * down * height + GAP), BACKGROUND)
for index, cells in enumerate(columns):
    row, column = divmod(index, ACROSS)
    for below, cell in enumerate(cells):
        sheet.paste(cell, (GAP + column * width, GAP + (2 * row + below) * height))
sheet.save(sys.argv[2])
