"""Find the picture files of Label Studio's tasks."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from edgehrnet.errors import InputError
from edgehrnet.picture.sources import SUFFIXES
from quant.data.picture_files import PictureFinder

LOCAL = "?d="
"""Text before the path of a file in a local storage, as in ``/data/local-files/?d=folder/photo.jpg``."""
UPLOAD = re.compile(r"^[0-9a-f]{8}-(?=.)")
"""Characters that Label Studio puts before the name of an uploaded file."""


def picture_address(data: Mapping[str, Any], control: str) -> str | None:
    """Return the address of the picture of a task, or None if there is none.

    Args:
        data: data of the task.
        control: name of the ``<Image>`` in the labeling configuration. The key of this name is preferred.
    """
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    likely = [key for key, value in texts.items() if _path(value).lower().endswith(SUFFIXES)]
    named = [key for key in (control, "image", "img") if key in texts and (key in likely or not likely)]
    key = next(iter([*named, *likely]), None)
    return None if key is None else texts[key]


class Addresses:
    """Finds the files of addresses. Uploads are also found by the name that they had before."""

    def __init__(self, finder: PictureFinder) -> None:
        self.finder = finder
        self._stored: dict[str, list[Path]] | None = None

    def find(self, address: str) -> Path:
        """Return the file. If there is none, return its path in the first searched folder.

        Raises:
            InputError: the address holds the picture itself, or the file lies outside the searched folders.
        """
        if address.startswith("data:"):
            raise InputError(f"the task contains the picture itself ({address[:20]}...); save it as a file")
        names = list(_names(address))
        last = names[-1].rpartition("/")[2]
        bare = UPLOAD.sub("", last)
        found = self.finder.first([*names, bare])
        if found is None and bare != last:
            # Uploads lose spaces, brackets and the like.
            same = self._by_stored_name().get(bare, [])
            found = same[0] if len(same) == 1 else None
        return found or self.finder.find(last)

    def _by_stored_name(self) -> dict[str, list[Path]]:
        if self._stored is None:
            stored: defaultdict[str, list[Path]] = defaultdict(list)
            for folder in self.finder.folders:
                for path in sorted(folder.iterdir()) if folder.is_dir() else ():
                    if path.suffix.lower() in SUFFIXES:
                        stored[re.sub(r"[^-\w.]", "", path.name.strip().replace(" ", "_"))].append(path)
            self._stored = dict(stored)
        return self._stored


def _path(address: str) -> str:
    """Return the path in an address."""
    if LOCAL in address:
        return address.partition(LOCAL)[2]
    if "://" in address:
        try:
            return urlsplit(address).path
        except ValueError:  # brackets that are not those of an IPv6 address
            return address
    return address


def _names(address: str) -> Iterator[str]:
    """Yield the names that the file may have: as they are, then decoded, each with all its folders first."""
    path = _path(address).replace("\\", "/")
    for text in dict.fromkeys((path, unquote(path))):
        parts = [part for part in text.split("/") if part not in ("", ".", "..")] or [address]
        yield from ("/".join(parts[index:]) for index in range(len(parts)))
