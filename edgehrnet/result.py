"""What predict() returns: keypoints in picture pixels, and everything they came from, in frozen dataclasses."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edgehrnet.decoding import CERTAIN
from edgehrnet.decoding.peaks import find_peaks
from edgehrnet.drawing.files import save_picture
from edgehrnet.drawing.overlay import blend_heatmap, draw_keypoints
from edgehrnet.drawing.rectification import flatten_quadrilateral, sheet_size
from edgehrnet.errors import InputError, MissingExtraError, UnsupportedError, check_keywords
from edgehrnet.picture.sources import MAX_PIXELS, MAX_SIDE
from edgehrnet.preparation import Transform
from edgehrnet.spec import ModelSpec

Points = NDArray[np.float64]
Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Keypoints:
    """Keypoints of N instances with K names each.

    ``xy (N, K, 2)``: x, y in pixels of the picture, always finite, perhaps a little outside it; pixel centers are
    integers. ``conf (N, K)``: 0..1, of linear heatmaps (ModelSpec.heatmap_values) any height from 0; absence shows here
    alone. ``size``: (width, height) of the picture. ``names``: K.

    >>> k = Keypoints(np.array([[[9.0, 4.0]]]), np.array([[0.9]], np.float32), (10, 5), ("tip",))
    >>> k.xyn.tolist(), len(k)
    ([[[0.9, 0.8]]], 1)
    """

    xy: Points
    conf: Array
    size: tuple[int, int]
    names: tuple[str, ...]

    @property
    def xyn(self) -> Points:
        """``xy`` divided by the picture's width and height."""
        return self.xy / self.size

    def __len__(self) -> int:
        return len(self.xy)


