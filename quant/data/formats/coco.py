"""Read COCO keypoint annotations."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgehrnet.errors import InputError
from edgehrnet.sides import pair_sides
from quant.data.annotations import Annotations, ImageId, Instance, Picture
from quant.data.formats.coco_categories import Categories, image_key, sigmas_of, skeleton_of
from quant.data.formats.label_studio import refuse_coco_export
from quant.data.formats.values import (
    LARGEST,
    NAMELESS,
    box_of,
    entries,
    flag,
    number,
    numbers,
    read_json,
    shortened,
    size_of,
)
from quant.data.picture_files import SAME_FILE, PictureFinder
from quant.data.remarks import Remarks

WHAT = "a COCO keypoint file"


def read_coco(path: Path, images: Path | None = None) -> Annotations:
    """Read a COCO keypoint JSON file.

    Args:
        path: JSON file.
        images: folder of the pictures. None looks for them, see `PictureFinder`.

    Raises:
        InputError: the file cannot be read, is not COCO keypoints, or has categories with different keypoints.
    """
    content = read_json(path, WHAT)
    refuse_coco_export(content, path)
    lists = {name: entries(content, name, path) for name in ("images", "annotations", "categories")}
    remarks = Remarks()
    categories = Categories.read(lists["categories"], lists["annotations"], path)
    pictures, unusable = _pictures(lists["images"], path, PictureFinder(path, images), remarks)
    reader = _Reader(path, categories, pictures, unusable, remarks)
    instances = [found for entry in enumerate(lists["annotations"]) if (found := reader.instance(*entry)) is not None]
    names = categories.keypoints
    if not any(category.get("keypoints") for category in lists["categories"]):
        remarks.add("derived", NAMELESS, f"{path.name}: {shortened(names)}")
    return Annotations(
        name=path.stem,
        source=path,
        keypoints=names,
        pictures=list(dict.fromkeys(pictures.values())),
        instances=instances,
        skeleton=skeleton_of(categories, path, remarks),
        flip_pairs=pair_sides(names),
        sigmas=sigmas_of(categories, path, remarks),
        categories={n: (key, name) for n, (key, name) in enumerate(categories.names.items(), start=1)},
        aliases=pictures,
        remarks=remarks,
    )


def _pictures(
    listed: Sequence[Mapping[str, Any]], path: Path, finder: PictureFinder, remarks: Remarks
) -> tuple[dict[ImageId, Picture], set[ImageId]]:
    """Return the pictures by their ids, and the ids of those that were refused."""
    pictures: dict[ImageId, Picture] = {}
    by_path: dict[Path, Picture] = {}
    spelled: dict[Path, str] = {}
    unusable: set[ImageId] = set()
    for index, image in enumerate(listed):
        key, name = image_key(image.get("id")), image.get("file_name")
        place = f"{path.name}, images[{index}]"
        if key is None or not isinstance(name, str) or not name:
            field = "file_name" if key is not None else "id"
            needed = "the path of the picture" if field == "file_name" else "a whole number or a text"
            kind = f"pictures whose {field!r} is missing or cannot be used; write {needed}"
            remarks.add("error", kind, f"{place} has {shortened(image.get(field))}")
            unusable |= set() if key is None else {key}
            continue
        try:
            found = finder.find(name)
        except InputError as error:
            remarks.add("error", "pictures outside the folders of the data set", f"{place}: {error}")
            unusable.add(key)
            continue
        size = size_of(image.get("height"), image.get("width"))
        picture = Picture(found, key, f"{path.name}, image {key}", size)
        plain = posixpath.normpath(name.replace("\\", "/")).casefold()
        if found in by_path and spelled[found] == plain:
            remarks.add("warning", "pictures that are listed twice, and count as one", f"{place}: {name}")
        elif found in by_path:
            remarks.add("error", SAME_FILE, f"{place}: {name}")
        spelled[found] = plain
        if key in pictures and pictures[key].path != found:
            remarks.add("error", "ids that several pictures share; give each picture an id of its own",
                        f"{place}: id {key} of {name} and {pictures[key].path.name}")  # fmt: skip
        # A file that is listed with several ids is one picture.
        pictures[key] = by_path.setdefault(found, picture)
    return pictures, unusable


@dataclass(frozen=True)
class _Reader:
    """Turns entries of ``annotations`` into instances."""

    path: Path
    categories: Categories
    pictures: Mapping[ImageId, Picture]
    unusable: Collection[ImageId]
    remarks: Remarks

    def instance(self, index: int, entry: Mapping[str, Any]) -> Instance | None:
        """Return one instance. None if the annotation has an error, or its category has no keypoints."""
        key = image_key(entry.get("id"))
        place = f"{self.path.name}, annotation {index if key is None else key}"
        category = self._category(entry, place)
        if category is None:
            return None
        picture_id = image_key(entry.get("image_id"))
        picture = None if picture_id is None else self.pictures.get(picture_id)
        if picture is None:
            if picture_id in self.unusable:  # an error already
                return None
            self.remarks.add("error", "annotations whose image_id is not in 'images'; correct it or add the picture",
                             f"{place} has image_id {shortened(entry.get('image_id'))}")  # fmt: skip
            return None
        values, area, crowd = self._keypoints(entry, place), self._area(entry, place), flag(entry.get("iscrowd"))
        if crowd is None:
            self.remarks.add("error", "values of 'iscrowd' other than 0 and 1; write one of these",
                             f"{place} has {shortened(entry['iscrowd'])}")  # fmt: skip
        if values is None:
            return None
        return Instance(
            picture=picture,
            points=values[:, :2],
            visibility=values[:, 2].astype(np.uint8),
            source=place,
            box=self._box(entry, place),
            area=area,
            crowd=bool(crowd),
            category=category,
        )

    def _category(self, entry: Mapping[str, Any], place: str) -> int | None:
        """Return the number of the category, or None if it has no keypoints."""
        keys, has_points = list(self.categories.names), "keypoints" in entry
        key = image_key(entry.get("category_id"))
        if key in keys:
            return keys.index(key) + 1
        if not has_points or not entry["keypoints"]:
            return None
        if key in self.categories.others:
            self.remarks.add("dropped", "annotations with keypoints whose category has none", place)
            return None
        if len(keys) > 1:
            kind = f"annotations of unknown categories; set category_id to one with keypoints: {keys}"
            self.remarks.add("error", kind, f"{place} has category_id {shortened(entry.get('category_id'))}")
            return None
        self.remarks.add(
            "derived", "annotations put into the only category with keypoints, as theirs is missing or unknown", place
        )
        return 1

    def _keypoints(self, entry: Mapping[str, Any], place: str) -> NDArray[np.float64] | None:
        """Return ``(K, 3)`` x, y and visibility. Points that are null or not finite are not labeled."""
        count, given = len(self.categories.keypoints), entry.get("keypoints")
        if not given:  # a crowd, or a box alone
            return np.zeros((count, 3))
        values = numbers(_flat(given, count))
        if values is None or len(values) != 3 * count:
            kind = f"annotations whose 'keypoints' are not {3 * count} numbers: x, y and visibility of {count} points"
            self.remarks.add("error", kind, f"{place} has {_shown(given, values)}")
            return None
        found = np.array(values).reshape(count, 3)
        labeled = ~(found[:, 2] <= 0)
        bad = labeled & ~np.isfinite(found[:, :2]).all(axis=1)
        if bad.any():
            self.remarks.add("dropped", "points without finite coordinates, which count as not labeled", place)
        if (labeled & ~bad & ~np.isin(found[:, 2], (1, 2))).any():
            self.remarks.add("warning", "visibilities that are missing or not 0, 1 or 2, taken as visible", place)
        if (~labeled & (found[:, :2] > 0).all(axis=1)).any():
            kind = "points with coordinates and visibility 0 or less, which count as not labeled"
            self.remarks.add("dropped", kind, place)
        absent = labeled & (found[:, :2] == -1).all(axis=1)
        if absent.any():
            self.remarks.add("dropped", "points at (-1, -1), which count as not labeled", place)
        visibility = np.where(labeled & ~bad & ~absent, np.where(found[:, 2] == 1, 1, 2), 0)
        points: NDArray[np.float64] = np.c_[np.where(visibility[:, None] > 0, found[:, :2], 0.0), visibility]
        return points

    def _area(self, entry: Mapping[str, Any], place: str) -> float | None:
        """Return the area, or None if it is missing or is not a positive, finite number."""
        area = number(entry.get("area"), LARGEST**2)
        if area is None:
            self.remarks.add(
                "error", "areas that are not numbers; correct or remove them", f"{place} has {shortened(entry['area'])}"
            )
        return area if area is not None and area > 0 else None

    def _box(self, entry: Mapping[str, Any], place: str) -> tuple[float, float, float, float] | None:
        given = entry.get("bbox")
        if given is None or given == []:
            return None
        box = box_of(given)
        if box is None:
            self.remarks.add("error", "boxes that are not four finite numbers (left, top, width, height)",
                             f"{place} has {shortened(given)}")  # fmt: skip
        return box


def _shown(given: Any, values: Sequence[float] | None) -> str:
    """Return what is wrong with keypoints: their first value that is not a number, or else how many there are."""
    if not isinstance(given, list):
        return shortened(given)
    bad = next((value for value in given if number(value) is None), None) if values is None else None
    return f"{len(given)} values" if bad is None else f"{shortened(bad)} among its {len(given)} values"


def _flat(given: Any, count: int) -> Any:
    """Return keypoints that are lists of three as one list, and anything else as it is."""
    if not isinstance(given, list) or len(given) != count:
        return given
    nested = all(isinstance(point, list) and len(point) == 3 for point in given)
    return [value for point in given for value in point] if nested else given
