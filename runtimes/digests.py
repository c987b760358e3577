"""Compute the SHA-256 of model files and compare it with the one that they were built with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from runtimes.errors import ModelFileError

_CHUNK = 1 << 20  # bytes read at a time


def sha256_of(paths: Iterable[Path]) -> str:
    """Return the SHA-256 of the contents of files, one after the other, in hexadecimal."""
    total, chunk = hashlib.sha256(), memoryview(bytearray(_CHUNK))
    for path in paths:
        with path.open("rb", buffering=0) as file:
            while count := file.readinto(chunk):
                total.update(chunk[:count])
    return total.hexdigest()


def digest_of(path: Path) -> str:
    """Return the SHA-256 of one file. Raises ModelFileError if it cannot be read."""
    try:
        return sha256_of([path])
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error}") from None


def check_digest(path: Path, found: str, expected: str | None) -> None:
    """Raise ModelFileError if a file has another SHA-256 than expected. None expects nothing."""
    if expected not in (None, found):
        weights = f" or its {path.with_suffix('.bin').name}" if path.suffix.lower() == ".xml" else ""
        raise ModelFileError(
            f"{path}{weights} is damaged, or belongs to another build: its SHA-256 is {found[:12]}..., but the "
            f"certificate beside it states {expected[:12] if expected else ''}...; copy all files of the model again, "
            "or build it again; verify=False (--no-verify) loads it as it is"
        )
