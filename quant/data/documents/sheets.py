"""Place sheets and objects in a picture, with exact perspective, soft edges and shadows.

Quads are as in `poses`: ``(4, 2)`` continuous picture coordinates, clockwise, with pixel centers at halves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from quant.data.documents import bends, poses
from quant.data.documents.bends import Bend
from quant.data.documents.pages import MARGIN, Page
from quant.data.documents.poses import Quad

Frame = tuple[int, int, int, int]
_SHADOW_STEP = 2


def coverage(quad: Quad, frame: Frame) -> NDArray[np.float32]:
    """Return the share 0..1 of each pixel of a frame that a convex quad covers.

    The share is a ramp of one px in the distance to each edge. It is exact for edges parallel to the pixel grid, and
    unbiased for all others.

    Args:
        quad: Convex quad.
        frame: (left, top, right, bottom) in pixels.

    Returns:
        ``(h, w)`` float32.
    """
    left, top, right, bottom = frame
    x = np.arange(left, right, dtype=np.float32) + np.float32(0.5)
    y = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5)
    share = np.ones((bottom - top, right - left), np.float32)
    for a, b in zip(quad, np.roll(quad, -1, axis=0), strict=True):
        nx, ny = np.array([a[1] - b[1], b[0] - a[0]]) / np.hypot(*(b - a))
        inside = np.float32(nx) * x + (np.float32(ny) * y + np.float32(0.5 - nx * a[0] - ny * a[1]))
        share *= np.clip(inside, 0, 1, out=inside)
    return share


def place_page(canvas: Image.Image, page: Page, quad: Quad, *, bend: Bend | None = None, reach: float = 0.0) -> None:
    """Draw a page on an RGB canvas so that its corners coincide with those of the quad.

    Args:
        canvas: Image to draw on.
        page: Page to draw.
        quad: Corners in the canvas.
        bend: Bend to apply to the drawn page.
        reach: Largest distance in px that the bend moves a point.
    """
    frame = _frame(quad, canvas.size, reach)
    if frame is None:
        return
    share = coverage(quad, frame)
    if page.cutout is not None:
        share *= np.asarray(_warp(page.cutout, page.size, MARGIN, quad, frame), np.float32) / 255
    mask = Image.fromarray((share * 255 + 0.5).astype(np.uint8))
    layer = _warp(page.image, page.size, MARGIN, quad, frame)
    if bend is not None:
        layer, mask = (bends.apply(image, bend, frame[:2]) for image in (layer, mask))
    canvas.paste(layer, frame[:2], mask)


def place_object(canvas: Image.Image, item: Image.Image, quad: Quad, shadow: tuple[float, float]) -> None:
    """Draw an RGBA object with a soft shadow at an offset (x, y) in px."""
    frame = _frame(quad, canvas.size)
    if frame is None:
        return
    warped = _warp(item, item.size, 0, quad, frame)
    alpha = warped.getchannel("A")
    reach = 1 + int(max(abs(shadow[0]), abs(shadow[1])))
    soft = alpha.filter(ImageFilter.BoxBlur(reach)).point([v // 2 for v in range(256)])
    canvas.paste((0, 0, 0), (frame[0] + round(shadow[0]), frame[1] + round(shadow[1])), soft)
    canvas.paste(warped.convert("RGB"), frame[:2], alpha)


def cast_sheet_shadow(rng: np.random.Generator, canvas: Image.Image, quad: Quad) -> Image.Image:
    """Return the canvas with the shadow of a sheet at the quad: a wide soft one, and a narrow one at its edges."""
    size = (-(-canvas.width // _SHADOW_STEP), -(-canvas.height // _SHADOW_STEP))
    unit = max(canvas.size) / 512 / _SHADOW_STEP
    angle = rng.uniform(0, 2 * np.pi)
    way = np.array([np.cos(angle), np.sin(angle)])
    light = Image.new("L", size, 255)
    wide = (rng.uniform(0, 12), rng.uniform(1, 8), rng.uniform(0.0, 0.55))
    contact = (rng.uniform(0, 2), rng.uniform(0.6, 2), rng.uniform(0.1, 0.6))
    for offset, radius, strength in (wide, contact):
        mask = Image.new("L", size, 0)
        points = quad / _SHADOW_STEP + way * offset * unit
        ImageDraw.Draw(mask).polygon([(float(a), float(b)) for a, b in points], fill=255)
        soft = mask.filter(ImageFilter.BoxBlur(radius * unit))
        light = ImageChops.multiply(light, soft.point([int(255 - strength * v) for v in range(256)]))
    light = light.resize(canvas.size, Image.Resampling.BILINEAR)
    return ImageChops.multiply(canvas, Image.merge("RGB", (light, light, light)))


def _frame(quad: Quad, size: tuple[int, int], reach: float = 0.0) -> Frame | None:
    """Return the bounding box of a quad in pixels, extended by ``reach`` px and clipped to the picture.

    None if it is empty.
    """
    low = np.clip(np.floor(quad.min(axis=0) - reach) - 1, 0, size).astype(int)
    high = np.clip(np.ceil(quad.max(axis=0) + reach) + 1, 0, size).astype(int)
    if (high <= low).any():
        return None
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def _warp(image: Image.Image, size: tuple[int, int], margin: int, quad: Quad, frame: Frame) -> Image.Image:
    """Warp a texture of (width, height) px inside its margin into a frame of the picture."""
    texels = size[0] * size[1] / max(abs(poses.area(quad)), 1.0)
    # The margin must be at least one texel after the reduction, which limits it.
    step = int(np.clip(round(np.sqrt(texels)), 1, 8))
    source = (poses.rectangle(size) + margin) / step
    # Pillow samples output pixel (x, y) at (x + 0.5, y + 0.5), the same convention as that of quads.
    matrix = poses.homography(quad - np.array(frame[:2]), source)
    reduced = image.reduce(step) if step > 1 else image
    extent = (frame[2] - frame[0], frame[3] - frame[1])
    coefficients = tuple(float(v) for v in matrix.reshape(9)[:8])
    return reduced.transform(extent, Image.Transform.PERSPECTIVE, coefficients, resample=Image.Resampling.BILINEAR)
