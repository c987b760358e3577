"""Find the pictures that a label file names, and compare their headers with what the labels say."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path, PureWindowsPath
from urllib.parse import unquote

from PIL import Image

from edgehrnet.errors import ImageError, InputError
from edgehrnet.picture.limits import FORMATS, Limits
from edgehrnet.picture.sources import read_image
from quant.data.annotations import Picture
from quant.data.remarks import Remarks

ORIENTATION = 0x0112
"""EXIF tag of the orientation. From 5 on, width and height of the stored picture are exchanged."""
MISSING = (
    "pictures that do not exist; without --images, they are looked for in the folder of the project or of the labels, "
    "in images/ and data/ there, in the folder above, and in images/ there; pass their folder with --images DIR"
)
SAME_FILE = (
    "different pictures for which the same file was found; keep the pictures in their folders, and pass the folder "
    "above these with --images DIR"
)
EXIF = (
    "sizes (width x height) that differ by the EXIF orientation; if the labels were made on the turned picture, "
    "exchange width and height in the labels, and otherwise remove the orientation from the picture"
)
TAIL = 2**16
"""Number of bytes at the end of a file in which its end marker is searched."""
SPLIT = re.compile(r"(?:(?<=^person_keypoints_).+|(?:train|val|test|default)\w*)$", re.IGNORECASE)
"""Name of a part of a data set at the end of a label file's name, as in ``person_keypoints_val2017``.

