"""Compare classical document detection with OpenCV against models, on the same pictures with the same scores.

    python benchmarks/classical.py [MODEL ...] --count 500
    python benchmarks/classical.py [MODEL ...] --data benchmarks/photographs

Contours come from Canny edges at several scales and thresholds, Otsu's threshold and an adaptive threshold. Among the
convex quadrilaterals, the one with the largest product of area and edge strength along its sides is chosen. Its sides
are then refined by fitting lines to the strongest edges across them. Needs ``pip install opencv-python-headless``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import cv2
import numpy as np
from numpy.typing import NDArray

from edgehrnet.cli.tables import table
from edgehrnet.decoding.outline import cyclic_order
from edgehrnet.errors import EdgeHRNetError, InputError
from quant.data.documents.corners import NAME as CORNERS
from quant.data.examples import DataSet
from quant.data.opening import ACCEPTED, open_data
from quant.reporting.score_table import score_table
from quant.scoring.average_precision import load_pycocotools
from quant.scoring.evaluation import Evaluation, Prediction, evaluate
from quant.scoring.model import compare, open_model

NAME = "OpenCV contours"
LONG_SIDE = 480  # px of the shrunk picture in which quadrilaterals are searched; finer detail is texture
AREA_FLOOR = 0.01  # smallest area of a document, as a share of the picture
BLURS = (3, 7)  # kernel sizes in px
CANNY = ((0.66, 1.33), (0.33, 0.8), (0.1, 0.3))  # low and high threshold, relative to the median gray level
GAPS = (1, 7)  # gaps between edges to close, in px
TOLERANCES = (0.02, 0.035, 0.05)  # distance between a contour and its polygon, relative to the contour's length
CLEAR = 24.0  # gray levels; steeper edges do not count more
SAMPLES, MARGIN = 64, 0.06  # points per side, and the share of the side left out at either end
PITCH = 0.5  # distance of samples across a side, in px
REACH = 3.0  # largest error of a contour, in px at LONG_SIDE
LOST = 3.0  # percent of the diagonal; a picture with a larger corner error counts as lost

Picture = NDArray[np.uint8]
Gray = NDArray[np.float32]
Quad = NDArray[np.float64]
Contour = NDArray[np.int32]


def find_quadrilateral(image: Picture) -> Quad | None:
    """Find the document in a picture.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.

    Returns:
        Corners ``(4, 2)`` as x, y, clockwise, in pixels of the picture with pixel centers at integers. None if no
        document was found.
    """
    height, width = image.shape[:2]
    scale = max(1.0, max(height, width) / LONG_SIDE)
    size = (round(width / scale), round(height / scale))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    gray = cv2.GaussianBlur(_gray(small), (3, 3), 0).astype(np.float32)
    floor = AREA_FLOOR * size[0] * size[1]
    quads = [quad for contour in _contours(small) if (quad := _quadrilateral(contour, floor)) is not None]
    supports = [_support(quad, gray) for quad in quads]
    if not supports or max(supports) == 0:
        return None
    best = quads[int(np.argmax(supports))]
    large = (best + 0.5) / size * (width, height) - 0.5
    return _refined(large, cv2.GaussianBlur(_gray(image), (3, 3), 0).astype(np.float32), REACH * scale)


def _gray(image: Picture) -> Picture:
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def _contours(small: Picture) -> Iterator[Contour]:
    saturation = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2HSV), np.uint8)[..., 1]
    for channel in (_gray(small), np.ascontiguousarray(saturation)):
        for edges in _edge_maps(channel):
            for contour in cv2.findContours(edges, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]:
                yield np.asarray(contour, np.int32)


def _edge_maps(channel: Picture) -> Iterator[Picture]:
    """Yield ``(H, W)`` maps of 0 and 255 of one channel: closed edges, then thresholded regions."""
    for blur in BLURS:
        soft = cv2.GaussianBlur(channel, (blur, blur), 0)
        median = max(16.0, float(np.median(soft)))
        for low, high in CANNY:
            edges = cv2.dilate(cv2.Canny(soft, low * median, high * median), np.ones((3, 3), np.uint8))
            for gap in GAPS:
                closed = cv2.morphologyEx(edges, cv2.MORPH_CLOSE, np.ones((gap, gap), np.uint8))
                yield np.asarray(closed, np.uint8)
    yield np.asarray(cv2.threshold(soft, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)[1], np.uint8)
    block = LONG_SIDE // 4 | 1
    local = cv2.adaptiveThreshold(soft, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, block, -4)
    yield np.asarray(local, np.uint8)


def _quadrilateral(contour: Contour, floor: float) -> Quad | None:
    """Return the clockwise convex quadrilateral that approximates a contour or its hull.

    None if there is none of at least ``floor`` square px.
    """
    hull = cv2.convexHull(contour)
    if cv2.contourArea(hull) < floor:
        return None
    for outline in (contour, hull):
        length = cv2.arcLength(outline, True)
        for tolerance in TOLERANCES:
            points = cv2.approxPolyDP(outline, tolerance * length, True)
            if len(points) == 4 and cv2.isContourConvex(points) and cv2.contourArea(points) >= floor:
                quad = points[:, 0].astype(np.float64)
                return quad if cv2.contourArea(points, True) > 0 else quad[::-1]
    return None


def _support(quad: Quad, gray: Gray) -> float:
    """Return the area in square px times the mean edge strength 0..1 along each side."""
    steepest = _steps(quad, gray, reach=2.0).max(axis=2)
    strengths = np.minimum(steepest / CLEAR, 1).mean(axis=1)
    return float(strengths.prod() * cv2.contourArea(quad.astype(np.float32)))


def _refined(quad: Quad, gray: Gray, reach: float) -> Quad:
    """Return the corners of lines fitted to the steepest edges within ``reach`` px of each side."""
    for distance in (reach, max(2.0, reach / 2)):
        steps = _steps(quad, gray, distance)
        places, normals = _across(quad)
        points = places + (_peaks(steps) * PITCH - distance)[..., None] * normals[:, None]
        lines = [_line(*side) for side in zip(points, steps.max(axis=2), strict=True)]
        corners = np.array([_meeting(lines[k - 1], lines[k]) for k in range(4)])
        # A line that followed another edge moves the corners far away. Then the contour is the better estimate.
        if not (np.linalg.norm(corners - quad, axis=1) <= 3 * distance).all():
            return quad
        quad = corners
    return quad


def _across(quad: Quad) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return `SAMPLES` points along each side ``(4, M, 2)``, away from the corners, and unit normals ``(4, 2)``."""
    sides = np.roll(quad, -1, axis=0) - quad
    along = np.linspace(MARGIN, 1 - MARGIN, SAMPLES)
    places = quad[:, None] + along[:, None] * sides[:, None]
    return places, np.stack([-sides[:, 1], sides[:, 0]], axis=1) / np.linalg.norm(sides, axis=1, keepdims=True)


