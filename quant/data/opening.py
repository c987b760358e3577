"""Open the data set, or the folder of pictures, that the option ``--data`` names."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgehrnet.errors import InputError, nearest
from edgehrnet.picture.crops import CropConvention
from edgehrnet.picture.sources import read_image
from edgehrnet.sides import pair_sides, unpaired
from edgehrnet.sources.files import Files
from quant.data.annotations import Annotations
from quant.data.documents.corners import NAME, DocumentCorners
from quant.data.examples import DataSet, random_subset
from quant.data.formats.recognition import FORMATS, has_labels, read_labels
from quant.data.keypoint_order import check_order, reordered
from quant.data.labeled import Labeled
from quant.data.normalization import completed, usual_crop
from quant.data.same_pictures import note_duplicates

ACCEPTED = f"{NAME!r}, {FORMATS}"
PACKED = frozenset({".zip", ".gz", ".tar", ".tgz", ".7z", ".rar"})
"""Suffixes of archives, as most labeling tools export them."""
UNPAIRED = (
    "left or right keypoints without a partner, so that training pictures are not mirrored; "
    "pass --flip-pairs LEFT=RIGHT"
)
"""Remark on keypoints that matters only in training, where pictures are mirrored."""
CropChoice: TypeAlias = CropConvention | Literal["auto"] | None
"""Convention of the crops, None for whole pictures, or ``auto`` to choose by the labels."""


def open_data(
    data: str,
    fold: tuple[int, int] | None = None,
    *,
    augmented: bool = True,
    crop: CropChoice = "auto",
    images: str | None = None,
    flip_pairs: Sequence[tuple[str, str]] | None = None,
    validation: str | None = None,
) -> DataSet:
    """Open a labeled data set and check its labels and the headers of its pictures.

    Args:
        data: `NAME` for synthetic documents, or labels of any known format.
        fold: (k, n) uses every n-th labeled picture for validation, beginning with the k-th, counted from 0.
        augmented: whether labeled pictures are augmented in training. Synthetic documents never repeat.
        crop: convention of the crops, or None for whole pictures. ``auto`` takes crops in HRNet's convention if a
            picture shows several instances, and whole pictures otherwise.
        images: folder of the pictures. None looks for them beside the labels.
        flip_pairs: names of keypoints to swap in a mirrored picture, in addition to those that are recognized by their
            names or stated by the labels.
        validation: labels of the validation set. None takes it from ``data``.

    Raises:
        InputError: ``data`` has no known format, its labels have an error, or the options do not fit each other.
    """
    if data.startswith("synthetic:"):
        if data != NAME:
            raise InputError(f"unknown data set {data!r}; {nearest(data, [NAME])}")
        if fold is not None or validation is not None:
            raise InputError(f"{NAME} has validation pictures of its own; leave out --fold and --val")
        return DocumentCorners()
    if fold is not None and validation is not None:
        raise InputError(f"--fold {fold[0]}/{fold[1]} and --val {validation} cannot be combined; use one of them")
    annotations = open_annotations(data, images, flip_pairs)
    others = None
    if validation is not None:
        others = _open_validation(validation, images)
        order = check_order(others.keypoints, annotations.keypoints, str(others.source), str(annotations.source))
        others = reordered(others, order)
        note_duplicates(annotations, others)
        annotations.remarks.extend(others.remarks)
    chosen = usual_crop(annotations) if crop == "auto" else crop
    return Labeled(annotations, fold, crop=chosen, augmented=augmented, validation=others)


def _open_validation(data: str, images: str | None) -> Annotations:
    """Open the labels of a validation set. Pictures are searched beside them first, then in the folder ``images``."""
    found = read_annotations(data)
    if found.remarks.of("error") and images is not None:
        return open_annotations(data, images)
    found.remarks.raise_errors(str(found.source))
    return found


def open_annotations(
    data: str, images: str | None = None, flip_pairs: Sequence[tuple[str, str]] | None = None
) -> Annotations:
    """Read, complete and check labels. Arguments and errors are those of `open_data`."""
    annotations = read_annotations(data, images, flip_pairs)
    annotations.remarks.raise_errors(str(annotations.source))
    return annotations


def read_annotations(
    data: str, images: str | None = None, flip_pairs: Sequence[tuple[str, str]] | None = None
) -> Annotations:
    """Read and complete labels as `open_annotations` does, but keep errors in the annotations as remarks."""
    if not has_labels(Path(data)):
        raise InputError(f"data set {data!r} {_missing(Path(data))}; pass {ACCEPTED}")
    annotations = completed(read_labels(Path(data), None if images is None else Path(images)))
    pairs = _with_pairs(annotations, flip_pairs or ())
    alone = unpaired(annotations.keypoints, pairs)
    for name in alone:
        annotations.remarks.add("warning", UNPAIRED, name)
    return dataclasses.replace(annotations, flip_pairs=pairs, unpaired=alone)


def _missing(path: Path) -> str:
    """Say why there are no labels at a path, and which file or step the user may have meant."""
    if not path.exists():
        return "does not exist"
    if path.suffix.lower() in PACKED:
        return "is packed; unpack it, and pass the labels in it"
    inside = [file for file in sorted(path.iterdir()) if file.is_file() and has_labels(file)] if path.is_dir() else []
    meant = f", but holds {', '.join(map(str, inside[:3]))}" if inside else ""
    return f"has no labels of a known format{meant}"


def _with_pairs(annotations: Annotations, given: Sequence[tuple[str, str]]) -> tuple[tuple[int, int], ...]:
    """Return the given pairs as indices, then those of the labels, then those that the names of the others show.

    Raises:
        InputError: a name is not that of a keypoint, or is in several pairs.
    """
    names, typed = annotations.keypoints, [name for pair in given for name in pair]
    for name in typed:
        if name not in names:
            raise InputError(f"--flip-pairs: no keypoint {name!r}; {nearest(name, names)}")
        if typed.count(name) > 1:
            raise InputError(f"--flip-pairs: the keypoint {name!r} is in several pairs; put it into one")
    pairs = [(names.index(left), names.index(right)) for left, right in given]
    for more in (annotations.flip_pairs, pair_sides(names)):
        taken = {index for pair in pairs for index in pair}
        pairs += [pair for pair in more if not taken & {*pair}]
    return tuple(pairs)


def open_pictures(
    data: str,
    count: int,
    fold: tuple[int, int] | None = None,
    seed: int = 0,
    *,
    crop: CropChoice = "auto",
    images: str | None = None,
) -> Iterator[NDArray[np.uint8]]:
    """Yield at most ``count`` pictures ``(H, W, 3)`` u8 for calibration, from a data set or from any folder.

    The same seed chooses the same pictures. Raises what `open_data` and edgehrnet.picture.sources raise.
    """
    path = Path(data)
    if not path.is_dir() or has_labels(path):
        yield from open_data(data, fold, crop=crop, images=images).calibration(count, seed)
        return
    paths = list(Files(path))
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
        raise argparse.ArgumentTypeError(
            f"fold {text!r}: N must be at least 2, and K from 0 to N - 1; use for example 0/5"
        )
    return k, n


def parse_flip_pair(text: str) -> tuple[str, str]:
    """Parse ``LEFT=RIGHT`` from a command line: two keypoints that a mirrored picture exchanges.

    >>> parse_flip_pair("paw1LH=paw4RH")
    ('paw1LH', 'paw4RH')
    """
    left, equals, right = text.partition("=")
    if not (equals and left and right and left != right):
        raise argparse.ArgumentTypeError(f"{text!r} is not LEFT=RIGHT; use two names, such as eye_l=eye_r")
    return left, right