@dataclass(frozen=True, eq=False)
class Result:
    """One picture's answer. ``xy, conf = result`` unpacks the keypoints.

    ``heatmaps (N, K, h, w)`` float32 probabilities, or the heights of a linear layer. ``offsets (N, 2K, h, w)`` float32
    in cells, or None. ``hf (N, C, h, w)`` float32 features, a view of a buffer this Result owns; None where the file
    has no such output. ``outputs``: further outputs as the network gives them (``boundary`` logits, ``sdf`` in cells,
    negative inside, pyramid features). ``transforms``: of each instance, picture pixels <-> network input. ``speed``:
    ms of each stage. ``source``: the picture's path, None if it came as data. ``image (H, W, 3)``: the picture as read,
    u8 RGB.

    Keypoint k, ``heatmaps[:, k]`` and ``peaks[k]`` belong together. Of an outline (``spec.cyclic``) the first is the
    one with the smallest x/W + y/H, as long as all are certain; with one missing, only their cyclic order is known.
    With ``sdf`` among the outputs they were chosen together (see `outline`), which may pass over the highest peak.
    """

    keypoints: Keypoints
    heatmaps: Array
    offsets: Array | None
    hf: Array | None
    outputs: Mapping[str, Array]
    transforms: tuple[Transform, ...]
    speed: Mapping[str, float]
    source: str | None
    image: NDArray[np.uint8] = field(repr=False)
    spec: ModelSpec = field(repr=False)

    def __iter__(self) -> Iterator[Any]:
        yield from (self.keypoints.xy, self.keypoints.conf)

    def __repr__(self) -> str:
        width, height = self.keypoints.size
        if len(self.keypoints) != 1:
            return f"Result({width}x{height}: {len(self.keypoints)} instances)"
        points = ", ".join(
            f"{name} ({x:.1f}, {y:.1f}) {conf:.2f}"
            for name, (x, y), conf in zip(
                self.keypoints.names, self.keypoints.xy[0], self.keypoints.conf[0], strict=True
            )
        )
        return f"Result({width}x{height}: {points})"

    @property
    def score(self) -> Array:
        """``(N,)`` mean confidence of an instance's keypoints."""
        scores: Array = self.keypoints.conf.mean(axis=1)
        return scores

    @property
    def transform(self) -> Transform:
        """Picture pixels <-> network input, of the only instance; UnsupportedError if there are more, or none."""
        if len(self.transforms) != 1:
            raise UnsupportedError(f"{len(self.transforms)} instances have one transform each: see .transforms")
        return self.transforms[0]

    @property
    def mask(self) -> NDArray[np.bool_]:
        """``(h, w)``: False in the padding, of the only instance, as of `transform`."""
        return self.transform.cell_mask(self.spec.grid)

    @property
    def peaks(self) -> list[Points]:
        """Many instances of one keypoint: K arrays ``(M, 3)`` of x, y in picture pixels and score, best first."""
        found, mask = [], self.mask
        for k in range(len(self.keypoints.names)):
            offsets = None if self.offsets is None else self.offsets[0, 2 * k : 2 * k + 2]
            peaks = find_peaks(self.heatmaps[0, k], offsets, mask=mask)
            peaks[:, :2] = self.transform.inverse(self.spec.grid.to_pixels(peaks[:, :2]))
            found.append(peaks)
        return found

    @check_keywords
    def plot(self, *, heatmaps: bool = False) -> Image.Image:
        """Draw the keypoints, and the heatmaps if asked for, over the picture."""
        picture = Image.fromarray(self.image)
        if heatmaps:
            for maps, transform in zip(self.heatmaps, self.transforms, strict=True):
                picture = blend_heatmap(picture, maps.max(axis=0), transform, self.spec.grid)
        return draw_keypoints(picture, self.keypoints.xy, self.keypoints.conf, self.keypoints.names, self.spec.skeleton)

    def save(self, path: str | Path) -> Path:
        """Write plot() as a picture; the suffix chooses the format."""
        path = Path(path)
        try:
            save_picture(self.plot(), path)
        except (ValueError, OSError) as error:
            hint = "; use .png or .jpg" if isinstance(error, ValueError) else ""
            raise InputError(f"cannot save {str(path)!r}: {error}{hint}") from None
        return path

    @check_keywords
    def rectify(self, size: tuple[int, int] | None = None) -> Image.Image:
        """Flatten the outlined page into ``size`` = (width, height) pixels; None for its own proportions.

        Its corners become the picture's corners, the first one top-left. Without a size the proportions are those
        of the page in space, as far as four corners tell (``rectification.sheet_size``), at the resolution of its
        longest sides. Raises UnsupportedError unless the model is one for the four corners of an outline, and found
        them all.
        """
        if not self.spec.cyclic or len(self.spec.keypoints) != 4:
            raise UnsupportedError(f"rectify() needs four corners of an outline, {self.spec.name!r} has none")
        if self.keypoints.conf[0].min() < CERTAIN:
            raise UnsupportedError(f"rectify() needs all four corners, found {self!r}; look at .keypoints.conf first")
        size = self._sheet_size() if size is None else _checked_size(size)
        return flatten_quadrilateral(Image.fromarray(self.image), self.keypoints.xy[0], size)

    def _sheet_size(self) -> tuple[int, int]:
        width, height = sheet_size(self.keypoints.xy[0], self.keypoints.size)
        shrink = min(1.0, MAX_SIDE / max(width, height, 1), (MAX_PIXELS / max(width * height, 1)) ** 0.5)
        return max(1, int(width * shrink)), max(1, int(height * shrink))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: model, source, size, instances with score and named keypoints, speed."""
        width, height = self.keypoints.size
        instances = [
            {
                "score": round(float(self.score[n]), 4),
                "keypoints": [
                    {
                        "name": name,
                        "x": round(float(x), 3),
                        "y": round(float(y), 3),
                        "conf": round(float(c), 4),
                    }
                    for name, (x, y), c in zip(
                        self.keypoints.names, self.keypoints.xy[n], self.keypoints.conf[n], strict=True
                    )
                ],
            }
            for n in range(len(self.keypoints))
        ]
        speed = {stage: round(ms, 3) for stage, ms in self.speed.items()}
        return {
            "model": self.spec.name,
            "source": self.source,
            "width": width,
            "height": height,
            "instances": instances,
            "speed_ms": speed,
        }

    def to_json(self) -> str:
        """Return to_dict() as JSON."""
        return json.dumps(self.to_dict())

    def to_coco(self, image_id: int = 0, category_id: int = 1) -> list[dict[str, Any]]:
        """Return COCO keypoint results: ``keypoints`` is x, y, confidence for each name in turn."""
        rows = np.concatenate([self.keypoints.xy, self.keypoints.conf[..., None]], axis=2)
        return [
            {
                "image_id": image_id,
                "category_id": category_id,
                "keypoints": [round(float(v), 3) for v in row.ravel()],
                "score": round(float(score), 5),
            }
            for row, score in zip(rows, self.score, strict=True)
        ]

    def to_df(self) -> Any:
        """Return a pandas DataFrame, one row a keypoint: instance, name, x, y, conf."""
        try:
            import pandas
        except ImportError:
            raise MissingExtraError("to_df() needs pandas; type: pip install pandas") from None
        rows = [
            {"instance": n, **keypoint}
            for n, instance in enumerate(self.to_dict()["instances"])
            for keypoint in instance["keypoints"]
        ]
        return pandas.DataFrame(rows)

    def to_supervision(self) -> Any:
        """Return supervision.KeyPoints, for its annotators."""
        try:
            import supervision
        except ImportError:
            raise MissingExtraError("to_supervision() needs supervision; type: pip install supervision") from None
        return supervision.KeyPoints(
            xy=self.keypoints.xy.astype(np.float32), confidence=self.keypoints.conf.astype(np.float32)
        )


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    pair = isinstance(size, tuple | list) and len(size) == 2
    if not pair or not all(isinstance(side, int | np.integer) and 1 <= side <= MAX_SIDE for side in size):
        raise InputError(f"size={size!r}: (width, height), two whole numbers of 1..{MAX_SIDE} pixels, or None")
    if size[0] * size[1] > MAX_PIXELS:
        raise InputError(f"size={size!r}: at most {MAX_PIXELS // 10**6} million pixels")
    return int(size[0]), int(size[1])