def _steps(quad: Quad, gray: Gray, reach: float) -> NDArray[np.float64]:
    """Return the gray level differences across the sides, every `PITCH` px from -reach to reach, ``(4, M, P)``."""
    places, normals = _across(quad)
    offsets = np.arange(round(2 * reach / PITCH) + 5) * PITCH - reach - 1  # one more px for the differences at the ends
    at = (
        (places[:, :, None] + offsets[:, None] * normals[:, None, None]).astype(np.float32).reshape(-1, len(offsets), 2)
    )
    values = cv2.remap(gray, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    differences = values[:, 4:].astype(np.float64) - values[:, :-4]
    return np.asarray(np.abs(differences).reshape(4, SAMPLES, -1))


def _peaks(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the position of the maximum along the last axis, in samples, refined with a parabola."""
    top = steps.argmax(axis=-1).clip(1, steps.shape[-1] - 2)
    before, at, after = (np.take_along_axis(steps, (top + k)[..., None], -1)[..., 0] for k in (-1, 0, 1))
    bend = before - 2 * at + after
    return np.asarray(top + np.where(bend < 0, (before - after) / np.minimum(2 * bend, -1e-9), 0).clip(-1, 1))


def _line(points: NDArray[np.float64], steepness: NDArray[np.float64]) -> tuple[float, float, float]:
    """Fit a line ax + by = c to the steeper half of the points ``(M, 2)``, robustly. Return a, b, c."""
    kept = points[steepness >= np.median(steepness)].astype(np.float32)
    dx, dy, x, y = (float(value) for value in cv2.fitLine(kept, cv2.DIST_WELSCH, 0, 0.01, 0.01).ravel())
    return -dy, dx, dx * y - dy * x


def _meeting(first: Sequence[float], second: Sequence[float]) -> tuple[float, float]:
    """Return the intersection of two lines, or a point at infinity if they are parallel."""
    x, y, w = np.cross((*first[:2], -first[2]), (*second[:2], -second[2]))
    return (float(x / w), float(y / w)) if w else (float("inf"), float("inf"))


def predict(image: Picture) -> Prediction:
    """Return corners and confidences like a model: confidence 1, or four times the center with confidence 0."""
    quad = find_quadrilateral(image)
    if quad is not None:
        height, width = image.shape[:2]
        return quad[cyclic_order(quad, (width, height))], np.ones(4, np.float32)
    center = (np.array(image.shape[1::-1]) - 1) / 2
    return np.tile(center, (4, 1)), np.zeros(4, np.float32)


def lost(evaluation: Evaluation) -> tuple[int, int]:
    """Return the number of lost pictures, and the number of pictures with a visible corner.

    A picture is lost if no corner has any confidence, or if the error of a visible corner is above `LOST`.
    """
    scored = evaluation.visible.any(axis=1)
    worst = np.nanmax(evaluation.percent[scored], axis=1)
    nothing = evaluation.conf[scored].max(axis=1) == 0
    return int((nothing | (worst > LOST)).sum()), int(scored.sum())


def main(arguments: list[str] | None = None) -> int:
    """Print the tables and return the exit status."""
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("models", nargs="*", metavar="MODEL", help="model file, shipped name, or .pt checkpoint")
    p.add_argument("--data", default=CORNERS, help=f"{ACCEPTED} (default: %(default)s)")
    p.add_argument("--count", type=int, help="number of pictures to score (default: all, or 2000 synthetic ones)")
    args = p.parse_args(arguments)
    try:
        _run(args.models, open_data(args.data), args.count)
    except (EdgeHRNetError, OSError) as error:
        p.exit(2, f"error: {error}\n")
    return 0


def _run(names: Sequence[str], data: DataSet, count: int | None) -> None:
    if count is not None and count < 1:
        raise InputError(f"--count {count} is too small; use at least 1")
    load_pycocotools()
    with ExitStack() as stack:
        models = [stack.enter_context(open_model(name)) for name in names]
        found = [evaluate(NAME, predict, data, count, progress=True), *compare(models, data, count, progress=True)]
    print(f"{score_table(found)}\n")
    head = ("model", "nothing found", "lost", "of pictures", "median %", "p95 %", "PCK 2%", "PCK 3%")
    print(table(head, [_row(evaluation) for evaluation in found]))


def _row(evaluation: Evaluation) -> tuple[str, ...]:
    nothing, score = int((evaluation.conf.max(axis=1) == 0).sum()), evaluation.score()
    errors = (f"{score.median_percent:.3f}", f"{score.p95_percent:.2f}", f"{score.pck2:.1f}", f"{score.pck3:.1f}")
    return (evaluation.name, *map(str, (nothing, *lost(evaluation))), *errors)


if __name__ == "__main__":
    raise SystemExit(main())
