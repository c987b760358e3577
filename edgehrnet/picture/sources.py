"""Read the pictures that predict() and stream() accept as RGB arrays.

Nothing is guessed: an ambiguous input raises an error.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator
from glob import glob, has_magic
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgehrnet.errors import ImageError, MissingImageError
from edgehrnet.picture.files import Shrink, check_size, read_file, unpacked
from edgehrnet.picture.picture import Picture

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
ACCEPTED = "a path, the bytes of a picture file, a PIL image, an (H, W[, 3 or 4]) array, a (C, H, W) torch tensor"


def read_image(image: Any, color: str = "rgb") -> NDArray[np.uint8]:
    """Read one picture as ``(H, W, 3)`` u8 RGB.

    - Files: any format that Pillow reads. The EXIF orientation is applied, and the first frame is used.
    - Arrays: ``(H, W)`` gray, ``(H, W, 3)`` or ``(H, W, 4)``.
    - Torch tensors: ``(C, H, W)`` with 1, 3 or 4 channels.

    Array and tensor values are u8, or floats in 0..1, which are multiplied by 255 and rounded. Alpha is dropped. Of a
    color file with 16 bits per channel the upper 8 bits are kept. A gray file with 16 bits is refused.

    Args:
        image: A path, the bytes of a picture file, a PIL image, an array or a torch tensor.
        color: Channel order of an array or tensor, ``rgb`` or ``bgr``.

    Returns:
        A new array that shares no memory with ``image``.

    Raises:
        MissingImageError: If there is no such file.
        CorruptImageError: If the data is not a picture, damaged or empty.
        ImageSizeError: If the picture is too small or too large.
        ImageError: If the picture cannot be used for another reason.
    """
    return read_picture(image, color).pixels


def read_picture(image: Any, color: str = "rgb", shrink: Shrink | None = None) -> Picture:
    """Read one picture as `read_image` does, but a JPEG file at a reduced scale if ``shrink`` allows it.

    Args:
        image: See `read_image`.
        color: See `read_image`.
        shrink: Returns how many times the picture of some width and height, in pixels, may be reduced. The full picture
            is then read from the file's bytes, which are kept, when it is asked for. None reads every picture in full.

    Raises:
        ImageError: See `read_image`.
    """
    if not isinstance(color, str) or color not in ("rgb", "bgr"):
        raise ImageError(f"color={color!r} is not a channel order; accepted: 'rgb', 'bgr'")
    if _is_tensor(image):
        return Picture.of(_from_array(np.moveaxis(_tensor_array(image), 0, -1), color))
    if isinstance(image, np.ndarray):
        return Picture.of(_from_array(image, color))
    if color != "rgb":
        raise ImageError("color='bgr' is for arrays; a file or PIL image defines its own channel order")
    if isinstance(image, Image.Image):
        return Picture.of(unpacked(image, "the PIL image"))
    if isinstance(image, bytes | bytearray | memoryview):
        return read_file(io.BytesIO(bytes(image)), "the picture given as bytes", shrink)
    if isinstance(image, str | Path):
        return _from_path(image, shrink)
    raise ImageError(f"cannot read a picture from {type(image).__name__}; accepted: {ACCEPTED}")


def frames(source: Any) -> Iterator[Any]:
    """Yield the pictures of a folder, a glob pattern or an iterable one by one, each as predict() accepts it.

    Files whose names begin with a dot are left out. ``**`` in a pattern stands for folders at any depth.

    Args:
        source: A folder, whose pictures (.jpg .jpeg .png .webp .bmp .tif .tiff) come sorted by name, a glob pattern,
            an iterable or a single picture.

    Raises:
        MissingImageError: If the folder has no pictures or no file matches the pattern.
    """
    one_picture = isinstance(source, np.ndarray | bytes | bytearray | memoryview | Image.Image) or _is_tensor(source)
    if isinstance(source, str | Path):
        yield from _paths(source)
    elif isinstance(source, Iterable) and not one_picture:
        yield from source
    else:
        yield source


def _paths(source: str | Path) -> list[Path]:
    path = Path(source)
    if os.path.isdir(path):  # noqa: PTH112 - see _from_path
        try:
            # A name with a dot in front is not a picture: macOS puts such files beside copied ones.
            found = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))
        except OSError as error:
            raise MissingImageError(f"cannot read folder {str(path)!r}: {error.strerror}") from None
        if not found:
            raise MissingImageError(f"folder {str(path)!r} holds no pictures ({' '.join(SUFFIXES)})")
        return found
    if has_magic(str(source)) and not os.path.exists(path) and not _is_address(path):  # noqa: PTH110
        found = sorted(Path(name) for name in glob(str(source), recursive=True))  # noqa: PTH207 - Path.glob refuses absolute patterns
        if not found:
            raise MissingImageError(f"no file matches {str(source)!r}")
        return found
    return [path]


def _from_path(source: str | Path, shrink: Shrink | None) -> Picture:
    path = Path(source)
    # For names that no file can have, Path.is_file raises where os.path.isfile returns False.
    if not os.path.isfile(path):  # noqa: PTH113
        if _is_address(path):
            raise MissingImageError(f"{str(source)!r} is an address; nothing is downloaded, save the picture first")
        what = "is a folder; stream() reads the pictures of a folder" if os.path.isdir(path) else "does not exist"  # noqa: PTH112
        raise MissingImageError(f"picture {str(source)!r} {what}")
    try:
        file = path.open("rb")
    except OSError as error:
        raise ImageError(f"cannot open picture {str(path)!r}: {error.strerror}") from None
    with file:
        return read_file(file, repr(str(path)), shrink)


def _is_address(path: Path) -> bool:
    """Recognize an address such as ``https://...``, of which Path leaves one slash. A single letter is a drive."""
    return re.match(r"[a-z][a-z0-9+.-]+:[/\\]", str(path), re.IGNORECASE) is not None


