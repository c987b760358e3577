"""Recognize damaged checkpoints: compare checksums, which ``torch.load`` does not, and name files with odd values."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from edgehrnet.errors import EdgeHRNetError, ModelFileError


class ChecksumError(ValueError):
    """A zip file was changed after it was written."""


def check_zip(stream: BinaryIO) -> None:
    """Compare every part of a zip file with its CRC-32, and go back to the beginning.

    Older files of torch are no zip files and have no checksums.

    Raises:
        ChecksumError: A part was changed, or is compressed, which torch never does and which may hide any size.
    """
    start = stream.read(4)
    stream.seek(0)
    if start != b"PK\3\4":
        return
    with zipfile.ZipFile(stream) as archive:
        compressed = [part.filename for part in archive.infolist() if part.compress_type != zipfile.ZIP_STORED]
        if compressed:
            raise ChecksumError(f"its part {compressed[0]!r} is compressed")
        damaged = archive.testzip()
    if damaged is not None:
        raise ChecksumError(f"the checksum of its part {damaged!r} differs")
    stream.seek(0)


@contextmanager
def sound(what: object) -> Iterator[None]:
    """Turn every error that odd values in a file may cause into a ModelFileError that names it."""
    try:
        yield
    except ModelFileError as error:
        if str(what) in str(error):
            raise
        raise ModelFileError(f"{what}: {error}") from error
    except EdgeHRNetError:
        raise
    except Exception as error:
        raise ModelFileError(f"{what} has values that do not fit together: {error!r:.200}") from error
