"""Open the data set or the folder of pictures that ``--data`` names."""

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
from quant.data.examples import DataSet, random_subset
from quant.data.labeled import TABLE, read_table

ACCEPTED = f"{NAME!r}, a folder with a {TABLE}, or a COCO keypoint .json"


def open_data(data: str, fold: tuple[int, int] | None = None, *, augmented: bool = True) -> DataSet:
    """Open a labeled data set.

    Args:
        data: `NAME` for synthetic documents, a folder with DeepLabCut's table, or a COCO keypoint JSON file.
        fold: (k, n) uses every n-th labeled picture for validation, beginning with the k-th, counted from 0.
        augmented: whether labeled pictures are augmented in training. Synthetic documents never repeat.

    Raises:
        InputError: ``data`` is none of these, or synthetic documents with a fold.
    """
    if data.startswith("synthetic:"):
        if data != NAME:
            raise InputError(f"unknown data set {data!r}; {nearest(data, [NAME])}")
        if fold is not None:
            raise InputError(f"{NAME} has no folds: its validation pictures are made separately; leave out --fold")
        return DocumentCorners()
    path = Path(data)
    if path.is_dir() and (path / TABLE).is_file():
        return read_table(path, fold, augmented=augmented)
    if path.is_file() and path.suffix == ".json":
        return read_coco(path, fold, augmented=augmented)
    if path.exists():
        raise InputError(f"{data} has no labels; pass {ACCEPTED}")
    raise InputError(f"no data set {data!r}; pass {ACCEPTED}")


def open_pictures(
    data: str, count: int, fold: tuple[int, int] | None = None, seed: int = 0
) -> Iterator[NDArray[np.uint8]]:
    """Yield at most ``count`` pictures ``(H, W, 3)`` u8 for calibration, from a data set or from any folder.

    The same seed chooses the same pictures. Raises what `open_data` and edgehrnet.picture.sources raise.
    """
    path = Path(data)
    if not path.is_dir() or (path / TABLE).is_file():
        yield from open_data(data, fold).calibration(count, seed)
        return
    paths = list(frames(path))
    for index in random_subset(len(paths), count, seed):
        yield read_image(paths[index])


def parse_fold(text: str) -> tuple[int, int]:
    """Parse ``K/N`` from a command line: part K of N is the validation set, counted from 0.

    >>> parse_fold("0/5")
    (0, 5)
    """
    first, _, second = text.partition("/")
    try:
        k, n = int(first), int(second)
    except ValueError:
        raise argparse.ArgumentTypeError(f"fold {text!r} is not K/N; use for example 0/5") from None
    if not 0 <= k < n or n < 2:
        raise argparse.ArgumentTypeError(f"fold {text!r}: N must be at least 2, and K from 0 to N - 1")
    return k, n
