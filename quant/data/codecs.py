"""Encode keypoints as ground-truth heatmaps, and name the decoder and crop that belong to each encoding.

`CellGrid.to_cells` maps input pixels to heatmap cells, and decoders use its inverse. Keypoints keep their sub-cell
position, except in ``msra``, the encoding of the first HRNets, which rounds to the nearest cell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgehrnet.decoding.refiners import offset_radius
from edgehrnet.errors import InputError
from edgehrnet.picture.cells import CellGrid
from edgehrnet.picture.crops import CropConvention
from edgehrnet.spec import DecodeMethod, ModelSpec

Array = NDArray[np.float32]
Points = NDArray[np.float64]
Present = NDArray[np.bool_]

SIGMA = 1.5
"""Standard deviation of heatmaps for this project's networks, in cells."""
OFFSET_RADIUS = 2.0
"""Radius around a keypoint in which offsets are trained, in cells."""
SDF_CLIP = 8.0
"""Largest signed distance to the outline, in cells. Farther away, it says nothing about the place."""


@dataclass(frozen=True)
class MapLayout:
    """Where the cells of a heatmap lie in the network input, and how wide a keypoint is on it."""

    grid: CellGrid
    """Map between input pixels and cells."""
    shape: tuple[int, int]
    """(height, width) of the heatmap in cells."""
    sigma: float
    """Standard deviation of a keypoint's Gaussian in cells."""


Encode = Callable[[Points, Present, MapLayout], dict[str, Array]]


@dataclass(frozen=True)
class Codec:
    """A way to encode keypoints as heatmaps, and the crop and decoder that belong to it."""

    encode: Encode
    """Function of points ``(K, 2)`` x, y in input pixels, present ``(K,)`` and a `MapLayout`.

    It returns ``heatmaps (K, h, w)``, all zero where a point is not present, and ``weight (K,)``, the weight of each
    heatmap in the loss. For networks with offsets it adds ``offsets (K, 2, h, w)``.
    """
    sigma: Callable[[tuple[int, int]], float]
    """Function from input size (height, width) to sigma in cells."""
    crop: CropConvention | None
    """Crop convention for the ModelSpec. None fits any."""
    decode: DecodeMethod
    """Decoder for the ModelSpec."""


def gaussian_heatmaps(
    points: Points,
    present: Present,
    grid: CellGrid,
    shape: tuple[int, int],
    sigma: float = SIGMA,
) -> Array:
    """Draw a Gaussian around each point, with its exact position as the center.

    These are the "unbiased" heatmaps of DARK (Zhang, CVPR 2020).

    Args:
        points: ``(K, 2)`` x, y in input pixels.
        present: ``(K,)``, False for points to leave out.
        grid: map between input pixels and cells.
        shape: (height, width) in cells.
        sigma: standard deviation in cells.

    Returns:
        ``(K, h, w)`` in 0..1, all zero where ``present`` is False.
    """
    dx, dy = _displacements(points, grid, shape)
    gaussians = np.exp(-(dx**2 + dy**2) / (2 * sigma**2)) * present[:, None, None]
    return gaussians.astype(np.float32)


def offset_maps(
    points: Points,
    present: Present,
    grid: CellGrid,
    shape: tuple[int, int],
) -> tuple[Array, Array]:
    """Return offsets ``(K, 2, h, w)`` in cells from each cell to the point, and weights ``(K, h, w)`` 0 or 1.

    The weight is 1 within OFFSET_RADIUS of a present point. Elsewhere, weights and offsets are 0.
    """
    dx, dy = _displacements(points, grid, shape)
    near = (dx**2 + dy**2 <= OFFSET_RADIUS**2) & present[:, None, None]
    offsets = np.stack([dx, dy], axis=1) * near[:, None]
    return offsets.astype(np.float32), near.astype(np.float32)


