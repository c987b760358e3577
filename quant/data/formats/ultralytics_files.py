"""Find the data.yaml, the pictures and the label files of a data set of Ultralytics."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from edgehrnet.errors import InputError
from quant.data.formats.values import shortened
from quant.data.remarks import Remarks

SUFFIXES = (".yaml", ".yml")
PICTURES = frozenset({
    ".avif", ".bmp", ".dng", ".heic", ".heif", ".jp2", ".jpeg", ".jpg", ".mpo", ".png", ".tif", ".tiff", ".webp",
})  # fmt: skip
"""Suffixes of the pictures that Ultralytics reads."""
KEY = re.compile(r"""^["']?(?:kpt_shape|train)["']?\s*:""", re.MULTILINE)
"""Key that a YAML file has if it describes a data set."""
LEVELS = 3
"""Number of folders above a folder ``labels`` in which its data.yaml is searched."""
NOT_LABELS = ("classes.txt",)
"""Files that labeling tools write beside label files."""


@dataclass(frozen=True)
class Entry:
    """A picture and its label file, either of which may not exist."""

    picture: Path
    label: Path


def descriptions(path: Path) -> list[Path]:
    """Return the files that describe the data set at a path: a data.yaml, its folder, or a folder of its labels.

    There are several if a folder has several and none of them is called data.yaml.
    """
    if path.suffix.lower() in SUFFIXES and path.is_file():
        return [path] if _describes(path) else []
    if not path.is_dir():
        return []
    if found := _in_folder(path):
        return found
    folder = path.absolute()
    parts = folder.parts
    if "labels" not in parts:
        return []
    last = len(parts) - 1 - parts[::-1].index("labels")
    above = [Path(*parts[:count]) for count in range(last, max(1, last - LEVELS), -1)]
    return next((found for parent in above if (found := _in_folder(parent))), [])


def _in_folder(folder: Path) -> list[Path]:
    try:
        found = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and _describes(file))
    except OSError:  # not allowed to look
        return []
    return [file for file in found if file.stem == "data"][:1] or found


def _describes(file: Path) -> bool:
    try:
        return KEY.search(file.read_text(encoding="utf-8-sig")) is not None
    except (OSError, ValueError):
        return False


def label_of(picture: Path) -> Path:
    """Return the label file of a picture: the last folder ``images`` becomes ``labels``, the suffix ``.txt``.

    >>> label_of(Path("/data/images/train/a.b.jpg")).as_posix()
    '/data/labels/train/a.b.txt'
    """
    return _exchanged(picture.parent, "images", "labels") / f"{picture.stem}.txt"


def _exchanged(folder: Path, old: str, new: str) -> Path:
    parts = list(folder.parts)
    if old in parts:
        parts[len(parts) - 1 - parts[::-1].index(old)] = new
    return Path(*parts)


def entries_of(labels: Path, images: Path | None, remarks: Remarks) -> list[Entry]:
    """Return pictures and label files of a folder of labels, see `entries_in`."""
    folder = labels.absolute()
    return _entries([_exchanged(folder, "labels", "images")], images, remarks)


def entries_in(
    description: Path, content: Mapping[str, Any], split: str, images: Path | None, remarks: Remarks
) -> list[Entry]:
    """Return pictures and label files of one part of a data set.

    Without ``images``, the pictures are those that the description names. With this folder of the user, all label files
    are read, and the picture of each is searched in the folder.

    Raises:
        InputError: the description does not name such a part, it does not exist, or it has no picture.
    """
    value = content.get(split)
    values: list[Any] = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(item, str) and item for item in values):
        raise InputError(f"{description}: {split!r} is {shortened(value)}, and must be a folder of pictures, a list of "
                         "such folders, or a .txt that lists pictures")  # fmt: skip
    roots = _roots(description, content.get("path"))
    return _entries([_place(item, roots, split, description, images) for item in values], images, remarks)


