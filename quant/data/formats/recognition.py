"""Recognize the format of labels and read them."""

from __future__ import annotations

from pathlib import Path

from quant.data.annotations import Annotations
from quant.data.formats.coco import read_coco
from quant.data.formats.deeplabcut import TABLE, read_table

FORMATS = f"a folder with a {TABLE}, or a COCO keypoint .json"
"""Label formats, for help texts and error messages."""


def has_labels(path: Path) -> bool:
    """Return whether a path looks like labels of a known format."""
    return (path.is_dir() and (path / TABLE).is_file()) or (path.is_file() and path.suffix == ".json")


def read_labels(path: Path, images: Path | None = None) -> Annotations:
    """Read labels of any known format, without checking them, see `completed`.

    Args:
        path: file or folder for which `has_labels` is True.
        images: folder of the pictures. None looks for them beside the labels.

    Raises:
        InputError: the labels cannot be read.
    """
    if path.is_dir():
        return read_table(path, images)
    return read_coco(path, images)
