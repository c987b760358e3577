"""Choose the least certain pictures of a stream, and write them in the format of a labeling tool."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgehrnet.errors import InputError, check_keywords, nearest
from edgehrnet.labels.candidates import Candidate, LeastCertain
from edgehrnet.labels.coco import write as write_coco
from edgehrnet.labels.cvat import write as write_cvat
from edgehrnet.labels.label_studio import write as write_label_studio
from edgehrnet.labels.sleap import import_sleap_io
from edgehrnet.labels.sleap import write as write_sleap
from edgehrnet.result import Result
from edgehrnet.spec import ModelSpec
from runtimes.writing import finish_writing, new_files, write_file

FORMATS: dict[str, Callable[[Sequence[Candidate], ModelSpec, Path, float], list[Path]]] = {
    "label-studio": write_label_studio,
    "cvat": write_cvat,
    "coco": write_coco,
    "sleap": write_sleap,
}
PICTURES = "images"
"""Folder of the copies, where the readers of ``quant.train`` look as well."""
TABLE = "pictures.csv"
"""Table of the chosen pictures, the least certain first."""
COLUMNS = ("file", "source", "frame", "confidence")


@dataclass(frozen=True)
class Written:
    """Files that `write_labels` wrote, and their contents in numbers."""

    files: list[Path]
    """The files to import, and `TABLE`."""
    seen: int
    """Number of pictures that the stream had."""
    certainties: list[float]
    """Certainty of each chosen picture, the lowest first."""


@check_keywords
def write_labels(
    results: Iterable[Result],
    folder: str | Path,
    spec: ModelSpec,
    *,
    format: str,
    count: int | None = 200,
    min_confidence: float = 0.0,
) -> Written:
    """Write predictions as labels to be corrected, for the pictures of which the model is least certain.

    A picture's certainty is the mean confidence of the keypoints of its least certain instance. If the spec has a
    calibration, this is the expected share of keypoints that are right.

    Args:
        results: Results of the pictures, such as ``predictor.stream(folder)``.
        folder: A folder that does not exist yet, or is empty. It appears when all files are written. Copies of the
            pictures go to ``images`` in it.
        spec: Spec of the model.
        format: ``label-studio``, ``cvat``, ``coco`` or ``sleap``.
        count: Largest number of pictures. None takes all.
        min_confidence: Keypoints with a lower confidence are written as not labeled.

    Raises:
        InputError: The folder has files, an argument cannot be used, or there is no picture.
        MissingExtraError: A package for the format is not installed.
        WriteError: A file cannot be written.
    """
    folder = Path(folder)
    if format not in FORMATS:
        raise InputError(f"format={format!r}; {nearest(str(format), FORMATS)}")
    if count is not None and count < 1:
        raise InputError(f"count={count}; pass a number of pictures from 1, or None for all")
    with suppress(OSError):
        finish_writing(folder.parent)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{str(folder)!r} exists and is not an empty folder; name a new one")
    if format == "sleap":
        import_sleap_io()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with new_files(folder) as above:
        new = above / folder.name
        (new / PICTURES).mkdir(parents=True)
        chosen = LeastCertain(new / PICTURES, count)
        for result in results:
            if len(result.keypoints):
                chosen.add(result)
        candidates = chosen.candidates()
        if not candidates:
            raise InputError(f"no picture to label: nothing was written to {str(folder)!r}")
        files = [*FORMATS[format](candidates, spec, new, min_confidence), new / TABLE]
        write_file(new / TABLE, _table(candidates))
    return Written([folder / file.name for file in files], chosen.seen, [one.certainty for one in candidates])


def labeled_before(folders: Iterable[str | Path]) -> set[tuple[str, int | None]]:
    """Return source and frame of each picture that `write_labels` has put into earlier folders.

    Raises:
        InputError: A folder has no readable `TABLE`.
    """
    found: set[tuple[str, int | None]] = set()
    for folder in folders:
        path = Path(folder) / TABLE
        try:
            with path.open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            found |= {(row["source"], int(row["frame"]) if row["frame"] else None) for row in rows}
        except (OSError, ValueError, KeyError) as error:
            raise InputError(f"{str(path)!r} is not a table of chosen pictures ({error!r}); pass a folder that "
                             "'edgehrnet label' wrote") from None  # fmt: skip
    return found


def _table(candidates: Sequence[Candidate]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for one in candidates:
        frame = "" if one.frame is None else one.frame
        writer.writerow((f"{PICTURES}/{one.name}", one.source, frame, f"{one.certainty:.4f}"))
    return text.getvalue()