CVAT names its parts freely, and ``default`` if the user does not.
"""


class PictureFinder:
    """Finds picture files by the names in a label file.

    If the user names no folder, these are searched: the project's folder, the label file's folder, ``images``, ``data``
    and ``<part>`` in it, the folder above, and ``images``, ``<part>`` and ``images/<part>`` in that one. The part is
    the end of the label file's name, such as ``val2017`` of ``person_keypoints_val2017.json``.
    """

    def __init__(self, labels: Path, images: Path | None = None, root: Path | None = None) -> None:
        """Choose the folders to search.

        Args:
            labels: label file.
            images: the folder that the user names. No other one is searched.
            root: folder of the project, to which the names in the label file are relative. None if there is none.

        Raises:
            InputError: ``images`` is not a folder.
        """
        if images is not None and not images.is_dir():
            raise InputError(f"--images {images} is not a folder; pass the folder that holds the pictures")
        beside, above = labels.parent, labels.parent.parent
        part = SPLIT.search(labels.stem)
        parts = [part.group()] if part else []
        project = [] if root is None else [root]
        self.folders = [images] if images is not None else [
            *project, beside, beside / "images", beside / "data", *(beside / p for p in parts), above, above / "images",
            *(above / p for p in parts), *(above / "images" / p for p in parts),
        ]  # fmt: skip
        self._roots = [folder.resolve() for folder in self.folders]
        self._listed: dict[Path, dict[str, list[Path]]] = {}

    def find(self, name: str) -> Path:
        """Return the file of a picture. If there is none, return its path in the first folder.

        A name may have backslashes, or be an address. If it is a path of another machine, the file that shares most of
        its last parts is returned. Letter case does not matter if only one file fits.

        Raises:
            InputError: the file lies outside the searched folders.
        """
        return self.first(_spellings(name)) or self.folders[0] / name.replace("\\", "/")

    def first(self, names: Iterable[str]) -> Path | None:
        """Return the first file that has one of several names in one of the folders, or None if there is none.

        Links in the folders may lead anywhere. Absolute names and names with ".." must stay in the folders.

        Raises:
            InputError: such files exist only outside the searched folders.
        """
        outside, names = None, list(dict.fromkeys(names))
        for find in (_exact, self._in_other_case):
            for name in names:
                for folder in self.folders:
                    path = find(folder / name)
                    if path is not None and self._is_allowed(name, path):
                        return path
                    outside = outside or (name if path is not None else None)
        if outside is not None:
            raise InputError(f"{outside!r} lies outside {self.folders[0]}; pass its folder with --images DIR")
        return None

    def _is_allowed(self, name: str, path: Path) -> bool:
        """Return whether a name cannot leave its folder, or its file lies in one of the searched folders."""
        if not Path(name).is_absolute() and ".." not in Path(name).parts:
            return True
        return any(path.resolve().is_relative_to(root) for root in self._roots)

    def _in_other_case(self, path: Path) -> Path | None:
        """Return the only file whose name differs in letter case alone. None if there is none, or several."""
        if path.parent not in self._listed:
            listed = self._listed[path.parent] = defaultdict(list)
            for file in _files(path.parent):
                listed[file.name.casefold()].append(file)
        found = self._listed[path.parent].get(path.name.casefold(), [])
        return found[0] if len(found) == 1 else None


def _spellings(name: str) -> Iterator[str]:
    """Yield the name, then with slashes and without the query of an address, and the ends of the paths."""
    yield name
    plain = name.partition("?")[0]
    for text in dict.fromkeys((name, plain, unquote(plain))):
        parts = PureWindowsPath(text).parts
        yield text.replace("\\", "/")
        yield from ("/".join(parts[start:]) for start in range(1, len(parts)))


def _exact(path: Path) -> Path | None:
    return path if _is_file(path) else None


def _files(folder: Path) -> list[Path]:
    """Return the files in a folder. Empty if it cannot be read."""
    try:
        return [path for path in folder.iterdir() if path.is_file()]
    except (OSError, ValueError):
        return []


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def header(path: Path) -> tuple[int, int, int]:
    """Return height and width in pixels of the stored picture, and its EXIF orientation, 1 if it has none.

    Raises:
        ImageError: the picture is too small or too large, or has an unknown range of values.
        OSError: Pillow cannot open the file.
    """
    with Image.open(path, formats=FORMATS) as picture:
        Limits().check_file(picture, path.stat().st_size, str(path))
        width, height = picture.size
        # The method of PNG pictures would decode all of the picture first.
        orientation = Image.Image.getexif(picture).get(ORIENTATION, 1)
    return height, width, orientation if orientation in range(1, 9) else 1


def _seems_cut_off(path: Path) -> bool:
    """Return whether a JPEG or PNG file lacks its end marker, as after an interrupted download.

    Other data may follow the marker, such as the video that phones add.
    """
    with path.open("rb") as file:
        start = file.read(4)
        file.seek(max(0, path.stat().st_size - TAIL))
        end = file.read()
    return (start[:2] == b"\xff\xd8" and b"\xff\xd9" not in end) or (start == b"\x89PNG" and b"IEND" not in end)


def check_pictures(pictures: Iterable[Picture], remarks: Remarks) -> dict[Picture, tuple[int, int]]:
    """Open the header of every picture and note what does not fit the labels.

    Returns:
        Size (height, width) in pixels of each picture that can be read, with its EXIF orientation applied.
    """
    sizes = {}
    for picture in pictures:
        if not _is_file(picture.path):
            remarks.add("error", MISSING, str(picture.path))
            continue
        try:
            height, width, orientation = header(picture.path)
            if _seems_cut_off(picture.path):
                read_image(picture.path)
        except ImageError as error:
            remarks.add("error", "pictures that cannot be used", str(error))
            continue
        except Exception as error:  # Pillow's readers raise a dozen types of error on damaged data
            remarks.add("error", "pictures that Pillow cannot read", f"{picture.path} ({error})")
            continue
        sizes[picture] = (width, height) if orientation >= 5 else (height, width)
        _check_size(picture, (height, width), orientation, remarks)
    return sizes


def _check_size(picture: Picture, stored: tuple[int, int], orientation: int, remarks: Remarks) -> None:
    """Compare the size (height, width) that the labels state with that of the stored picture, turned as it is shown."""
    shown = stored[::-1] if orientation >= 5 else stored
    if picture.size is None or picture.size == shown:
        # Without a stated size that turning would change, it is unknown whether the labels were made before or after.
        if orientation != 1 and (picture.size is None or shown == stored):
            kind = "pictures that their EXIF orientation turns; their labels are taken as made on the turned picture"
            remarks.add("warning", kind, f"{picture.path} (orientation {orientation})")
        return
    stated, actual = (f"{width}x{height}" for height, width in (picture.size, shown))
    place = f"{picture.source} says {stated}, {picture.path.name} is {actual}"
    if picture.size == stored:
        remarks.add("error", EXIF, f"{place} with EXIF orientation {orientation}")
    else:
        remarks.add("error", "sizes (width x height) that are not those of the pictures; pass the pictures that were "
                    "labeled, or correct the sizes", place)  # fmt: skip
