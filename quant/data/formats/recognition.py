"""Recognize the format of labels and read them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from edgehrnet.errors import InputError
from quant.data.annotations import Annotations
from quant.data.formats.coco import read_coco
from quant.data.formats.cvat import is_cvat, read_cvat
from quant.data.formats.deeplabcut import has_tables, read_deeplabcut
from quant.data.formats.label_studio import is_label_studio, read_label_studio
from quant.data.formats.sleap import is_sleap, read_sleap
from quant.data.formats.ultralytics import is_ultralytics, read_ultralytics

Recognizes = Callable[[Path], bool]
Reads = Callable[[Path, Path | None], Annotations]

FORMATS = (
    "a project, folder or table (CollectedData*.csv or .h5) of DeepLabCut or Lightning Pose; a .json of COCO keypoints "
    "or Label Studio; a .slp of SLEAP; annotations.xml of CVAT or its folder; or data.yaml of Ultralytics, its folder, "
    "or a folder of its labels"
)
"""Label formats, for help texts and error messages."""


def _is_coco(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() == ".json"


READERS: tuple[tuple[Recognizes, Reads], ...] = (
    (has_tables, read_deeplabcut),
    (is_cvat, read_cvat),
    (is_label_studio, read_label_studio),
    (_is_coco, read_coco),
    (is_sleap, read_sleap),
    (is_ultralytics, read_ultralytics),
)
"""Functions that recognize a format and read it. The first that recognizes a path reads it."""


def has_labels(path: Path) -> bool:
    """Return whether a path looks like labels of a known format."""
    return any(recognizes(path) for recognizes, _ in READERS)


def read_labels(path: Path, images: Path | None = None) -> Annotations:
    """Read labels of any known format, without checking them, see `completed`.

    Args:
        path: file or folder for which `has_labels` is True.
        images: folder of the pictures. None looks for them beside the labels.

    Raises:
        InputError: the labels cannot be read.
    """
    for recognizes, reads in READERS:
        if recognizes(path):
            return reads(path, images)
    raise InputError(f"{path} has no labels of a known format; pass {FORMATS}")
