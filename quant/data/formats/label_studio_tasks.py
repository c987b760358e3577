"""Read the tasks of Label Studio's exports JSON and JSON-MIN, and choose one annotation of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from edgehrnet.errors import InputError
from quant.data.annotations import ImageId
from quant.data.formats.values import read_json, shortened
from quant.data.remarks import Remarks

WHAT = "an export of Label Studio, a list of tasks"
HIDDEN = frozenset({"hidden", "occluded", "invisible", "not visible", "not_visible"})
"""Choices, in lower case, that say that a keypoint is hidden."""
ABSENT = frozenset({"absent", "missing", "outside", "not labeled", "not_labeled"})
"""Choices, in lower case, that say that a keypoint is not in the picture."""
MINIMAL = (
    "choices such as 'hidden' that JSON-MIN does not assign to a keypoint, so that all keypoints count as visible; "
    "export JSON instead"
)
Kind: TypeAlias = Literal["keypoint", "rectangle", "other"]
LABELS: dict[str, Kind] = {"keypointlabels": "keypoint", "rectanglelabels": "rectangle"}
KINDS: dict[str, Kind] = {**LABELS, "keypoint": "keypoint", "rectangle": "rectangle"}
"""Kinds of regions by their type. With the tag ``<Labels>``, shape and labels are two results with one id."""


@dataclass(frozen=True)
class Region:
    """A region that was drawn in a picture."""

    id: str
    kind: Kind
    labels: Sequence[str]
    entry: Mapping[str, Any]
    """The result with the numbers, as it is in the file."""
    parent: str | None = None
    choices: frozenset[str] = frozenset()
    """Choices made for this region, in lower case."""

    @property
    def value(self) -> Mapping[str, Any]:
        """Numbers of the region, in percent of the picture's sides."""
        found = self.entry.get("value")
        return found if isinstance(found, Mapping) else {}


