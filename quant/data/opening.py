"""``--data``: what the commands accept, and what it opens."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgehrnet.errors import InputError, nearest
from edgehrnet.picture.sources import frames, read_image
from quant.data.coco import read_coco
from quant.data.documents.corners import NAME, DocumentCorners
from quant.data.examples import DataSet, drawn
from quant.data.labeled import TABLE, read_table

ACCEPTED = f"{NAME!r}, a folder with a {TABLE}, or a COCO keypoint .json"


def open_data(data: str, fold: tuple[int, int] | None = None, *, augmented: bool = True) -> DataSet:
    """Open a labeled data set: `NAME`, a folder in the layout of DeepLabCut's tables, or a COCO keypoint JSON.

    ``fold`` (k, n) holds back every n-th labeled picture, beginning with the k-th. ``augmented``: labeled pictures
    are varied in training; what is drawn never comes twice.

    Raises InputError for anything else, naming what is accepted.
    """
    if data.startswith("synthetic:"):
        if data != NAME:
            raise InputError(f"unknown data set {data!r}; {nearest(data, [NAME])}")
        if fold is not None:
            raise InputError(f"{NAME} has no folds: what it holds back is drawn apart")
        return DocumentCorners()
    path = Path(data)
    if path.is_dir() and (path / TABLE).is_file():
        return read_table(path, fold, augmented=augmented)
    if path.is_file() and path.suffix == ".json":
        return read_coco(path, fold, augmented=augmented)
    if path.exists():
        raise InputError(f"{data} has no labels; for this, pass {ACCEPTED}")
    raise InputError(f"no data set {data!r}: pass {ACCEPTED}")


def open_pictures(
    data: str, count: int, fold: tuple[int, int] | None = None, seed: int = 0
) -> Iterator[NDArray[np.uint8]]:
    """Yield at most ``count`` pictures ``(H, W, 3)`` u8 to calibrate with: of a data set, or of any folder.

    The same seed draws the same pictures. Raises as open_data and edgehrnet.picture.sources do.
    """
    path = Path(data)
    if not path.is_dir() or (path / TABLE).is_file():
        yield from open_data(data, fold).calibration(count, seed)
        return
    paths = list(frames(path))
    for index in drawn(len(paths), count, seed):
        yield read_image(paths[index])


def parse_fold(text: str) -> tuple[int, int]:
    """Read the ``K/N`` of a command line: hold back part K of N, counted from 0.

    >>> parse_fold("0/5")
    (0, 5)
    """
    first, _, second = text.partition("/")
    try:
        k, n = int(first), int(second)
    except ValueError:
        raise argparse.ArgumentTypeError(f"fold {text!r}: write K/N, such as 0/5") from None
    if not 0 <= k < n or n < 2:
        raise argparse.ArgumentTypeError(f"fold {text!r}: K runs from 0 to N - 1, and N is at least 2")
    return k, n