def _roots(description: Path, path: Any) -> list[Path]:
    """Return the folders to which paths may be relative. Ultralytics takes ``path`` from the current folder."""
    beside = description.absolute().parent
    return list(dict.fromkeys([beside / path, beside, Path.cwd() / path] if isinstance(path, str) else [beside]))


def _place(item: str, roots: Sequence[Path], split: str, description: Path, images: Path | None) -> Path:
    # Some tools write ../train/images for a folder beside the data.yaml.
    tried = [Path(os.path.normpath(root / name)) for root in roots for name in (item, item.removeprefix("../"))]
    found = [place for place in tried if place.exists()]
    if not found and images is not None:
        found = [place for place in tried if label_of(place / "a").parent.is_dir()]
    if not found:
        shown = ", ".join(str(place) for place in dict.fromkeys(tried))
        raise InputError(f"{description}: {split!r} is {item!r}, and none of these exists: {shown}; correct 'path' in "
                         "it, or pass the folder of the pictures with --images DIR")  # fmt: skip
    return found[0]


def _entries(places: Sequence[Path], images: Path | None, remarks: Remarks) -> list[Entry]:
    found: list[Entry] = []
    for place in places:
        if place.suffix.lower() == ".txt" and place.is_file():
            found += _listed(place, images)
        elif images is not None:
            found += _labeled(label_of(place / "a").parent, images)
        else:
            found += _pictures(place, remarks)
    if not found:
        raise InputError(f"no pictures with labels in {', '.join(map(str, places))}; pass the folder of the pictures "
                         "with --images DIR")  # fmt: skip
    return list({entry.picture: entry for entry in found}.values())


def _files(folder: Path, suffixes: frozenset[str]) -> list[Path]:
    """Return the files below a folder, sorted. Hidden ones, and those in hidden folders, are left out."""
    found = (file for file in folder.rglob("*.*") if file.suffix.lower() in suffixes)
    shown = (file for file in found if not any(part.startswith(".") for part in file.relative_to(folder).parts))
    return sorted(file for file in shown if file.is_file())


def _label_files(folder: Path) -> list[Path]:
    return [file for file in _files(folder, frozenset({".txt"})) if file.name not in NOT_LABELS]


def _pictures(folder: Path, remarks: Remarks) -> Iterator[Entry]:
    """Yield the pictures in a folder with their label files, and note label files without a picture."""
    used = set()
    for picture in _files(folder, PICTURES):
        label = label_of(picture)
        if not label.is_file() and (real := label_of(picture.resolve())).is_file():
            label = real
        used.add(label)
        yield Entry(picture, label)
    labels = label_of(folder / "a").parent
    if labels != folder:
        for label in _label_files(labels):
            if label not in used:
                remarks.add("warning", "label files without a picture", str(label))


def _labeled(labels: Path, images: Path) -> Iterator[Entry]:
    """Yield the label files in a folder with their pictures, which have the same inner path or the same name."""
    files = _files(images, PICTURES)
    by_path = {file.relative_to(images).with_suffix(""): file for file in files}
    by_name = {Path(file.stem): file for file in files}
    for label in _label_files(labels):
        name = label.relative_to(labels).with_suffix("")
        yield Entry(by_path.get(name) or by_name.get(Path(name.name)) or images / f"{name}.jpg", label)


def _listed(file: Path, images: Path | None) -> Iterator[Entry]:
    """Yield the pictures that a text file lists. Their paths may be relative to it, or to where the command runs."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {file}: {error}") from None
    for line in filter(None, map(str.strip, lines)):
        name = PurePosixPath(line.replace("\\", "/"))
        places = [Path(os.path.normpath(folder / name)) for folder in (file.parent, Path.cwd())]
        picture = next((place for place in places if place.is_file()), places[0])
        label = label_of(picture)
        if images is not None:
            near = [images.joinpath(*name.parts[start:]) for start in range(1 if name.is_absolute() else 0,
                    len(name.parts))]  # fmt: skip
            picture = next((place for place in near if place.is_file()), images / name.name)
        yield Entry(picture, label)
