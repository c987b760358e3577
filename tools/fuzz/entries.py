"""List the entries by name."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

from tools.fuzz.engine import Entry


@dataclass(frozen=True)
class Source:
    """Where an entry is made."""

    module: str
    function: str = "entry"
    slowness: int = 1
    """Divides the number of cases that are asked for."""


ENTRIES = {
    "pictures": Source("pictures"),
    "arrays": Source("arrays"),
    "boxes": Source("boxes"),
    "box-files": Source("boxes", "file_entry"),
    "specs": Source("specs"),
    "certificates": Source("certificates"),
    "sidecars": Source("certificates", "sidecar_entry"),
    "labels": Source("labels"),
    "sleap": Source("labels", "sleap_entry", slowness=10),
    "checkpoints": Source("checkpoints", slowness=10),
    "onnx": Source("models", "onnx_entry", slowness=10),
    "ir": Source("models", "ir_entry", slowness=10),
}


def open_entry(name: str, folder: Path) -> Entry:
    """Import an entry and make its seeds. Its files go into a folder."""
    source = ENTRIES[name]
    made: Entry = getattr(importlib.import_module(f"tools.fuzz.{source.module}"), source.function)(folder)
    return made
