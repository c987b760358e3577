"""Read the boxes in which keypoints are to be found: those of the labels, or those of a detector."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgehrnet.errors import InputError
from edgehrnet.picture.crops import MIN_BOX_SIDE
from quant.data.annotations import Annotations, ImageId, Picture
from quant.data.examples import Box
from quant.data.formats.coco_categories import image_key
from quant.data.formats.values import box_of, number, read_json, shortened
from quant.data.plausibility import CORNERS, RELATIVE, look_like_corners

WHAT = "a list of detections with image_id, bbox and score"


@dataclass(frozen=True)
class Detection:
    """One box in which to look for keypoints."""

    picture: Picture
    """Picture that shows the box."""
    category_id: ImageId
    """Id of the category in the label file."""
    box: Box
    """Box ``xywh`` in picture pixels."""
    score: float
    """Score of the box, 0..1."""


def true_boxes(annotations: Annotations) -> list[Detection]:
    """Return the boxes of the labeled instances, each with score 1."""
    return [
        Detection(instance.picture, annotations.categories[instance.category][0], instance.box, 1.0)
        for instance in annotations.trained()
        if instance.box is not None
    ]


def read_boxes(path: Path, annotations: Annotations) -> list[Detection]:
    """Read a detector's boxes from a JSON list. Boxes without an area are left out, and noted in the labels' remarks.

    Args:
        path: File whose entries have ``image_id`` and ``bbox`` (xywh). They may have ``score``, 1 by default, and
            ``category_id``, which is needed only if the labels have several categories.
        annotations: Labels of the pictures.

    Returns:
        The boxes that have an area.

    Raises:
        InputError: The file is not such a list, an entry names a picture or a category that the labels do not have, no
            box has an area, or the boxes look like two corners or like shares. The message names the entry.
    """
    content = read_json(path, WHAT)
    if not isinstance(content, list):
        raise InputError(f"{path} is not {WHAT}; it is {shortened(content)}")
    pictures = annotations.by_id()
    found = [_detection(f"{path}, entry {index}", entry, pictures, annotations) for index, entry in enumerate(content)]
    _check_categories(path, found, annotations)
    for index, detection in enumerate(found):
        if min(detection.box[2:]) < MIN_BOX_SIDE:
            annotations.remarks.add("dropped", "boxes of a detector without an area", f"{path.name}, entry {index}")
    found = [detection for detection in found if min(detection.box[2:]) >= MIN_BOX_SIDE]
    if not found:
        raise InputError(f"{path} has {len(content)} boxes, but none with an area; to score the labels' boxes, leave "
                         "out --boxes")  # fmt: skip
    _check_boxes(path, found, annotations)
    return found


def _detection(place: str, entry: Any, pictures: Mapping[ImageId, Picture], annotations: Annotations) -> Detection:
    if not isinstance(entry, Mapping):
        raise InputError(f"{place} is {shortened(entry)}, and must be an object with image_id, bbox and score")
    box, score = box_of(entry.get("bbox")), number(entry.get("score", 1.0))
    if box is None:
        raise InputError(f"{place}: bbox is {shortened(entry.get('bbox'))}, and must be four finite numbers "
                         "(left, top, width, height)")  # fmt: skip
    if score is None or not math.isfinite(score):
        raise InputError(f"{place}: score is {shortened(entry.get('score'))}, and must be a finite number")
    key = image_key(entry.get("image_id"))
    if key is None or key not in pictures:
        raise InputError(
            f"{place}: the labels have no picture with the id {shortened(entry.get('image_id'))}; pass boxes "
            "for the same pictures"
        )
    category = image_key(entry.get("category_id"))
    if category is None:
        if len(annotations.categories) > 1:
            raise InputError(
                f"{place}: category_id is {shortened(entry.get('category_id'))}, and must be one of the labels' "
                f"categories: {[key for key, _ in annotations.categories.values()]}"
            )
        ((category, _),) = annotations.categories.values()
    return Detection(pictures[key], category, box, score)


def _check_boxes(path: Path, found: list[Detection], annotations: Annotations) -> None:
    """Raise InputError if the boxes look like shares of the picture or like two corners."""
    if max(x + w for x, _, w, _ in (detection.box for detection in found)) <= RELATIVE:
        raise InputError(f"{path}: its boxes look like shares of the picture in 0..1, such as {list(found[0].box)}; "
                         "multiply left and width by the picture's width, top and height by its height")  # fmt: skip
    shown = [detection for detection in found if detection.picture in annotations.sizes]
    sizes = [annotations.sizes[detection.picture] for detection in shown]
    if look_like_corners([detection.box for detection in shown], sizes):
        raise InputError(f"{path} has {CORNERS}; the first is {list(shown[0].box)} in a picture of "
                         f"{sizes[0][1]}x{sizes[0][0]} px")  # fmt: skip


def _check_categories(path: Path, found: list[Detection], annotations: Annotations) -> None:
    """Raise InputError if boxes have a category that the labels do not have."""
    known = dict(annotations.categories.values())
    strange = Counter(detection.category_id for detection in found if detection.category_id not in known)
    if strange:
        shown = ", ".join(f"{count} boxes of category {key!r}" for key, count in strange.items())
        names = ", ".join(f"{key!r} ({name})" for key, name in known.items())
        raise InputError(f"{path} has {shown}; the labels have {names}. Change category_id, or leave it out")
