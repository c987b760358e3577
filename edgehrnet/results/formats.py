"""Convert a log of results to the formats of files, one result in memory at a time."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from edgehrnet.conversions import BOX_COLUMNS
from edgehrnet.decoding import CONFIDENCE_THRESHOLD
from edgehrnet.errors import InputError, nearest
from edgehrnet.parquet import import_pyarrow
from edgehrnet.results.log import Log

PICTURE_COLUMNS = ("image", "frame", "time", "width", "height", "instance", "id", "score")
POINT_COLUMNS = ("keypoint", "x", "y", "confidence", "predicted")
COLUMNS = (*PICTURE_COLUMNS, *POINT_COLUMNS, *BOX_COLUMNS)
ROWS = 5_000  # of a Parquet file that are written together


def rows(records: Iterable[Mapping[str, Any]]) -> Iterator[tuple[Any, ...]]:
    """Yield one row for each keypoint, with the values of `COLUMNS`. What a result does not have is None.

    Args:
        records: Results as `Result.to_dict` returns them.
    """
    for record in records:
        picture = tuple(record.get(name) for name in ("source", "frame", "time", "width", "height"))
        for number, instance in enumerate(record["instances"]):
            box = tuple(instance.get("box") or (None,) * 4)
            for point in instance["keypoints"]:
                place = (point["name"], point["x"], point["y"], point["conf"], point.get("predicted"))
                yield (*picture, number, instance.get("id"), instance["score"], *place, *box)


def write_jsonl(log: Log, path: Path) -> None:
    """Write one JSON object per line."""
    with _text(path) as file:
        for record in log.records():
            file.write(json.dumps(record) + "\n")


def write_json(log: Log, path: Path) -> None:
    """Write a JSON list of objects."""
    with _text(path) as file:
        _write_list(file, log.records())
        file.write("\n")


def write_csv(log: Log, path: Path) -> None:
    """Write one row per keypoint. Bytes of names that are not UTF-8 become escapes."""
    with _text(path, errors="backslashreplace") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(rows(log.records()))


def write_parquet(log: Log, path: Path) -> None:
    """Write the rows of `write_csv` as Parquet."""
    write_rows(rows(log.records()), path, parquet_schema())


def parquet_schema(*texts: str) -> Any:
    """Return the schema of the rows as Parquet, with further columns of text behind them."""
    pa, _ = import_pyarrow()
    types = dict.fromkeys(COLUMNS, pa.float64()) | {"predicted": pa.bool_()}
    types |= dict.fromkeys(("frame", "width", "height", "instance", "id"), pa.int64())
    types |= dict.fromkeys(("image", "keypoint", *texts), pa.string())
    return pa.schema(list(types.items()))


def write_rows(
    found: Iterable[tuple[Any, ...]], path: Path, schema: Any, facts: Mapping[str, str] | None = None
) -> None:
    """Write rows as Parquet, `ROWS` in memory at a time.

    Args:
        found: The rows.
        path: File to write.
        schema: See `parquet_schema`.
        facts: Metadata of the file, read when all rows are written.
    """
    pa, parquet = import_pyarrow()
    found = iter(found)
    with parquet.ParquetWriter(path, schema) as writer:
        while some := list(islice(found, ROWS)):
            columns = zip(zip(*some, strict=True), schema.types, strict=True)
            arrays = [pa.array(map(_clean, values), kind) for values, kind in columns]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        writer.add_key_value_metadata(facts or {})


def write_coco(log: Log, path: Path) -> None:
    """Write a COCO data set whose annotations are the predictions, each with a score."""
    head = log.head or {"model": "", "keypoints": [], "skeleton": []}
    category = {
        "id": 1,
        "name": head["model"],
        "keypoints": head["keypoints"],
        "skeleton": [[a + 1, b + 1] for a, b in head["skeleton"]],
    }
    with _text(path) as file:
        file.write('{"images": ')
        _write_list(file, (_coco_image(number, record) for number, record in enumerate(log.records(), 1)))
        file.write(',\n"annotations": ')
        _write_list(file, _coco_annotations(log))
        file.write(f',\n"categories": {json.dumps([category])}}}\n')


WRITERS: Mapping[str, Callable[[Log, Path], None]] = {
    "json": write_json,
    "jsonl": write_jsonl,
    "csv": write_csv,
    "coco": write_coco,
    "parquet": write_parquet,
}


def format_of(path: Path) -> str:
    """Return the format that the name of a file stands for.

    >>> format_of(Path("out.jsonl")), format_of(Path("out.coco.json"))
    ('jsonl', 'coco')
    """
    name = path.name.lower()
    kind = "coco" if name.endswith(".coco.json") else name.rpartition(".")[2]
    if kind not in WRITERS or "." not in name:
        endings = (".json", ".jsonl", ".csv", ".coco.json", ".parquet")
        raise InputError(f"{str(path)!r} names no format of results; {nearest('.' + kind, endings)}")
    return kind


def _text(path: Path, errors: str = "strict") -> TextIO:
    return path.open("w", encoding="utf-8", errors=errors, newline="\n")


def _write_list(file: TextIO, values: Iterator[dict[str, Any]]) -> None:
    file.write("[")
    for number, value in enumerate(values):
        file.write((",\n" if number else "\n") + json.dumps(value))
    file.write("\n]")


def _coco_image(number: int, record: Mapping[str, Any]) -> dict[str, Any]:
    place = {name: record[name] for name in ("frame", "time") if name in record}
    return {"id": number, "file_name": record["source"], "width": record["width"], "height": record["height"], **place}


def _coco_annotations(log: Log) -> Iterator[dict[str, Any]]:
    count = 0
    for number, record in enumerate(log.records(), 1):
        for instance in record["instances"]:
            count += 1
            points = instance["keypoints"]
            xs, ys = [point["x"] for point in points], [point["y"] for point in points]
            box = instance.get("box") or [min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)]
            predicted = [point["predicted"] for point in points if "predicted" in point]
            shown = [2 if point["conf"] >= CONFIDENCE_THRESHOLD else 0 for point in points]
            flat = [value for x, y, v in zip(xs, ys, shown, strict=True) for value in (x, y, v)]
            yield {
                "id": count,
                "image_id": number,
                "category_id": 1,
                "keypoints": flat,
                "num_keypoints": sum(1 for v in shown if v),
                "bbox": [round(value, 3) for value in box],
                "area": round(box[2] * box[3], 3),
                "iscrowd": 0,
                "score": instance["score"],
                **({"track_id": instance["id"]} if "id" in instance else {}),
                **({"predicted": predicted} if predicted else {}),
            }


def _clean(value: Any) -> Any:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
