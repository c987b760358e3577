"""Hold the golden pair: a picture inside a model file, with the float network's output for it."""

from __future__ import annotations

import base64
import io
import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgehrnet.errors import SpecError
from edgehrnet.picture.sources import read_image
from edgehrnet.records import check_types
from edgehrnet.spec_limits import check_golden_shape

GOLDEN_PICTURE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Golden:
    """A picture with the float network's output, to check a file on any device."""

    png: str
    """The picture as PNG in base64, at most 64 KB."""
    xy: tuple[tuple[float, float], ...]
    """Keypoints (x, y) in pixels of the picture."""
    conf: tuple[float, ...]
    """Confidence of each keypoint, 0..1."""
    heatmaps: str
    """Probabilities ``(K, h, w)`` as little-endian float16, compressed by zlib, in base64."""
    shape: tuple[int, int, int]
    """Shape (K, h, w) of the heatmaps."""

    def __post_init__(self) -> None:
        check_types(self)
        check_golden_shape(self.shape)

    @classmethod
    def pack(
        cls,
        image: NDArray[np.uint8],
        xy: NDArray[np.floating[Any]],
        conf: NDArray[np.floating[Any]],
        heatmaps: NDArray[np.floating[Any]],
    ) -> Golden:
        """Pack a picture and the float network's output.

        Args:
            image: ``(H, W, 3)`` u8 RGB.
            xy: ``(K, 2)`` keypoints in pixels of the picture.
            conf: ``(K,)`` confidences, 0..1.
            heatmaps: ``(K, h, w)`` probabilities, 0..1.

        Raises:
            SpecError: The picture is larger than 64 KB as PNG.
        """
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG", optimize=True)
        if buffer.tell() > GOLDEN_PICTURE_BYTES:
            raise SpecError(f"the golden picture has {buffer.tell()} bytes as PNG; at most {GOLDEN_PICTURE_BYTES} fit")
        packed = zlib.compress(heatmaps.astype("<f2").tobytes(), 9)
        count, height, width = heatmaps.shape
        return cls(
            png=base64.b64encode(buffer.getvalue()).decode(),
            xy=tuple((round(float(x), 4), round(float(y), 4)) for x, y in xy),
            conf=tuple(round(float(c), 5) for c in conf),
            heatmaps=base64.b64encode(packed).decode(),
            shape=(count, height, width),
        )

    def image(self) -> NDArray[np.uint8]:
        """Unpack the picture, ``(H, W, 3)`` u8 RGB."""
        try:
            return read_image(base64.b64decode(self.png))
        except ValueError as error:  # raised by base64, and the base class of ImageError
            raise SpecError(f"the golden picture is damaged: {error}") from None

    def heatmap_array(self) -> NDArray[np.float32]:
        """Unpack the heatmaps, ``(K, h, w)`` float32 in 0..1."""
        size = 2 * math.prod(self.shape)
        try:
            # Limit the output, because a damaged or hostile file may unpack to more than its shape says.
            raw = zlib.decompressobj().decompress(base64.b64decode(self.heatmaps), max(1, size))
            return np.frombuffer(raw, "<f2").reshape(self.shape).astype(np.float32)
        except (ValueError, zlib.error) as error:
            raise SpecError(f"the golden heatmaps are damaged: {error}") from None