@dataclass(frozen=True)
class Task:
    """A task with the regions of one annotation. In JSON-MIN, regions have no parents and no relations."""

    id: ImageId
    source: str
    data: Mapping[str, Any]
    regions: Sequence[Region]
    relations: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Maps the id of a region to those of the regions that it is related to, in either direction."""
    minimal: bool = False


def read_tasks(path: Path, remarks: Remarks) -> list[Task]:
    """Return the tasks that have an annotation, each with one.

    If a task has several, the one marked as ground truth is used, and otherwise the one that was updated last.

    Raises:
        InputError: the file cannot be read, or is not an export JSON or JSON-MIN.
    """
    content = read_json(path, WHAT)
    if not isinstance(content, list) or not all(isinstance(entry, Mapping) for entry in content):
        raise InputError(f"{path} is not {WHAT}")
    full: list[Mapping[str, Any]] = []
    minimal: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for index, entry in enumerate(content):
        if isinstance(entry.get("data"), Mapping) and _annotations(entry) is not None:
            full.append(entry)
        elif "annotation_id" in entry and "annotator" in entry:
            minimal[repr(entry.get("id", index))].append(entry)
        elif "image_id" in entry:
            raise InputError(f"{path}: entry {index} is a result or annotation of COCO without its picture; pass the "
                             "COCO file with 'images', 'annotations' and 'categories'")  # fmt: skip
        else:
            raise InputError(f"{path}: entry {index} is not a task with 'data' and 'annotations', nor one of JSON-MIN; "
                             "export JSON from Label Studio")  # fmt: skip
    found = [_full(entry, path, remarks) for entry in full]
    found += [_minimal(entries, path, remarks) for entries in minimal.values()]
    return [task for task in found if task is not None]


def _annotations(entry: Mapping[str, Any]) -> list[Any] | None:
    """Return the annotations of a task. Old exports call them completions."""
    found = entry.get("annotations", entry.get("completions"))
    return found if isinstance(found, list) else None


def _full(entry: Mapping[str, Any], path: Path, remarks: Remarks) -> Task | None:
    """Return a task of the export JSON, or None if it has no annotation to be used."""
    place = f"{path.name}, task {entry.get('id')}"
    annotations = []
    for annotation in _annotations(entry) or ():
        if not isinstance(annotation, Mapping) or not isinstance(annotation.get("result"), list):
            remarks.add("error", "annotations without a list 'result'", f"{place}: {shortened(annotation)}")
        elif annotation.get("was_cancelled") or annotation.get("skipped"):
            remarks.add("dropped", "canceled annotations", f"{place}, annotation {annotation.get('id')}")
        else:
            annotations.append(annotation)
    if entry.get("predictions"):
        remarks.add("dropped", "predictions, which are not labels", place)
    chosen = _chosen(annotations, place, remarks)
    if chosen is None:
        return None
    source = f"{place}, annotation {chosen.get('id')}"
    results = [result for result in chosen["result"] if isinstance(result, Mapping)]
    relations: defaultdict[str, frozenset[str]] = defaultdict(frozenset)
    for result in results:
        if result.get("type") == "relation":
            ends = str(result.get("from_id")), str(result.get("to_id"))
            for one, other in (ends, ends[::-1]):
                relations[one] |= {other}
    return Task(_id(entry), source, entry["data"], _regions(results), relations)


def _minimal(entries: Sequence[Mapping[str, Any]], path: Path, remarks: Remarks) -> Task | None:
    """Return a task of the export JSON-MIN, which has an entry for each annotation, or None if it has none."""
    place = f"{path.name}, task {entries[0].get('id')}"
    chosen = _chosen([entry for entry in entries if entry.get("annotation_id") is not None], place, remarks)
    if chosen is None:
        return None
    source = f"{place}, annotation {chosen['annotation_id']}"
    results = []
    for name, values in chosen.items():
        shapes = [value for value in values if isinstance(value, Mapping)] if isinstance(values, list) else []
        results += [{**value, "id": f"{name} {index}", "value": value} for index, value in enumerate(shapes, start=1)]
        if any(word in HIDDEN | ABSENT for word in _words(values)):
            remarks.add("warning", MINIMAL, f"{source}: {name}")
    return Task(_id(chosen), source, chosen, _regions(results), minimal=True)


def _chosen(annotations: Sequence[Mapping[str, Any]], place: str, remarks: Remarks) -> Mapping[str, Any] | None:
    """Return the ground truth, or else the annotation that was updated last."""
    if not annotations:
        remarks.add("dropped", "tasks without a finished annotation", place)
        return None
    if len(annotations) > 1:
        kind = "further annotations of a task, where the ground truth counts, or else the one updated last"
        remarks.add("dropped", kind, place)
    return sorted(annotations, key=_rank)[-1]


def _rank(annotation: Mapping[str, Any]) -> tuple[bool, str]:
    time = annotation.get("updated_at") or annotation.get("created_at")
    return bool(annotation.get("ground_truth")), str(time or "")


def _regions(results: Sequence[Mapping[str, Any]]) -> list[Region]:
    """Return the regions. Their choices and texts, and often labels, are separate results with the region's id."""
    choices: defaultdict[str, set[str]] = defaultdict(set)
    regions: dict[str, Region] = {}
    for index, result in enumerate(results):
        key, value = str(result.get("id", f"region {index}")), result.get("value")
        if not isinstance(value, Mapping):
            continue
        choices[key].update(_words(value.get("choices")))
        field = next((field for field in (*LABELS, "labels") if field in value), "")
        kind = LABELS.get(field) or KINDS.get(str(result.get("type")), "other")
        names = [str(one) for one in value[field]] if isinstance(value.get(field), list) else []
        parent = result.get("parentID")
        found = Region(key, kind, names, result, str(parent) if parent else None)
        known = regions.get(key, found)
        if known.kind == "other":
            known, found = found, known
        regions[key] = replace(known, labels=known.labels or found.labels, parent=known.parent or found.parent)
    return [replace(region, choices=frozenset(choices[key])) for key, region in regions.items()]


def _words(values: Any) -> list[str]:
    """Return a text or the texts in a list, in lower case."""
    values = values if isinstance(values, list) else [values]
    return [value.strip().lower() for value in values if isinstance(value, str)]


def _id(entry: Mapping[str, Any]) -> ImageId:
    found = entry.get("id")
    return found if isinstance(found, str) or type(found) is int else str(found)
