"""What predict() and stream() accept, turned into RGB arrays. Nothing is guessed: what is unclear raises."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterable, Iterator
from glob import glob, has_magic
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from edgehrnet.errors import CorruptImageError, ImageError, ImageSizeError, MissingImageError

MIN_SIDE = 8  # px; below it there is nothing to find
MAX_SIDE = 16_384  # px
MAX_PIXELS = 89_000_000  # 270 MB unpacked; just below where Pillow starts to warn of decompression bombs
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
ACCEPTED = "a path, bytes of a picture file, a PIL picture, an (H, W[, 3 or 4]) array, a (C, H, W) torch tensor"


def read_image(image: Any, color: str = "rgb") -> NDArray[np.uint8]:
    """Turn one picture into ``(H, W, 3)`` u8 RGB.

    Accepted: a path or the bytes of a file that Pillow reads (EXIF orientation is applied, the first frame
    counts); a PIL picture; an array ``(H, W)`` gray, ``(H, W, 3)`` or ``(H, W, 4)``; a torch tensor ``(C, H, W)``
    with C = 1, 3 or 4. Values are u8, or floats in 0..1, which are multiplied by 255 and rounded. Alpha is dropped.
    A file with 16 bits in each of three colors keeps the upper 8, as Pillow reads it; one of gray is refused.
    The result is the caller's own: it shares no memory with ``image``.
    ``color``: ``rgb`` or ``bgr``, the channel order of an array or tensor; files and PIL pictures know their own.

    Raises MissingImageError, CorruptImageError, ImageSizeError, or ImageError for anything else.
    """
    if not isinstance(color, str) or color not in ("rgb", "bgr"):
        raise ImageError(f"color={color!r}; accepted: 'rgb', 'bgr'")
    if _is_tensor(image):
        return _from_array(np.moveaxis(_tensor_array(image), 0, -1), color)
    if isinstance(image, np.ndarray):
        return _from_array(image, color)
    if color != "rgb":
        raise ImageError("color='bgr' is for arrays; a file or PIL picture knows its own channel order")
    if isinstance(image, Image.Image):
        return _from_pillow(image, "the PIL picture")
    if isinstance(image, bytes | bytearray | memoryview):
        return _from_file(io.BytesIO(bytes(image)), "the bytes given")
    if isinstance(image, str | Path):
        return _from_path(image)
    raise ImageError(f"cannot read a picture from {type(image).__name__}; accepted: {ACCEPTED}")


def frames(source: Any) -> Iterator[Any]:
    """Yield what predict() accepts, one by one, from a folder, a glob pattern, a picture or an iterable.

    A folder yields its pictures (.jpg .jpeg .png .webp .bmp .tif .tiff) sorted by name, a pattern its matches.
    Raises MissingImageError for a folder or a pattern without pictures.
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
            found = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
        except OSError as error:
            raise MissingImageError(f"cannot read folder {str(path)!r}: {error.strerror}") from None
        if not found:
            raise MissingImageError(f"folder {str(path)!r} holds no pictures ({' '.join(SUFFIXES)})")
        return found
    if has_magic(str(source)) and not os.path.exists(path) and not _is_address(path):  # noqa: PTH110
        found = sorted(Path(name) for name in glob(str(source)))  # noqa: PTH207 - Path.glob refuses absolute ones
        if not found:
            raise MissingImageError(f"no file matches {str(source)!r}")
        return found
    return [path]


def _from_path(source: str | Path) -> NDArray[np.uint8]:
    path = Path(source)
    # Path.is_file raises for what cannot be a file name; os.path says no.
    if not os.path.isfile(path):  # noqa: PTH113
        if _is_address(path):
            raise MissingImageError(f"{str(source)!r}: addresses are not fetched; save the picture first")
        what = "is a folder; use stream()" if os.path.isdir(path) else "does not exist"  # noqa: PTH112
        raise MissingImageError(f"picture {str(source)!r} {what}")
    try:
        file = path.open("rb")
    except OSError as error:
        raise ImageError(f"cannot open picture {str(path)!r}: {error.strerror}") from None
    with file:
        return _from_file(file, repr(str(path)))


