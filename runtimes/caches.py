"""Keep what engines compile in a folder for each model, and discard files that have changed since.

An engine takes a damaged file of its cache without a word, and then answers differently. So the SHA-256 of every
cached file is stored beside it, and a file that does not have it is removed before the engine looks for it. The engine
then compiles again.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

from runtimes.digests import sha256_of
from runtimes.errors import ModelFileError
from runtimes.writing import new_files, write_file

_SUFFIX = ".sha256"


def open_cache(cache_dir: str | Path, digest: str) -> Path:
    """Return the folder for a model in ``cache_dir``, without files that are damaged.

    Args:
        cache_dir: An existing folder.
        digest: SHA-256 of the model, in hexadecimal.
    """
    folder = Path(cache_dir) / digest[:32]
    try:
        folder.mkdir(exist_ok=True)
        for path in _cached(folder):
            if _stored_digest(path) != sha256_of([path]):
                _digest_file(path).unlink(missing_ok=True)
                path.unlink(missing_ok=True)
    except OSError as error:
        raise ModelFileError(f"cache_dir {str(cache_dir)!r} cannot be used: {error}") from None
    return folder


def seal_cache(folder: Path) -> None:
    """Store the SHA-256 of each file that an engine has added to a cache.

    A full disk is no error here. A file without a stored SHA-256 is compiled again next time.
    """
    with suppress(OSError):
        for path in _cached(folder):
            if _stored_digest(path) is None:
                write_file(_digest_file(path), sha256_of([path]))


def store(path: Path, content: bytes) -> None:
    """Write a file of a cache together with its SHA-256. A full disk is no error here."""
    with suppress(OSError), new_files(path) as folder:
        (folder / path.name).write_bytes(content)
        _digest_file(folder / path.name).write_text(hashlib.sha256(content).hexdigest(), encoding="ascii")


def _cached(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.suffix != _SUFFIX and path.is_file()]


def _digest_file(path: Path) -> Path:
    return path.with_name(path.name + _SUFFIX)


def _stored_digest(path: Path) -> str | None:
    try:
        return _digest_file(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return None
