"""Read keypoints from Label Studio's exports JSON and JSON-MIN."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgehrnet.errors import InputError
from edgehrnet.sides import pair_sides
from quant.data.annotations import Annotations, Instance, Picture
from quant.data.examples import Box
from quant.data.formats.label_studio_pictures import Addresses, picture_address
from quant.data.formats.label_studio_tasks import ABSENT, HIDDEN, Region, Task, read_tasks
from quant.data.formats.values import begins_with, number, shortened, size_of
from quant.data.formats.xml_files import read_xml
from quant.data.picture_files import SAME_FILE, PictureFinder
from quant.data.plausibility import RELATIVE
from quant.data.remarks import Remarks

CONFIG = "config.xml"
"""Labeling configuration, which has the order of the keypoints. The user saves it beside the export."""


def is_label_studio(path: Path) -> bool:
    """Return whether a path is a JSON file with a list."""
    return path.suffix.lower() == ".json" and path.is_file() and begins_with(path, "[")


def read_label_studio(path: Path, images: Path | None = None) -> Annotations:
    """Read keypoints from an export JSON or JSON-MIN.

    A rectangle is the box of an instance. Its keypoints are those below it in the list of regions, or related to it. In
    a task with at most one rectangle, all keypoints are one instance. Keypoints have the order of the labels in
    `CONFIG` beside the export, or of their ``model_index`` if all have one. Without that file, they have the order in
    which they first appear.

    Args:
        path: JSON file.
        images: folder of the pictures. None looks for them, see `PictureFinder`.

    Raises:
        InputError: the file cannot be read or is another export, or a keypoint is not in the configuration.
    """
    remarks = Remarks()
    tasks = read_tasks(path, remarks)
    reader = _Reader(Addresses(PictureFinder(path, images)), remarks)
    objects = [one for task in tasks for one in reader.objects(task)]
    names = _names(path, objects, remarks)
    labels = list(dict.fromkeys(one.label for one in objects if one.points and one.label)) or ["object"]
    instances = []
    for one in objects:
        if one.points or one.label in labels:
            instances.append(one.instance(names, labels.index(one.label) + 1 if one.label else 1))
        else:
            remarks.add("dropped", "rectangles with a label that never has keypoints", f"{one.source}: {one.label!r}")
    return Annotations(
        name=path.stem,
        source=path,
        keypoints=names,
        pictures=list(reader.pictures.values()),
        instances=instances,
        flip_pairs=pair_sides(names),
        categories={index: (index, label) for index, label in enumerate(labels, start=1)},
        remarks=remarks,
    )


def refuse_coco_export(content: Any, path: Path) -> None:
    """Raise InputError if the content of a COCO file is keypoints that Label Studio exported."""
    info = content.get("info") if isinstance(content, Mapping) else None
    if not isinstance(info, Mapping) or info.get("contributor") != "Label Studio":
        return
    categories = content.get("categories")
    if isinstance(categories, list) and any(isinstance(one, Mapping) and one.get("keypoints") for one in categories):
        raise InputError(
            f"{path} is a COCO export of Label Studio, which merges all objects of a picture and may give "
            "keypoints wrong names; export JSON from Label Studio instead"
        )


@dataclass(frozen=True)
class _Object:
    """An object: its keypoints (x, y, visibility) by name, and the label and box of its rectangle if it has one."""

    picture: Picture
    source: str
    points: Mapping[str, tuple[float, float, int]]
    label: str | None = None
    box: Box | None = None

    def instance(self, names: Sequence[str], category: int) -> Instance:
        values = np.array([self.points.get(name, (0.0, 0.0, 0)) for name in names], float).reshape(-1, 3)
        return Instance(self.picture, values[:, :2], values[:, 2].astype(np.uint8), self.source, self.box,
                        category=category)  # fmt: skip


@dataclass(frozen=True)
class _Reader:
    """Turns tasks into pictures and objects."""

    addresses: Addresses
    remarks: Remarks
    pictures: dict[Path, Picture] = field(default_factory=dict)
    addressed: dict[Path, str] = field(default_factory=dict)
    """Address of each picture."""

    def objects(self, task: Task) -> list[_Object]:
        """Return the objects of one task."""
        regions = [region for region in task.regions if self._usable(region, task)]
        picture = self._picture(task, regions)
        if picture is None:
            return []
        groups = self._groups(task, regions)
        found = []
        for owner, keypoints in groups:
            source = task.source + (f", {owner.labels[0] if owner.labels else 'region'} {owner.id}" if owner else "")
            points = self._points(keypoints, source)
            box = _box(owner) if owner is not None and owner.kind == "rectangle" else None
            found.append(_Object(picture, source, points, owner.labels[0] if owner and owner.labels else None, box))
        return found

    def _usable(self, region: Region, task: Task) -> bool:
        """Return whether a region can be used. If not, note why."""
        place = f"{task.source}, region {region.id}"
        if region.kind == "other":
            return True
        sides = [number(region.value.get(key)) for key in ("x", "y", "width", "height", "rotation")]
        needed = sides[:2] if region.kind == "keypoint" else sides[:4]
        if not all(value is not None and math.isfinite(value) for value in needed):
            self.remarks.add("error", "regions in which x, y, or the width or height of a rectangle is not a number",
                             f"{place} has {shortened(region.value)}")  # fmt: skip
        elif _size(region) is None:
            self.remarks.add("error", "regions without original_width and original_height, which are needed to "
                             "convert percentages to pixels", place)  # fmt: skip
        elif any(abs(value or 0.0) > 100 * RELATIVE for value in needed):
            kind = "regions whose numbers are not percent of the picture's sides; divide pixels by the sides"
            self.remarks.add("error", kind, f"{place} has {shortened(region.value)}")
        elif number(region.entry.get("image_rotation") or 0) != 0:
            self.remarks.add("error", "pictures that were turned in Label Studio; turn them back and export again",
                             f"{place} has image_rotation {shortened(region.entry['image_rotation'])}")  # fmt: skip
        elif region.kind == "keypoint" and len(region.labels) > 1:
            self.remarks.add(
                "error", "keypoints with several labels; keep one", f"{place} has {shortened(region.labels)}"
            )
        elif region.kind == "keypoint" and not region.labels:
            self.remarks.add("dropped", "keypoints without a label", place)
        else:
            return True
        return False

    def _picture(self, task: Task, regions: Sequence[Region]) -> Picture | None:
        controls = {
            str(one.entry.get("to_name")) for one in regions if one.kind == "keypoint" and "to_name" in one.entry
        }
        if len(controls) > 1 or any(one.entry.get("item_index") for one in regions):
            self.remarks.add("error", "tasks with keypoints in several pictures; give each picture a task of its own",
                             task.source)  # fmt: skip
            return None
        address = picture_address(task.data, next(iter(controls), "image"))
        if address is None:
            self.remarks.add("error", "tasks without the address of a picture in their data",
                             f"{task.source} has {shortened(dict(task.data))}")  # fmt: skip
            return None
        try:
            path = self.addresses.find(address)
        except InputError as error:
            self.remarks.add(
                "error", "pictures that are not a file in the folders of the data set", f"{task.source}: {error}"
            )
            return None
        sizes = list(dict.fromkeys(_size(region) for region in regions if region.kind != "other"))
        if len(sizes) > 1:
            self.remarks.add("error", "tasks whose regions differ in original_width or original_height; correct them",
                             f"{task.source} has {shortened(sizes)} (height, width)")  # fmt: skip
        size = next(iter(sizes), None)
        if path not in self.pictures:
            self.addressed[path] = address
            self.pictures[path] = Picture(path, task.id, task.source, size)
        elif self.addressed[path] == address:
            self.remarks.add("warning", "pictures that are listed twice, and count as one", f"{task.source}: {address}")
        else:
            self.remarks.add("error", SAME_FILE, f"{task.source}: {address} and {self.addressed[path]}")
        return self.pictures[path]

    def _groups(self, task: Task, regions: Sequence[Region]) -> list[tuple[Region | None, list[Region]]]:
        """Return the keypoints of each rectangle, or all of them if there is none."""
        by_id = {region.id: region for region in regions}
        keypoints: defaultdict[str | None, list[Region]] = defaultdict(list)
        for region in regions:
            if region.kind == "keypoint":
                keypoints[_owner(region, by_id, task.relations)].append(region)
        owners = [one for one in regions if one.kind == "rectangle" or (one.kind == "other" and one.id in keypoints)]
        alone = keypoints.pop(None, [])
        if not owners:
            return [(None, alone)] if alone else []
        if alone:
            place = f"{task.source}, keypoint {alone[0].labels[0]!r}"
            if len(owners) > 1 or keypoints:
                kind = "keypoints in no rectangle, whose object is unclear; drag each into one in the list of regions"
                self.remarks.add(
                    "error", kind + (", and export JSON instead of JSON-MIN" if task.minimal else ""), place
                )
                return []
            self.remarks.add("derived", "keypoints without a rectangle, given to the only one of their task", place)
        return [(owner, keypoints.get(owner.id, alone)) for owner in owners]

    def _points(self, keypoints: Sequence[Region], source: str) -> dict[str, tuple[float, float, int]]:
        points: dict[str, tuple[float, float, int]] = {}
        for region in keypoints:
            name = region.labels[0]
            if name in points:
                self.remarks.add("error", "keypoints that occur twice in an object; put those of each object into a "
                                 "rectangle of its own", f"{source}: {name!r}")  # fmt: skip
            x, y = _pixels(region, "x", "y")
            hidden = bool(region.choices & HIDDEN)
            points[name] = (0.0, 0.0, 0) if region.choices & ABSENT else (x, y, 1 if hidden else 2)
        return points


def _owner(region: Region, by_id: Mapping[str, Region], relations: Mapping[str, frozenset[str]]) -> str | None:
    """Return the id of the region that holds a keypoint, or of the only rectangle that it is related to."""
    seen = {region.id}
    parent = region.parent
    while parent is not None and parent in by_id and parent not in seen:
        if by_id[parent].kind != "keypoint":
            return parent
        seen.add(parent)
        parent = by_id[parent].parent
    related = [one for one in relations.get(region.id, ()) if one in by_id and by_id[one].kind == "rectangle"]
    return related[0] if len(related) == 1 else None


def _names(path: Path, objects: Sequence[_Object], remarks: Remarks) -> tuple[str, ...]:
    """Return the names of the keypoints in the order of the configuration, or of their first appearance."""
    seen = tuple(dict.fromkeys(name for one in objects for name in one.points))
    config = path.parent / CONFIG
    listed = _configured(config) if config.is_file() else ()
    missing = [name for name in seen if name not in listed]
    if listed and missing:
        raise InputError(
            f"{path} has a keypoint {missing[0]!r}, and {config} has only {', '.join(listed)}; add it there"
        )
    if seen and not listed:
        remarks.add("derived", "order of keypoints, taken from their first appearance; to set it, save the labeling "
                    f"configuration as {CONFIG} beside the export", f"{path.name}: {', '.join(seen)}")  # fmt: skip
    if not listed and not seen and not remarks.of("error"):
        raise InputError(f"{path} has no finished annotation with keypoints; label some with <KeyPointLabels>")
    return listed or seen


def _configured(config: Path) -> tuple[str, ...]:
    """Return the keypoints of a labeling configuration. A label with an alias appears by that in exports."""
    root = read_xml(config, "a labeling configuration of Label Studio")
    labels = [label for group in root.iter("KeyPointLabels") for label in group.iter("Label")]
    indices = [label.get("model_index", "") for label in labels]
    if all(index.isdecimal() and len(index) < 10 for index in indices):
        labels.sort(key=lambda label: int(label.get("model_index", "")))
    found = (label.get("alias") or label.get("value") for label in labels)
    return tuple(dict.fromkeys(name for name in found if name))


def _size(region: Region) -> tuple[int, int] | None:
    return size_of(region.entry.get("original_height"), region.entry.get("original_width"))


def _pixels(region: Region, *keys: str) -> list[float]:
    """Convert numbers of a region from percentages, alternately of the picture's width and height, to pixels."""
    height, width = _size(region) or (0, 0)
    return [(number(region.value.get(key)) or 0.0) * side / 100
            for key, side in zip(keys, (width, height, width, height), strict=False)]  # fmt: skip


def _box(region: Region) -> Box:
    """Return the upright box around a rectangle that may be turned clockwise about its upper left corner."""
    x, y, w, h = _pixels(region, "x", "y", "width", "height")
    angle = math.radians(number(region.value.get("rotation")) or 0.0)
    cos, sin = math.cos(angle), math.sin(angle)
    across, down = (0.0, w * cos, -h * sin, w * cos - h * sin), (0.0, w * sin, h * cos, w * sin + h * cos)
    return x + min(across), y + min(down), max(across) - min(across), max(down) - min(down)
