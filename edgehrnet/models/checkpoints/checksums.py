"""Check the zip file of a checkpoint, whose checksums ``torch.load`` does not compare."""

from __future__ import annotations

import zipfile
from typing import BinaryIO


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