def _is_tensor(image: Any) -> bool:
    """Recognize a torch tensor without importing torch."""
    return type(image).__module__.partition(".")[0] == "torch" and hasattr(image, "detach")


def _tensor_array(tensor: Any) -> NDArray[Any]:
    try:
        array: NDArray[Any] = tensor.detach().cpu().numpy()
    except (TypeError, RuntimeError) as error:  # bfloat16, sparse or meta tensors
        raise ImageError(f"the torch tensor cannot be converted to an array: {error}") from None
    if array.ndim != 3 or array.shape[0] not in (1, 3, 4):
        raise ImageError(f"a torch tensor must be (C, H, W) with C = 1, 3 or 4, not {array.shape}")
    return array


def _from_array(array: NDArray[Any], color: str) -> NDArray[np.uint8]:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise ImageError(f"an array must be (H, W), (H, W, 3) or (H, W, 4), not {array.shape}")
    check_size(array.shape[1], array.shape[0], "the array")
    pixels = np.broadcast_to(array, (*array.shape[:2], 3)) if array.shape[2] == 1 else array[:, :, :3]
    if color == "bgr":
        pixels = pixels[:, :, ::-1]
    # Always copy: a camera that reuses its array must not change a Result that was already returned.
    return np.array(_as_bytes(pixels), order="C")


def _as_bytes(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels
    if not np.issubdtype(pixels.dtype, np.floating):
        raise ImageError(f"values have type {pixels.dtype}; accepted: uint8 in 0..255, or floats in 0..1")
    if not np.isfinite(pixels).all():
        raise ImageError("the array contains NaN or infinity")
    if pixels.min() < 0 or pixels.max() > 1:
        raise ImageError(f"floats must be in 0..1, but these range from {pixels.min():.4g} to {pixels.max():.4g}")
    scaled: NDArray[np.uint8] = np.rint(pixels * 255).astype(np.uint8)
    return scaled
