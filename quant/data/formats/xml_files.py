"""Read XML label files."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from edgehrnet.errors import InputError


def read_xml(path: Path, what: str) -> ElementTree.Element:
    """Return the root of an XML file.

    A file with a DOCTYPE is refused, because it may define entities that read other files or fill the memory. Labeling
    tools do not write one.

    Raises:
        InputError: the file cannot be read, or is not XML. The message says ``what`` was expected.
    """
    parser = ElementTree.XMLParser(target=_Builder(path))
    try:
        return ElementTree.parse(path, parser).getroot()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the encoding may be unknown
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path} is not {what}: {error}") from None


class _Builder(ElementTree.TreeBuilder):
    """Builds the tree of a file without a DOCTYPE."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:  # noqa: ARG002
        """Refuse the file. The parser calls this before it expands an entity."""
        raise InputError(f"{self.path} has a DOCTYPE ({name}), which may define entities; remove it")
