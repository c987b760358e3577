"""Read several sources one after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgehrnet.errors import ImageError
from edgehrnet.picture.boxes import read_boxes
from edgehrnet.sources.files import Files
from edgehrnet.sources.frame import Frame
from edgehrnet.sources.opening import Source


class Several:
    """Frames of several sources. A source that cannot be opened becomes a Frame with its ImageError.

    Args:
        sources: Paths, patterns, addresses and numbers of cameras, see `Source`.
        recursive: Whether to look into subfolders.
    """

    def __init__(self, sources: Sequence[str], *, recursive: bool) -> None:
        self.sources = [Source(source, recursive=recursive) for source in sources]
        self._names, self._recursive = sources, recursive

    @property
    def is_live(self) -> bool:
        """True if one is a camera or an address."""
        return any(source.is_live() for source in self.sources)

    @property
    def dropped(self) -> int:
        """Frames of live sources that were left out."""
        return sum(source.dropped for source in self.sources)

    @property
    def left_out(self) -> Counter[str]:
        """Files of folders that are no pictures, by suffix."""
        return sum((source.left_out for source in self.sources), Counter[str]())

    @property
    def roots(self) -> list[Path]:
        """The folders among the sources, and those before the first wildcard of patterns, longest first."""
        folders = [Path(name.partition("*")[0] + "x").parent if "*" in name else Path(name) for name in self._names]
        return sorted((path for path in folders if path.is_dir()), key=lambda path: -len(path.parts))

    def count(self) -> int | None:
        """Return the number of pictures, None if it is unknown."""
        try:
            counts = [source.count() for source in self.sources]
        except ImageError:
            return None
        return None if None in counts else sum(count or 0 for count in counts)

    def paths(self) -> Iterator[Path]:
        """Yield the picture files of all sources, without those that cannot be opened."""
        for name, source in zip(self._names, self.sources, strict=True):
            if not source.is_live():
                try:
                    yield from Files(name, recursive=self._recursive)
                except ImageError:
                    continue

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames of all sources."""
        for source in self.sources:
            try:
                yield from source
            except ImageError as error:
                yield Frame(error)

    def with_boxes(self, file: Path, box_format: str) -> Iterator[Frame]:
        """Yield a Frame with its boxes for each picture file. Pictures without a box have an empty list."""
        paths = list(self.paths())
        boxes = read_boxes(file, box_format).of_each(paths)
        return (Frame(path, boxes=rows, ahead=True) for path, rows in zip(paths, boxes, strict=True))
