"""Prepare pictures for the detectors of other projects, and read what they give.

===================  ==================================  ======================================================
layout               input                               outputs
===================  ==================================  ======================================================
``ultralytics``      RGB / 255, gray 114 on both sides   ``(1, 4 + C, N)``: center x, y, width, height, a score
                                                         for each class. Overlapping boxes are removed here
``ultralytics-nms``  the same                            ``(1, N, 6)``: left, top, right, bottom, score, class
``rtmdet``           BGR, mean and std of ImageNet,      ``(1, N, 5)``: left, top, right, bottom, score, and
                     gray 114 to the right and below     ``(1, N)`` integers: class
===================  ==================================  ======================================================

All boxes are in pixels of the input. Further columns, such as masks and keypoints, are left out.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgehrnet.errors import ModelFileError
from runtimes.plain import PlainModel

Floats = NDArray[np.float64]
GRAY = 114
OPEN_SIDE = 640  # px of an input whose size the file leaves open
MEAN, STD = np.array([103.53, 116.28, 123.675]), np.array([57.375, 57.12, 58.395])  # of RTMDet, B, G, R
OVERLAP = 0.7  # IoU with a better box of the same class, above which a box is removed


@dataclass(frozen=True)
class Detections:
    """Boxes of one picture."""

    boxes: Floats
    """``(N, 4)`` xywh in pixels of the picture."""
    scores: Floats
    """``(N,)``, 0..1."""
    labels: NDArray[np.int_]
    """``(N,)`` numbers of the classes."""

    def kept(self, rows: NDArray[np.bool_] | NDArray[np.int_]) -> Detections:
        """Return some of the boxes."""
        return Detections(self.boxes[rows], self.scores[rows], self.labels[rows])


def layout_of(model: PlainModel) -> str:
    """Return the layout of a file by the shapes of its outputs.

    Raises:
        ModelFileError: It has none of the layouts above.
    """
    shapes = list(model.outputs.values())
    if len(shapes) >= 2 and _is(shapes[0], 3) and shapes[0][2] == 5 and _is(shapes[1], 2):
        return "rtmdet"
    if _is(shapes[0], 3):
        rows, columns = shapes[0][1:]
        if columns is not None and columns >= 6 and (columns == 6 or model.metadata.get("end2end") == "True"):
            return "ultralytics-nms"
        if rows is not None and rows >= 5 and (columns is None or columns > rows):
            return "ultralytics"
    found = ", ".join(f"{name} {['?' if n is None else n for n in shape]}" for name, shape in model.outputs.items())
    raise ModelFileError(
        f"{model.path} has the outputs {found}; a detector must have [1, 4 + classes, N] or [1, N, 6], as Ultralytics "
        "exports it, or dets [1, N, 5] and labels [1, N], as MMDeploy exports RTMDet"
    )


def _is(shape: tuple[int | None, ...], dimensions: int) -> bool:
    return len(shape) == dimensions and shape[0] in (1, None)


def class_names(metadata: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the classes that a file states, empty if it states none.

    >>> class_names({"names": "{0: 'person', 1: 'dog'}"}), class_names({"labels": "person dog"})
    (('person', 'dog'), ('person', 'dog'))
    """
    if "labels" in metadata:
        return tuple(metadata["labels"].split())
    try:
        names = ast.literal_eval(metadata.get("names", "{}"))
        return tuple(str(names[number]) for number in range(len(names)))
    except (ValueError, SyntaxError, KeyError, TypeError, RecursionError, MemoryError):
        return ()


def detect(model: PlainModel, layout: str, picture: NDArray[np.uint8], classes: int) -> Detections:
    """Run a detector on a picture ``(H, W, 3)`` u8 RGB.

    Args:
        model: The file.
        layout: Its layout, see `layout_of`.
        picture: The picture.
        classes: Number of classes, 0 if it is not known.
    """
    height, width = model.shape[2] or OPEN_SIDE, model.shape[3] or OPEN_SIDE
    pixels, scale, start = _fitted(picture, (width, height), centered=layout != "rtmdet")
    values = (pixels[..., ::-1] - MEAN) / STD if layout == "rtmdet" else pixels / 255
    outputs = list(model.run(values.transpose(2, 0, 1)[None]).values())
    rows = outputs[0][0].astype(np.float64)
    if layout == "ultralytics":
        found = _separate(rows[:4].T, rows[4 : 4 + classes] if classes else rows[4:])
    else:
        labels = (outputs[1][0] if layout == "rtmdet" else rows[:, 5]).astype(int)
        found = Detections(rows[:, :4], rows[:, 4], labels)
    corners = (found.boxes.reshape(-1, 2, 2) - start) / scale
    low, high = np.clip(corners, 0, picture.shape[1::-1]).transpose(1, 0, 2)
    # Boxes of other projects count from the corner of the first pixel, ours from its center.
    boxes = np.concatenate([low - 0.5, high - low], axis=1)
    return Detections(boxes, found.scores, found.labels).kept(np.flatnonzero((boxes[:, 2:] > 0).all(axis=1)))


def _fitted(
    picture: NDArray[np.uint8], size: tuple[int, int], *, centered: bool
) -> tuple[NDArray[np.uint8], Floats, Floats]:
    """Scale a picture into (width, height) px. Return it with its scale and its top-left corner, both x and y."""
    given = np.array(picture.shape[1::-1])
    ratio = float((np.array(size) / given).min())
    content = np.maximum(1, np.round(given * ratio)).astype(int)
    start = np.round((np.array(size) - content) / 2 - 0.1).astype(int) if centered else np.zeros(2, int)
    canvas = Image.new("RGB", size, (GRAY, GRAY, GRAY))
    small = Image.fromarray(picture).resize((int(content[0]), int(content[1])), Image.Resampling.BILINEAR)
    canvas.paste(small, (int(start[0]), int(start[1])))
    return np.asarray(canvas), content / given, start.astype(np.float64)


def _separate(boxes: Floats, scores: Floats) -> Detections:
    """Return the best boxes of overlapping ones of a class, as corners, from centers and sizes ``(N, 4)``."""
    labels, best = scores.argmax(axis=0), scores.max(axis=0)
    corners = np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)
    order = np.argsort(-best, kind="stable")
    order = order[best[order] > 0.05][:1000]
    kept: list[int] = []
    while len(order):
        first, order = int(order[0]), order[1:]
        kept.append(first)
        low = np.maximum(corners[first, :2], corners[order, :2])
        high = np.minimum(corners[first, 2:], corners[order, 2:])
        shared = np.clip(high - low, 0, None).prod(axis=1)
        areas = (boxes[first, 2:].prod()) + boxes[order, 2:].prod(axis=1) - shared
        order = order[(shared <= OVERLAP * areas) | (labels[order] != labels[first])]
    return Detections(corners, best, labels).kept(np.array(kept, int))
