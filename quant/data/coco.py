"""COCO keypoint annotations on disk: instances with boxes, each a crop of its picture."""

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


def read_coco(
    path: Path,
    fold: tuple[int, int] | None = None,
    *,
    augmented: bool = True,
    content: Mapping[str, Any] | None = None,
) -> Labeled:
    """Read COCO keypoint annotations; an example is one instance with at least one labeled point, no crowd.

    Pictures lie beside the JSON file, or in ``images`` beside it. The categories must agree on the keypoints. An
    instance without an area has its box's. ``content`` is the file's parsed JSON; None reads it.
    """
    try:
        content = content or json.loads(path.read_text(encoding="utf-8"))
        categories = {c["id"]: c for c in content["categories"] if c.get("keypoints")}
        names = _agreed({tuple(c["keypoints"]) for c in categories.values()})
        skeletons = {tuple((a - 1, b - 1) for a, b in c.get("skeleton", ())) for c in categories.values()}
        images = {image["id"]: image for image in content["images"]}
        annotations = [a for a in content["annotations"] if a["category_id"] in categories and not a.get("iscrowd")]
        labels = [
            _label(a, images[a["image_id"]], path.parent, len(names))
            for a in annotations
            if any(a.get("keypoints", ())[2::3])
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} holds no COCO keypoints: {error!r}") from None
    spec = ModelSpec(
        name=path.stem,
        keypoints=names,
        skeleton=skeletons.pop() if len(skeletons) == 1 else (),
        flip_pairs=_mirrored(names),
        oks_sigmas=COCO_PERSON.sigmas if names == COCO_PERSON.names else (),
        input_size=INPUT_SIZE,
        crop="hrnet",
    )
    return Labeled(spec, labels, fold, augmented=augmented)


def labeled_box(annotation: Mapping[str, Any], image: Mapping[str, Any]) -> Box:
    """Return an instance's box x, y, width, height, clipped as HRNet's training does if the picture's size is given."""
    x, y, w, h = annotation["bbox"]
    return clip_box((x, y, w, h), image["width"], image["height"]) if "width" in image else (x, y, w, h)


def picture_path(folder: Path, name: str) -> Path:
    """Return where a picture of this name lies: beside the annotations, or in ``images`` beside them."""
    return folder / name if (folder / name).is_file() else folder / "images" / name


def _agreed(keypoints: set[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the one entry."""
    if len(keypoints) != 1:
        raise ValueError(f"{len(keypoints)} different lists of keypoints in its categories, where one is accepted")
    return next(iter(keypoints))


def _label(annotation: Mapping[str, Any], image: Mapping[str, Any], folder: Path, count: int) -> Label:
    values = np.array(annotation["keypoints"], np.float64)
    if values.shape != (3 * count,):
        raise ValueError(f"annotation {annotation['id']} has {values.size} numbers, {3 * count} for {count} keypoints")
    values = values.reshape(count, 3)
    visible = values[:, 2] > 0
    # COCO counts from a pixel's corner; its own evaluation, and so our scores, take the numbers as they are.
    points = np.where(visible[:, None], values[:, :2], 0.0)
    box = labeled_box(annotation, image)
    area = float(annotation.get("area", box[2] * box[3]))
    return Label(picture_path(folder, image["file_name"]), points, visible, box, area, image["id"])


def _mirrored(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Pair ``left_x`` with ``right_x``.

    >>> _mirrored(["nose", "left_eye", "right_eye"])
    ((1, 2),)
    """
    other = {name: index for index, name in enumerate(names)}
    return tuple(
        (index, other[name.replace("left", "right", 1)])
        for index, name in enumerate(names)
        if "left" in name and name.replace("left", "right", 1) in other
    )
