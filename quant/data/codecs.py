"""Keypoints in network-input pixels -> what the network should answer, drawn in heatmap cells.

The cell of a pixel is CellGrid.to_cells, the inverse of what the decoder uses. A point keeps its exact place, but
for ``msra``, which the first HRNets were trained with. CODECS says which targets, crops and decoders belong together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

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
Draw = Callable[[Points, Present, CellGrid, tuple[int, int], float], dict[str, Array]]

SIGMA = 1.5  # cells; the width of a heatmap's blob
OFFSET_RADIUS = 2.0  # cells around a keypoint in which offsets are trained
SDF_CLIP = 8.0  # cells; beyond it the distance says nothing local


def heatmap_target(
    points: Points,
    present: Present,
    grid: CellGrid,
    shape: tuple[int, int],
    sigma: float = SIGMA,
) -> Array:
    """Draw a Gaussian around each point: ``(K, h, w)`` in 0..1, all zero where ``present`` is False.

    ``points`` ``(K, 2)`` x, y in input pixels, ``shape`` = (h, w) in cells. The center is not rounded
    ("unbiased" targets of DARK, Zhang, CVPR 2020).
    """
    dx, dy = _displacements(points, grid, shape)
    blobs = np.exp(-(dx**2 + dy**2) / (2 * sigma**2)) * present[:, None, None]
    return blobs.astype(np.float32)


def offset_target(
    points: Points,
    present: Present,
    grid: CellGrid,
    shape: tuple[int, int],
) -> tuple[Array, Array]:
    """Return offsets ``(K, 2, h, w)`` in cells from each cell to the point, and weights ``(K, h, w)`` 0 or 1.

    The weight is 1 within OFFSET_RADIUS of a present point; the offsets elsewhere are 0.
    """
    dx, dy = _displacements(points, grid, shape)
    near = (dx**2 + dy**2 <= OFFSET_RADIUS**2) & present[:, None, None]
    offsets = np.stack([dx, dy], axis=1) * near[:, None]
    return offsets.astype(np.float32), near.astype(np.float32)


def msra_target(
    points: Points,
    present: Present,
    grid: CellGrid,
    shape: tuple[int, int],
    sigma: float,
) -> tuple[Array, Array]:
    """Draw a Gaussian around the cell nearest to each point, within 3 sigma of it: ``(K, h, w)``, 1 at that cell.

    Arguments as of heatmap_target. The second value ``(K,)`` is each map's weight in the loss: 0 where a point is
    absent, or so far outside that the window's cells are too. Source: Simple Baselines, Xiao, ECCV 2018.
    """
    nearest = _nearest(grid.to_cells(points))
    return _windows(nearest, nearest, present, shape, sigma)


def dark_target(
    points: Points,
    present: Present,
    grid: CellGrid,
    shape: tuple[int, int],
    sigma: float,
) -> tuple[Array, Array]:
    """Draw heatmap_target, ``(K, h, w)``, and return each map's weight ``(K,)``, as of msra_target.

    Source: DARK, Zhang, CVPR 2020.
    """
    weights = present & _in_reach(grid.to_cells(points), shape, 3 * sigma)
    return heatmap_target(points, weights, grid, shape, sigma), weights.astype(np.float32)


def udp_target(
    points: Points,
    present: Present,
    grid: CellGrid,
    shape: tuple[int, int],
    sigma: float,
) -> tuple[Array, Array]:
    """Draw a Gaussian around each point, within 3 sigma of the cell nearest to it: ``(K, h, w)`` and weights ``(K,)``.

    Arguments and weights as of msra_target; ``grid`` should be CellGrid.corners. Source: UDP, Huang, CVPR 2020.
    """
    cells = grid.to_cells(points)
    return _windows(cells, _nearest(cells), present, shape, sigma)


def udp_offset_targets(
    points: Points,
    present: Present,
    grid: CellGrid,
    shape: tuple[int, int],
) -> tuple[Array, Array, Array]:
    """Draw a disc around each point, ``(K, h, w)`` 0 or 1, and on it the offsets to the point ``(K, 2, h, w)``.

    Offsets are in offset_radius, which is the disc's: -1..1. The third value ``(K,)`` is 1 where a point is present,
    on the map or not, as published. Source: UDP, Huang, CVPR 2020.
    """
    radius = offset_radius(shape)
    dx, dy = (distance / radius for distance in _displacements(points, grid, shape))
    discs = (dx**2 + dy**2 <= 1) & present[:, None, None]
    offsets = np.stack([dx, dy], axis=1) * discs[:, None]
    return discs.astype(np.float32), offsets.astype(np.float32), present.astype(np.float32)


def pose_sigma(input_size: tuple[int, int]) -> float:
    """Return the width of a published network's blobs in cells, for an input (height, width).

    >>> pose_sigma((256, 192)), pose_sigma((256, 256)), pose_sigma((384, 288))
    (2.0, 2.0, 3.0)
    """
    return 2 * input_size[0] / 256


def kernel_for(input_size: tuple[int, int]) -> int:
    """Return the cells that the decoders of such blobs blur over: 11 for a sigma of 2, 17 for one of 3.

    >>> kernel_for((256, 192)), kernel_for((384, 288))
    (11, 17)
    """
    return 2 * round(3 * pose_sigma(input_size) - 1) + 1


def outline_targets(points: Points, grid: CellGrid, shape: tuple[int, int]) -> tuple[Array, Array]:
    """Return the outline of a closed polygon ``(h, w)`` 0..1 and its signed distance ``(h, w)`` in cells.

    The distance is negative inside, positive outside, clipped at +-SDF_CLIP; the outline is a Gaussian of one cell
    around distance zero.
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


