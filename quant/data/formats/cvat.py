"""Read skeletons and points from CVAT's own export, ``CVAT for images 1.1``."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias
from xml.etree.ElementTree import Element

import numpy as np

from edgehrnet.errors import InputError
from edgehrnet.picture.sources import SUFFIXES
from edgehrnet.sides import pair_sides
from quant.data.annotations import Annotations, Instance, Picture
from quant.data.examples import Box
from quant.data.formats.values import LARGEST, shortened, size_of
from quant.data.formats.xml_files import read_xml
from quant.data.picture_files import PictureFinder
from quant.data.remarks import Remarks

FILE = "annotations.xml"
SIDES = ("xtl", "ytl", "xbr", "ybr")
PLAIN = "object"
"""Category of points that belong to no skeleton."""
Place: TypeAlias = tuple[float, float, int]
"""x, y and visibility of a keypoint."""


def is_cvat(path: Path) -> bool:
    """Return whether a path is an XML file, or a folder with `FILE`."""
    return (path / FILE).is_file() or (path.suffix.lower() == ".xml" and path.is_file())


def read_cvat(path: Path, images: Path | None = None) -> Annotations:
    """Read an XML file of the export ``CVAT for images 1.1``.

    Each skeleton is an instance. If there are no skeletons, the points of each group are an instance, and so are all
    points of a picture that are in no group. A box belongs to the skeleton of the same group. Keypoints have the order
    in which ``<meta>`` lists their labels.

    Args:
        path: XML file, or the folder with `FILE` that CVAT's ZIP file contains.
        images: folder of the pictures. None looks for them, see `PictureFinder`.

    Raises:
        InputError: the file cannot be read, is another export, or has skeletons with different keypoints.
    """
    file = path / FILE if path.is_dir() else path
    root = read_xml(file, "a CVAT export")
    _check_export(root, file)
    reader = _Reader(file, PictureFinder(file, images), Remarks())
    found = [reader.image(element, number) for number, element in enumerate(root.iter("image"), start=1)]
    objects = [one for _, some in found for one in some]
    objects = _of_one_kind(objects, reader.remarks)
    labels = _Labels.read(root)
    names = labels.keypoints(objects, file, reader.remarks)
    categories = list(dict.fromkeys(one.category for one in objects)) or [PLAIN]
    return Annotations(
        name=path.resolve().name if path.is_dir() else path.stem,
        source=path,
        keypoints=names,
        pictures=[picture for picture, _ in found if picture is not None],
        instances=[one.instance(names, categories.index(one.category) + 1) for one in objects],
        skeleton=labels.lines(categories, names),
        flip_pairs=pair_sides(names),
        categories={number: (number, name) for number, name in enumerate(categories, start=1)},
        remarks=reader.remarks,
    )


def _check_export(root: Element, file: Path) -> None:
    if root.tag != "annotations":
        raise InputError(f"{file} is not a CVAT export: it begins with <{root.tag}>, expected <annotations>")
    if root.find("track") is not None:
        raise InputError(f"{file} is CVAT's export 'CVAT for video 1.1', which does not name the pictures; export "
                         "'CVAT for images 1.1' with 'Save images' instead, which has the tracks as well")  # fmt: skip
    if root.find("image") is None:
        raise InputError(f"{file} has no <image>; export 'CVAT for images 1.1' from CVAT")


@dataclass(frozen=True)
class _Object:
    """A skeleton, or a group of points, with its keypoints by name."""

    picture: Picture
    source: str
    category: str
    places: Mapping[str, Place]
    group: str
    plain: bool
    box: Box | None = None

    def instance(self, names: Sequence[str], category: int) -> Instance:
        values = np.array([self.places.get(name, (0.0, 0.0, 0)) for name in names], float).reshape(-1, 3)
        return Instance(self.picture, values[:, :2], values[:, 2].astype(np.uint8), self.source, self.box,
                        category=category)  # fmt: skip


def _of_one_kind(objects: list[_Object], remarks: Remarks) -> list[_Object]:
    """Return the skeletons if there are any, and all objects otherwise."""
    skeletons = [one for one in objects if not one.plain]
    for one in objects:
        if skeletons and one.plain:
            remarks.add("dropped", "points outside of skeletons, in an export that has skeletons", one.source)
    return skeletons or objects


@dataclass(frozen=True)
class _Reader:
    """Turns ``<image>`` elements into pictures and objects."""

    file: Path
    finder: PictureFinder
    remarks: Remarks

    def image(self, element: Element, number: int) -> tuple[Picture | None, list[_Object]]:
        """Return the picture, or None if it has no name, and its objects."""
        name = element.get("name")
        if not name:
            self.remarks.add("error", "<image> elements without a name", f"{self.file.name}, image {number}")
            return None, []
        place = f"{self.file.name}, image {name!r}"
        try:
            path = self._find(name, element.get("subset"))
        except InputError as error:
            self.remarks.add("error", "pictures outside the folders of the data set", f"{place}: {error}")
            return None, []
        sides = (_float(element.get(side)) for side in ("height", "width"))
        picture = Picture(path, number, place, size_of(*sides))
        objects = [self._skeleton(one, picture, index) for index, one in enumerate(element.iter("skeleton"), start=1)]
        for one in element:
            if one.tag not in ("skeleton", "points", "box", "tag"):
                self.remarks.add("dropped", "shapes other than skeletons, points and boxes", f"{place}: <{one.tag}>")
        objects += self._plain(element.findall("points"), picture)
        return picture, self._with_boxes(objects, element.findall("box"), place)

    def _find(self, name: str, subset: str | None) -> Path:
        """Return the file of a picture. The names of video frames have no suffix, and projects have subsets."""
        suffixes = [""] if name.lower().endswith(SUFFIXES) else ["", *SUFFIXES, *(s.upper() for s in SUFFIXES)]
        folders = [f"{subset}/", ""] if subset else [""]
        full = [f"{folder}{name}{suffix}" for folder in folders for suffix in suffixes]
        last = [one.rpartition("/")[2] for one in full]
        return self.finder.first([*full, *last]) or self.finder.find(full[0])

    def _skeleton(self, element: Element, picture: Picture, index: int) -> _Object:
        label = element.get("label") or PLAIN
        source = f"{picture.source}, skeleton {index} ({label})"
        for one in element:
            if one.tag not in ("points", "attribute"):
                self.remarks.add("dropped", "parts of skeletons that are not points", f"{source}: <{one.tag}>")
        places = self._places(element.findall("points"), source)
        return _Object(picture, source, label, places, element.get("group_id", "0"), plain=False)

    def _plain(self, elements: Iterable[Element], picture: Picture) -> list[_Object]:
        """Return one object for each group of points."""
        groups: defaultdict[str, list[Element]] = defaultdict(list)
        for element in elements:
            groups[element.get("group_id", "0")].append(element)
        objects = []
        for group, members in groups.items():
            source = picture.source + (f", group {group}" if group != "0" else "")
            objects.append(_Object(picture, source, PLAIN, self._places(members, source), group, plain=True))
        return objects

    def _places(self, elements: Iterable[Element], source: str) -> dict[str, Place]:
        """Return the keypoints of one object by their names."""
        places: dict[str, Place] = {}
        for element in elements:
            name, given = element.get("label", ""), element.get("points", "")
            values = [_float(value) for value in given.split(",")] if ";" not in given else []
            if name in places:
                self.remarks.add("error", "objects with two points of the same label; draw a skeleton for each "
                                 "object, or group its points", f"{source}: {name!r}")  # fmt: skip
                continue
            places[name] = (0.0, 0.0, 0)
            if len(values) != 2 or not all(abs(value) <= LARGEST for value in values):
                kind = "shapes that are not one point 'x,y'; draw each keypoint as a shape of its own"
                self.remarks.add("error", kind, f"{source}, {name!r} has {shortened(given)}")
            elif element.get("outside") != "1":
                places[name] = (values[0], values[1], 1 if element.get("occluded") == "1" else 2)
        return places

    def _with_boxes(self, objects: list[_Object], elements: Iterable[Element], place: str) -> list[_Object]:
        """Give an object the box of its group if the group has only one object and one box."""
        boxes: defaultdict[str, list[Box]] = defaultdict(list)
        for element in elements:
            box = _box(element)
            if box is None:
                self.remarks.add("error", "boxes without four numbers xtl, ytl, xbr and ybr",
                                 f"{place}: {shortened([element.get(side) for side in SIDES])}")  # fmt: skip
            else:
                boxes[element.get("group_id", "0")].append(box)
        for group, found in boxes.items():
            members = [index for index, one in enumerate(objects) if one.group == group]
            if group != "0" and len(found) == len(members) == 1:
                objects[members[0]] = replace(objects[members[0]], box=found[0])
            else:
                self.remarks.add("dropped", "boxes that are not grouped with exactly one object", place)
        return objects


@dataclass(frozen=True)
class _Labels:
    """Labels in ``<meta>``: name, type and parent of each, in order, and the drawings of the skeletons by name."""

    listed: Sequence[tuple[str, str, str]]
    drawings: Mapping[str, str]

    @classmethod
    def read(cls, root: Element) -> _Labels:
        found = [element for meta in root.findall("meta") for element in meta.iter("label")]
        texts = [tuple((element.findtext(tag) or "").strip() for tag in ("name", "type", "parent", "svg"))
                 for element in found]  # fmt: skip
        return cls([(name, kind, parent) for name, kind, parent, _ in texts],
                   {name: drawing for name, _, _, drawing in texts if drawing})  # fmt: skip

    def keypoints(self, objects: Sequence[_Object], file: Path, remarks: Remarks) -> tuple[str, ...]:
        """Return the names of the keypoints.

        Raises:
            InputError: there are none, or skeletons have different ones.
        """
        used = list(dict.fromkeys(one.category for one in objects))
        lists = {label: self._of([one for one in objects if one.category == label]) for label in used}
        names = next(iter(lists.values()), ())
        if any(set(other) != set(names) for other in lists.values()):
            shown = "; ".join(f"{label}: {', '.join(some)}" for label, some in lists.items())
            raise InputError(f"{file}: its skeletons have different keypoints, and must have the same ones ({shown})")
        if not names:
            raise InputError(
                f"{file} has no <skeleton> and no <points>, and so no keypoints; draw some in CVAT and export again"
            )
        if not {name for name, _, _ in self.listed} >= set(names):
            remarks.add("derived", "order of keypoints, taken from their first appearance as <meta> does not list all",
                        f"{file.name}: {', '.join(names)}")  # fmt: skip
        return names

    def _of(self, objects: Sequence[_Object]) -> tuple[str, ...]:
        """Return the keypoints of objects of one category: first those in ``<meta>``, then others as they appear."""
        seen = list(dict.fromkeys(name for one in objects for name in one.places))
        plain, label = objects[0].plain, objects[0].category
        alone = [
            name for name, kind, parent in self.listed if not parent and (name in seen or (plain and kind == "points"))
        ]
        inside = [name for name, _, parent in self.listed if parent == label and not plain]
        return tuple(dict.fromkeys([*(inside or alone), *seen]))

    def lines(self, labels: Iterable[str], names: Sequence[str]) -> tuple[tuple[int, int], ...]:
        """Return pairs of keypoints that the drawings of the skeletons connect."""
        found: list[tuple[int, int]] = []
        for label in labels:
            parts = [dict(re.findall(r'([\w-]+)="([^"]*)"', tag))
                     for tag in re.findall(r"<[^>]*>", self.drawings.get(label, ""))]  # fmt: skip
            nodes = {part.get("data-node-id"): part.get("data-label-name") for part in parts}
            for part in parts:
                ends = [nodes.get(part.get(f"data-node-{end}", "")) for end in ("from", "to")]
                if all(end in names for end in ends):
                    found.append((names.index(str(ends[0])), names.index(str(ends[1]))))
        return tuple(dict.fromkeys(found))


def _float(text: str | None) -> float:
    """Return a number, or NaN for anything else."""
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def _box(element: Element) -> Box | None:
    """Return the upright box around a box that may be turned about its center."""
    left, top, right, bottom = (_float(element.get(side)) for side in SIDES)
    angle = math.radians(_float(element.get("rotation", "0")))
    if not all(abs(value) <= LARGEST for value in (left, top, right, bottom, angle)):
        return None
    x, y, w, h = (left + right) / 2, (top + bottom) / 2, right - left, bottom - top
    cos, sin = abs(math.cos(angle)), abs(math.sin(angle))
    wide, high = w * cos + h * sin, w * sin + h * cos
    return x - wide / 2, y - high / 2, wide, high
