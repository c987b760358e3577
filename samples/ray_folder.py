"""Find the corners of the document in many pictures, with several workers, and write them to a Parquet file.

Install:  pip install "edgehrnet[openvino,ray]"
Run:      python samples/ray_folder.py PICTURES corners.parquet [ADDRESS]
          PICTURES is a folder, or a Parquet file with a column of picture files as bytes. ADDRESS is that of a Ray
          cluster, such as auto or 10.0.0.5:6379. Without it, Ray starts on this machine.
Prints:   the pictures done, and at the end each picture that could not be read. A run that was killed goes on.
"""

import sys

import pyarrow.parquet as pq

from edgehrnet.many import predict_many

pictures, out, *rest = sys.argv[1:]
done = 0


def show(part):
    """Count the pictures of a part that a worker has done."""
    global done
    done += part["pictures"]
    print(f"{done} pictures", flush=True)


if __name__ == "__main__":
    summary = predict_many(
        "document-corners", [pictures], out, address=rest[0] if rest else "local", resume=True, on_part=show
    )
    errors = pq.read_table(out, columns=["image", "frame", "error"], filters=[("error", "!=", None)])
    for row in errors.to_pylist():
        print(f"skipped: {row['image']} {row['frame'] or ''}: {row['error']}")
    print(f"{summary.pictures} pictures, {summary.errors} without a result, in {out}")
