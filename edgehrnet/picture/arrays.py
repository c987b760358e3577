"""Turn arrays and torch tensors into RGB pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgehrnet.errors import ImageError
from edgehrnet.picture.limits import Limits


def is_tensor(image: Any) -> bool:
    """Recognize a torch tensor without importing torch."""
    return type(image).__module__.partition(".")[0] == "torch" and hasattr(image, "detach")


def tensor_array(tensor: Any) -> NDArray[Any]:
    """Return a torch tensor ``(C, H, W)`` as an array ``(H, W, C)``. Raise ImageError if it has another shape."""
    try:
        array: NDArray[Any] = tensor.detach().cpu().numpy()
    except (TypeError, RuntimeError) as error:  # bfloat16, sparse or meta tensors
        raise ImageError(f"the torch tensor cannot be converted to an array: {error}") from None
    if array.ndim != 3 or array.shape[0] not in (1, 3, 4):
        raise ImageError(f"a torch tensor must be (C, H, W) with C = 1, 3 or 4, not {array.shape}")
    return np.moveaxis(array, 0, -1)


def array_pixels(array: NDArray[Any], color: str, limits: Limits) -> NDArray[np.uint8]:
    """Return a copy of an array as ``(H, W, 3)`` u8 RGB.

    Args:
        array: ``(H, W)`` gray, ``(H, W, 3)`` or ``(H, W, 4)``, u8 or floats in 0..1.
        color: Order of its channels, ``rgb`` or ``bgr``.
        limits: How large it may be.

    Raises:
        ImageError: If it has another shape or other values.
        ImageSizeError: If it is too small or too large.
    """
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise ImageError(f"an array must be (H, W), (H, W, 3) or (H, W, 4), not {array.shape}")
    limits.check_size(array.shape[1], array.shape[0], "the array")
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
