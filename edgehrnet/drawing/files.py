"""Write pictures."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from PIL import Image

from runtimes.writing import write_file

JPEG_SUFFIXES = (".jpg", ".jpeg")
JPEG_QUALITY = 90


def save_picture(picture: Image.Image, path: Path) -> None:
    """Write a picture in the format that the suffix names.

    A JPEG has quality 90 and colors in full resolution, because thin colored lines would bleed at half of it.

    Args:
        picture: The picture.
        path: File to write, with a suffix that Pillow knows, such as .png or .jpg.

    Raises:
        ValueError: If Pillow does not know the suffix.
        WriteError: If the file cannot be written.
    """
    options: dict[str, Any] = {}
    if path.suffix.lower() in JPEG_SUFFIXES:
        options = {"quality": JPEG_QUALITY, "subsampling": 0}
    # In memory: Pillow writes a JPEG through the file's number, and does not notice if the disk takes a part of it.
    file = io.BytesIO()
    file.name = path.name
    picture.save(file, **options)
    write_file(path, file.getvalue())