def _nearest(cells: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round as published: half up, and below zero towards zero."""
    return np.trunc(cells + 0.5)


def _windows(
    centers: NDArray[np.float64],
    middles: NDArray[np.float64],
    present: Present,
    shape: tuple[int, int],
    sigma: float,
) -> tuple[Array, Array]:
    """Draw Gaussians around ``centers`` ``(K, 2)`` in cells, within 3 sigma of ``middles`` on each axis."""
    reach = int(3 * sigma)
    weights = present & _in_reach(middles, shape, reach)
    x, y = np.arange(shape[1]), np.arange(shape[0])[:, None]
    dx, dy = (centers[:, axis, None, None] - own for axis, own in ((0, x), (1, y)))
    far_x, far_y = (np.abs(middles[:, axis, None, None] - own) > reach for axis, own in ((0, x), (1, y)))
    blobs = np.exp(-(dx**2 + dy**2) / (2 * sigma**2))
    drawn = np.where(far_x | far_y | ~weights[:, None, None], 0, blobs)
    return drawn.astype(np.float32), weights.astype(np.float32)


def _in_reach(cells: NDArray[np.float64], shape: tuple[int, int], reach: float) -> NDArray[np.bool_]:
    """Whether ``(K, 2)`` cells are within ``reach`` of the map; as published, one more cell counts above and left."""
    inside: NDArray[np.bool_] = np.all((cells - reach < shape[::-1]) & (cells + reach + 1 >= 0), axis=1)
    return inside


def _displacements(
    points: Points, grid: CellGrid, shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """From every cell to every point, ``(K, h, w)`` in cells, x and y apart."""
    cells = grid.to_cells(points)
    dx = cells[:, 0, None, None] - np.arange(shape[1])[None, None, :]
    dy = cells[:, 1, None, None] - np.arange(shape[0])[None, :, None]
    return np.broadcast_arrays(dx, dy)  # type: ignore[return-value]


def _draw_blobs(
    target: Callable[[Points, Present, CellGrid, tuple[int, int], float], tuple[Array, Array]],
    points: Points,
    present: Present,
    grid: CellGrid,
    shape: tuple[int, int],
    sigma: float,
) -> dict[str, Array]:
    heatmaps, weight = target(points, present, grid, shape, sigma)
    return {"heatmaps": heatmaps, "weight": weight}


def _draw_offset(
    points: Points, present: Present, grid: CellGrid, shape: tuple[int, int], sigma: float
) -> dict[str, Array]:
    offsets, weight = offset_target(points, present, grid, shape)
    heatmaps = heatmap_target(points, present, grid, shape, sigma)
    return {"heatmaps": heatmaps, "weight": present.astype(np.float32), "offsets": offsets, "offset_weight": weight}


def _draw_udp_offset(
    points: Points,
    present: Present,
    grid: CellGrid,
    shape: tuple[int, int],
    sigma: float,  # noqa: ARG001 - a disc has a radius instead
) -> dict[str, Array]:
    discs, offsets, weight = udp_offset_targets(points, present, grid, shape)
    return {"heatmaps": discs, "weight": weight, "offsets": offsets}


def _own_sigma(input_size: tuple[int, int]) -> float:  # noqa: ARG001 - the signature of pose_sigma
    return SIGMA


@dataclass(frozen=True)
class Codec:
    """How keypoints become maps, and maps keypoints again.

    ``draw``: (points, present, grid, shape, sigma) of heatmap_target -> ``heatmaps (K, h, w)``, ``weight (K,)``, and
    where the network answers offsets ``offsets (K, 2, h, w)``. ``sigma``: input size (height, width) -> cells.
    ``crop``: the ModelSpec's, None for any. ``decode``: the ModelSpec's.
    """

    draw: Draw
    sigma: Callable[[tuple[int, int]], float]
    crop: CropConvention | None
    decode: DecodeMethod


CODECS: Mapping[str, Codec] = {
    "offset": Codec(_draw_offset, _own_sigma, None, "offset"),
    "msra": Codec(partial(_draw_blobs, msra_target), pose_sigma, "hrnet", "quarter"),
    "dark": Codec(partial(_draw_blobs, dark_target), pose_sigma, "hrnet", "dark"),
    "udp": Codec(partial(_draw_blobs, udp_target), pose_sigma, "udp", "udp"),
    "udp-offset": Codec(_draw_udp_offset, pose_sigma, "udp", "udp-offset"),
}


def usual_codec(spec: ModelSpec) -> str:
    """Return the name of the codec that a network of this spec was trained with, as far as its decoding tells."""
    if spec.heatmap_values == "logits":
        return "offset"
    if spec.crop == "udp":
        return "udp-offset" if spec.decode == "udp-offset" else "udp"
    return "dark" if spec.decode == "dark" else "msra"


def with_codec(spec: ModelSpec, name: str) -> ModelSpec:
    """Return the spec of a network that is trained with this codec.

    Raises InputError if the codec is for crops of boxes, with which the data has none.
    """
    codec = CODECS[name]
    if spec.crop is None and codec.crop == "udp":
        raise InputError(f"codec {name!r} is for crops of boxes, of which {spec.name!r} has none; use dark")
    outputs = tuple(pair for pair in spec.outputs if pair[0] != "offsets")
    if name in ("offset", "udp-offset"):
        outputs = (("offsets", "NCHW"), *outputs)
    crop = codec.crop or spec.crop if spec.crop is not None else None
    return spec.replace(crop=crop, decode=codec.decode, kernel=kernel_for(spec.input_size), outputs=outputs)