def _is_address(path: Path) -> bool:
    """Recognize ``https:/...``, which is what Path leaves of it; one letter would be a drive."""
    return re.match(r"[a-z][a-z0-9+.-]+:[/\\]", str(path), re.IGNORECASE) is not None


def _from_file(file: IO[bytes], name: str) -> NDArray[np.uint8]:
    if not file.read(1):
        raise CorruptImageError(f"{name}: zero bytes")
    file.seek(0)
    try:
        picture = Image.open(file)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageSizeError(f"{name}: {error}") from None
    except UnidentifiedImageError:  # its text is the address of a file object
        raise CorruptImageError(f"{name} is no picture of a kind that Pillow reads") from None
    except Exception as error:  # Pillow's readers raise a dozen types on damaged bytes
        raise CorruptImageError(f"{name} is no picture that Pillow reads: {error}") from None
    with picture:
        return _from_pillow(picture, name)


def _from_pillow(picture: Image.Image, name: str) -> NDArray[np.uint8]:
    _check_size(*picture.size, name)  # before unpacking
    if picture.mode.startswith(("I", "F")):
        raise ImageError(
            f"{name} has mode {picture.mode} (more than 8 bits a channel), whose range only you know: "
            "scale it to 0..255 and convert to 'L'"
        )
    try:
        upright = ImageOps.exif_transpose(picture)
        if upright.mode == "P" and "transparency" in upright.info:
            upright = upright.convert("RGBA")  # Pillow warns of what the direct way drops: alpha, which we drop too
        return np.array(upright.convert("RGB"))
    except Exception as error:  # see _from_file
        raise CorruptImageError(f"{name} is damaged: {error}") from None


def _is_tensor(image: Any) -> bool:
    """Recognize a torch tensor without importing torch."""
    return type(image).__module__.partition(".")[0] == "torch" and hasattr(image, "detach")


def _tensor_array(tensor: Any) -> NDArray[Any]:
    try:
        array: NDArray[Any] = tensor.detach().cpu().numpy()
    except (TypeError, RuntimeError) as error:  # bfloat16, sparse, without data
        raise ImageError(f"the torch tensor cannot become an array: {error}") from None
    if array.ndim != 3 or array.shape[0] not in (1, 3, 4):
        raise ImageError(f"a torch tensor must be (C, H, W) with C = 1, 3 or 4, not {array.shape}")
    return array


def _from_array(array: NDArray[Any], color: str) -> NDArray[np.uint8]:
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise ImageError(f"an array must be (H, W), (H, W, 3) or (H, W, 4), not {array.shape}")
    _check_size(array.shape[1], array.shape[0], "the array")
    pixels = np.broadcast_to(array, (*array.shape[:2], 3)) if array.shape[2] == 1 else array[:, :, :3]
    if color == "bgr":
        pixels = pixels[:, :, ::-1]
    # A copy, always: a camera that fills the same array again must not change a Result that was returned.
    return np.array(_as_bytes(pixels), order="C")


def _as_bytes(pixels: NDArray[Any]) -> NDArray[np.uint8]:
    if pixels.dtype == np.uint8:
        return pixels
    if not np.issubdtype(pixels.dtype, np.floating):
        raise ImageError(f"values are {pixels.dtype}; accepted: uint8 in 0..255, or floats in 0..1")
    if not np.isfinite(pixels).all():
        raise ImageError("the array holds NaN or infinity")
    if pixels.min() < 0 or pixels.max() > 1:
        raise ImageError(f"floats must lie in 0..1, these reach from {pixels.min():.4g} to {pixels.max():.4g}")
    scaled: NDArray[np.uint8] = np.rint(pixels * 255).astype(np.uint8)
    return scaled


def _check_size(width: int, height: int, name: str) -> None:
    if min(width, height) < MIN_SIDE:
        raise ImageSizeError(f"{name} is {width}x{height} px; each side needs at least {MIN_SIDE}")
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise ImageSizeError(
            f"{name} is {width}x{height} px; at most {MAX_SIDE} a side and {MAX_PIXELS // 10**6} million in all; "
            "shrink it first"
        )