def outline_maps(points: Points, grid: CellGrid, shape: tuple[int, int]) -> tuple[Array, Array]:
    """Return the outline of a closed polygon ``(h, w)`` in 0..1 and its signed distance ``(h, w)`` in cells.

    The distance is negative inside, positive outside, and clipped at +-SDF_CLIP. The outline is a Gaussian of one
    cell around distance zero.
    """
    corners = grid.to_cells(points)
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    squared = np.full(shape, np.inf)
    inside = np.zeros(shape, bool)
    for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        length2 = max((bx - ax) ** 2 + (by - ay) ** 2, 1e-12)
        along = np.clip(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length2, 0, 1)
        squared = np.minimum(squared, (x - ax - along * (bx - ax)) ** 2 + (y - ay - along * (by - ay)) ** 2)
        if ay != by:  # even-odd rule: count the edges that a ray to the right crosses
            inside ^= ((ay > y) != (by > y)) & (x < ax + (y - ay) / (by - ay) * (bx - ax))
    distance = np.sqrt(squared)
    boundary = np.exp(-0.5 * squared)
    signed = np.clip(np.where(inside, -distance, distance), -SDF_CLIP, SDF_CLIP)
    return boundary.astype(np.float32), signed.astype(np.float32)


def encode_offset(points: Points, present: Present, layout: MapLayout) -> dict[str, Array]:
    """Encode as Gaussians and offsets. ``offset_weight (K, h, w)`` is 1 where offsets are trained."""
    offsets, weight = offset_maps(points, present, layout.grid, layout.shape)
    heatmaps = gaussian_heatmaps(points, present, layout.grid, layout.shape, layout.sigma)
    return {"heatmaps": heatmaps, "weight": present.astype(np.float32), "offsets": offsets, "offset_weight": weight}


def encode_msra(points: Points, present: Present, layout: MapLayout) -> dict[str, Array]:
    """Encode as a Gaussian around the cell nearest to each point, cut off at 3 sigma. It is 1 at that cell.

    The weight is 0 where a point is absent, or so far outside that the cut-off Gaussian does not reach the map.
    Source: Simple Baselines, Xiao, ECCV 2018.
    """
    nearest = _nearest(layout.grid.to_cells(points))
    return _windows(nearest, nearest, present, layout)


def encode_dark(points: Points, present: Present, layout: MapLayout) -> dict[str, Array]:
    """Encode as `gaussian_heatmaps`, with the weights of `encode_msra`. Source: DARK, Zhang, CVPR 2020."""
    weights = present & _in_reach(layout.grid.to_cells(points), layout.shape, 3 * layout.sigma)
    heatmaps = gaussian_heatmaps(points, weights, layout.grid, layout.shape, layout.sigma)
    return {"heatmaps": heatmaps, "weight": weights.astype(np.float32)}


def encode_udp(points: Points, present: Present, layout: MapLayout) -> dict[str, Array]:
    """Encode as a Gaussian around each point, cut off 3 sigma from the cell nearest to it.

    The weights are those of `encode_msra`. The grid should be CellGrid.corners. Source: UDP, Huang, CVPR 2020.
    """
    cells = layout.grid.to_cells(points)
    return _windows(cells, _nearest(cells), present, layout)


def encode_udp_offset(points: Points, present: Present, layout: MapLayout) -> dict[str, Array]:
    """Encode as a disc around each point, 0 or 1, with the offsets to the point on it.

    The disc's radius is `offset_radius`, and sigma is not used. Offsets are divided by the radius, so they are in
    -1..1. The weight is 1 where a point is present, on the map or not, as published. Source: UDP, Huang, CVPR 2020.
    """
    radius = offset_radius(layout.shape)
    dx, dy = (distance / radius for distance in _displacements(points, layout.grid, layout.shape))
    discs = (dx**2 + dy**2 <= 1) & present[:, None, None]
    offsets = np.stack([dx, dy], axis=1) * discs[:, None]
    return {
        "heatmaps": discs.astype(np.float32),
        "weight": present.astype(np.float32),
        "offsets": offsets.astype(np.float32),
    }


def constant_sigma(input_size: tuple[int, int]) -> float:  # noqa: ARG001 - the signature of pose_sigma
    """Return SIGMA in cells for any input size.

    >>> constant_sigma((256, 512))
    1.5
    """
    return SIGMA


def pose_sigma(input_size: tuple[int, int]) -> float:
    """Return the sigma of the published networks in cells for an input (height, width).

    >>> pose_sigma((256, 192)), pose_sigma((256, 256)), pose_sigma((384, 288))
    (2.0, 2.0, 3.0)
    """
    return 2 * input_size[0] / 256


