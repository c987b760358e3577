"""Find the corners of the document in many pictures, with several workers, and write them to a Parquet file.

Install:  pip install "edgehrnet[openvino,ray]"
Run:      python samples/ray_folder.py PICTURES corners.parquet [ADDRESS]
          PICTURES is a folder, or a Parquet file with a column of picture files as bytes. ADDRESS is that of a Ray
          cluster, such as auto or 10.0.0.5:6379. Without it, Ray starts on this machine.
Prints:   which worker has done how many pictures, and at the end each picture that could not be read. Of a run that
          was killed, only what is missing is done.
"""

import sys

import pyarrow.compute as pc
import pyarrow.parquet as pq

from edgehrnet.many import predict_many

pictures, out, *rest = sys.argv[1:]
address = rest[0] if rest else "local"
summary = predict_many(
    "document-corners",
    [pictures],
    out,
    address=address,
    resume=True,
    on_part=lambda part: print(f"{part['pictures']} pictures by {part['process']}"),
)
table = pq.read_table(out, columns=["image", "frame", "error"])
for row in table.filter(pc.is_valid(table["error"])).to_pylist():
    print(f"skipped: {row['image']} {row['frame'] or ''}: {row['error']}")
print(f"{summary.pictures} pictures, {summary.errors} without a result, in {out}")
