"""Read COCO keypoint annotations. Each example is one instance, cropped from its picture by its box."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgehrnet.errors import InputError
from edgehrnet.keypoint_sets import COCO_PERSON
from edgehrnet.picture.crops import clip_box
from edgehrnet.spec import ModelSpec
from quant.data.examples import Box
from quant.data.labeled import Label, Labeled

INPUT_SIZE = (256, 192)
"""Usual input size (height, width) for crops of persons."""


def read_coco(
    path: Path,
    fold: tuple[int, int] | None = None,
    *,
    augmented: bool = True,
    content: Mapping[str, Any] | None = None,
) -> Labeled:
    """Read a COCO keypoint JSON file.

    An example is an instance with at least one labeled keypoint that is not a crowd. Pictures are in the folder of the
    JSON file, or in ``images`` in that folder. An instance without an area gets the area of its box.

    Args:
        path: JSON file.
        fold: see `Labeled`.
        augmented: whether training examples are augmented.
        content: parsed content of the file. None reads it.

    Raises:
        InputError: the file cannot be read, is not COCO keypoints, or has categories with different keypoints.
    """
    try:
        content = content or json.loads(path.read_text(encoding="utf-8"))
        categories = {c["id"]: c for c in content["categories"] if c.get("keypoints")}
        names = _only({tuple(c["keypoints"]) for c in categories.values()})
        skeletons = {tuple((a - 1, b - 1) for a, b in c.get("skeleton", ())) for c in categories.values()}
        images = {image["id"]: image for image in content["images"]}
        annotations = [a for a in content["annotations"] if a["category_id"] in categories and not a.get("iscrowd")]
        labels = [_label(a, images, path.parent, len(names)) for a in annotations if any(a.get("keypoints", ())[2::3])]
    except KeyError as error:
        raise InputError(f"{path} is not a COCO keypoint file: the field {error} is missing") from None
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} is not a COCO keypoint file: {error}") from None
    spec = ModelSpec(
        name=path.stem,
        keypoints=names,
        skeleton=skeletons.pop() if len(skeletons) == 1 else (),
        flip_pairs=_flip_pairs(names),
        oks_sigmas=COCO_PERSON.sigmas if names == COCO_PERSON.names else (),
        input_size=INPUT_SIZE,
        crop="hrnet",
    )
    return Labeled(spec, labels, fold, augmented=augmented)


def labeled_box(annotation: Mapping[str, Any], image: Mapping[str, Any]) -> Box:
    """Return an instance's box ``xywh``, clipped as in HRNet's training if the size of the picture is given."""
    x, y, w, h = annotation["bbox"]
    return clip_box((x, y, w, h), image["width"], image["height"]) if "width" in image else (x, y, w, h)


def picture_path(folder: Path, name: str) -> Path:
    """Return the path of a picture: in the folder of the annotations, or in ``images`` in that folder."""
    return folder / name if (folder / name).is_file() else folder / "images" / name


def _only(keypoints: set[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the only list of keypoints. Raise ValueError if there are none or several."""
    if len(keypoints) != 1:
        raise ValueError(f"its categories have {len(keypoints)} different lists of keypoints, and must have one")
    return next(iter(keypoints))


def _label(annotation: Mapping[str, Any], images: Mapping[int, Mapping[str, Any]], folder: Path, count: int) -> Label:
    number, values = annotation.get("id"), np.array(annotation["keypoints"], np.float64)
    if values.shape != (3 * count,):
        raise ValueError(
            f"annotation {number} has {values.size} numbers in 'keypoints', and {count} keypoints need {3 * count}"
        )
    if "bbox" not in annotation:
        raise ValueError(f"annotation {number} has no 'bbox'")
    if annotation["image_id"] not in images:
        raise ValueError(f"annotation {number} has image_id {annotation['image_id']}, which is not in 'images'")
    image = images[annotation["image_id"]]
    values = values.reshape(count, 3)
    visible = values[:, 2] > 0
    # COCO counts from the corner of a pixel. Its evaluation, and so our scores, use the numbers unchanged.
    points = np.where(visible[:, None], values[:, :2], 0.0)
    box = labeled_box(annotation, image)
    area = float(annotation.get("area", box[2] * box[3]))
    return Label(picture_path(folder, image["file_name"]), points, visible, box, area, image["id"])


def _flip_pairs(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Pair ``left_x`` with ``right_x``.

    >>> _flip_pairs(["nose", "left_eye", "right_eye"])
    ((1, 2),)
    """
    other = {name: index for index, name in enumerate(names)}
    return tuple(
        (index, other[name.replace("left", "right", 1)])
        for index, name in enumerate(names)
        if "left" in name and name.replace("left", "right", 1) in other
    )