def kernel_for(input_size: tuple[int, int]) -> int:
    """Return the width of the blur in decoders of the published networks, in cells: 11 for sigma 2, 17 for sigma 3.

    >>> kernel_for((256, 192)), kernel_for((384, 288))
    (11, 17)
    """
    return 2 * round(3 * pose_sigma(input_size) - 1) + 1


CODECS: Mapping[str, Codec] = {
    "offset": Codec(encode_offset, constant_sigma, None, "offset"),
    "msra": Codec(encode_msra, pose_sigma, "hrnet", "quarter"),
    "dark": Codec(encode_dark, pose_sigma, "hrnet", "dark"),
    "udp": Codec(encode_udp, pose_sigma, "udp", "udp"),
    "udp-offset": Codec(encode_udp_offset, pose_sigma, "udp", "udp-offset"),
}


def usual_codec(spec: ModelSpec) -> str:
    """Return the name of the codec that a network with this spec was trained with, inferred from its decoder."""
    if spec.heatmap_values == "logits":
        return "offset"
    if spec.crop == "udp":
        return "udp-offset" if spec.decode == "udp-offset" else "udp"
    return "dark" if spec.decode == "dark" else "msra"


def with_codec(spec: ModelSpec, name: str) -> ModelSpec:
    """Return the spec with the crop, decoder and outputs of a codec.

    Raises:
        InputError: the codec is for crops of boxes, and the spec is for whole pictures.
    """
    codec = CODECS[name]
    if spec.crop is None and codec.crop == "udp":
        raise InputError(f"codec {name!r} needs crops of boxes, and {spec.name!r} has no boxes; use --codec dark")
    outputs = tuple(pair for pair in spec.outputs if pair[0] != "offsets")
    if name in ("offset", "udp-offset"):
        outputs = (("offsets", "NCHW"), *outputs)
    crop = codec.crop or spec.crop if spec.crop is not None else None
    return spec.replace(crop=crop, decode=codec.decode, kernel=kernel_for(spec.input_size), outputs=outputs)


def _nearest(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round half up, and negative numbers towards zero, as published."""
    return np.trunc(cells + 0.5)


def _windows(
    centers: NDArray[np.float64],
    middles: NDArray[np.float64],
    present: Present,
    layout: MapLayout,
) -> dict[str, Array]:
    """Draw Gaussians around ``centers`` ``(K, 2)`` in cells, within 3 sigma of ``middles`` on each axis."""
    shape, sigma = layout.shape, layout.sigma
    reach = int(3 * sigma)
    weights = present & _in_reach(middles, shape, reach)
    positions = (np.arange(shape[1]), np.arange(shape[0])[:, None])
    dx, dy = (centers[:, axis, None, None] - at for axis, at in enumerate(positions))
    far_x, far_y = (np.abs(middles[:, axis, None, None] - at) > reach for axis, at in enumerate(positions))
    gaussians = np.exp(-(dx**2 + dy**2) / (2 * sigma**2))
    heatmaps = np.where(far_x | far_y | ~weights[:, None, None], 0, gaussians)
    return {"heatmaps": heatmaps.astype(np.float32), "weight": weights.astype(np.float32)}


def _in_reach(cells: NDArray[np.float64], shape: tuple[int, int], reach: float) -> NDArray[np.bool_]:
    """Return whether each of ``(K, 2)`` cells is within ``reach`` of the map.

    As published, one more cell counts on the left and above.
    """
    inside: NDArray[np.bool_] = np.all((cells - reach < shape[::-1]) & (cells + reach + 1 >= 0), axis=1)
    return inside


def _displacements(
    points: Points, grid: CellGrid, shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return x and y distances ``(K, h, w)`` in cells from every cell to every point."""
    cells = grid.to_cells(points)
    dx = cells[:, 0, None, None] - np.arange(shape[1])[None, None, :]
    dy = cells[:, 1, None, None] - np.arange(shape[0])[None, :, None]
    return np.broadcast_arrays(dx, dy)  # type: ignore[return-value]
